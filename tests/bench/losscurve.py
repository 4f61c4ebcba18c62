"""Loss against rate as a picture: what share of the datums is missing at each rate, of each system.

`python tests/bench/relay.py --curve FILE.svg` measures it and draws it. Receive buffers are what rmem_max
allows everybody: larger ones would hide for a while that a rate is not kept up with.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from systems import System
from trials import Bench, Trial

SIZE = 64
SECONDS = 0.8
GRID_HZ = [
    6.25e3,
    12.5e3,
    25e3,
    50e3,
    70e3,
    100e3,
    140e3,
    200e3,
    280e3,
    400e3,
    560e3,
    800e3,
    1.1e6,
    1.6e6,
]


class Line(NamedTuple):
    """A system under a kind of load: pairs of a rate, datums a second, and the share that is lost."""

    label: str
    points: Sequence[tuple[float, float]]


def curve(make: Callable[[Path, int], System], source: str, members: str) -> list[Trial]:
    """A trial, the better of two, for each rate that the source reaches; the last one for all that it can."""
    trials = []
    with (
        tempfile.TemporaryDirectory(prefix="speeddata-bench-") as directory,
        Bench(make(Path(directory), SIZE), SIZE, source, members) as bench,
    ):
        for rate_hz in GRID_HZ:
            trial = bench.trial(rate_hz, SECONDS)
            if trial.lost or trial.source_limited:
                trial = min(trial, bench.trial(rate_hz, SECONDS), key=lambda each: each.lost)
            trials.append(trial)
            if trial.source_limited:
                break
    return trials


def line(label: str, trials: Sequence[Trial]) -> Line:
    return Line(label, sorted((each.offered_hz, each.lost) for each in trials))


# -- the picture -------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 800, 440
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 46, 96
TICKS_HZ = [5e3, 10e3, 20e3, 50e3, 100e3, 200e3, 500e3, 1e6, 2e6]
SHARES = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
# told apart by those who do not see all colours, and by their shapes; on light, and on dark
COLOURS = [("#0072b2", "#56b4e9"), ("#007a55", "#2fd3a2"), ("#c44e00", "#f0a030"), ("#a8487f", "#e59ac4")]
SHAPES = [
    '<circle r="4"/>',
    '<rect x="-4" y="-4" width="8" height="8"/>',
    '<path d="M0-5 5 4-5 4z"/>',
    '<path d="M0-5 5 0 0 5-5 0z"/>',
]
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600; font-size: 15px }
  .small { font-size: 11px; fill: #57606a }
  .ground { fill: #ffffff }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .curve { fill: none; stroke-width: 2 }
"""
STYLE_DARK = """
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .ground { fill: #0d1117 }
    .grid { stroke: #30363d }
"""


def svg(lines: Sequence[Line], title: str, notes: Sequence[str]) -> str:
    """The picture, for light and for dark pages.

    Args:
        lines: at most four.
        title: above it.
        notes: in small letters below it, at most three.
    """
    colours = "".join(f"  .line{n} {_coloured(light)}\n" for n, (light, _) in enumerate(COLOURS))
    dark = "".join(f"    .line{n} {_coloured(each)}\n" for n, (_, each) in enumerate(COLOURS))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}{colours}  @media (prefers-color-scheme: dark) {{{STYLE_DARK}{dark}  }}\n</style>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
        *_axes(),
        *(part for number, each in enumerate(lines) for part in _curve(number, each)),
        *_legend(lines),
    ]
    for number, note in enumerate(notes):
        parts.append(f'<text class="small" x="{LEFT}" y="{HEIGHT - 40 + 15 * number}">{escape(note)}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def _coloured(colour: str) -> str:
    return f"{{ stroke: {colour}; fill: {colour} }}"


def _x(rate_hz: float) -> float:
    first, last = math.log(TICKS_HZ[0]), math.log(TICKS_HZ[-1])
    return LEFT + (math.log(rate_hz) - first) / (last - first) * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def _axes() -> list[str]:
    parts = []
    for rate_hz in TICKS_HZ:
        x, label = _x(rate_hz), f"{rate_hz / 1e6:g} M" if rate_hz >= 1e6 else f"{rate_hz / 1e3:g} k"
        parts.append(f'<path class="grid" d="M{x:.1f} {_y(1)}V{_y(0)}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_y(0) + 18}" text-anchor="middle">{label}</text>')
    for share in SHARES:
        parts.append(f'<path class="grid" d="M{LEFT} {_y(share):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{_y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_y(0) + 36}" text-anchor="middle">datums a second, offered</text>')
    return parts


def _curve(number: int, line: Line) -> list[str]:
    places = [(_x(rate_hz), _y(share)) for rate_hz, share in line.points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    # the style of the class would fill what is only to be stroked
    parts = [f'<path class="curve line{number}" style="fill: none" d="M{path}"/>'] if places else []
    for x, y in places:
        parts.append(f'<g class="line{number}" transform="translate({x:.1f} {y:.1f})">{SHAPES[number]}</g>')
    return parts


def _legend(lines: Sequence[Line]) -> list[str]:
    parts = []
    for number, line in enumerate(lines):
        y = TOP + 20 + 20 * number
        parts.append(f'<g class="line{number}" transform="translate({LEFT + 18} {y})">{SHAPES[number]}</g>')
        parts.append(f'<text x="{LEFT + 32}" y="{y + 4}">{escape(line.label)}</text>')
    return parts


def rows(trials: Mapping[str, Sequence[Trial]]) -> list[list[str]]:
    """The figures behind the picture: lost, at the rate that was offered."""
    table = [["", "offered", "lost"]]
    for label, each in trials.items():
        table += [[label, f"{one.offered_hz:,.0f}/s", f"{one.lost:.2%}"] for one in each]
    return table

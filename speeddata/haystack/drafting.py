"""The first map of a person's signals: a line each, with what their schema tells; to be read and edited."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from speeddata.avro.schema import Schema, Signal
from speeddata.haystack import units
from speeddata.haystack.points import Kind
from speeddata.haystack.rules import KEY, KEY_TAG, kind_of
from speeddata.legible import printable

_MAX_DOC = 100  # characters of a signal's doc
_MAX_WIDTH = 90  # of a line before its comment

_HEAD: Final = """\
# Which signal goes to which point: a draft, to be edited. Then:
#   speeddata hxpush map --check ...     compares it with the server
#   speeddata hxpush provision ...       shows which points it would make; --apply makes them

# A point is found by this tag, which holds its key. A project with keys of its own: key_tag = "refName".
key_tag = "{key_tag}"
key = "{key}"

# Where provision puts new points: SITE/EQUIP/POINT.
path = "Site/{{channel}}/{{signal}}"

# For all points that say nothing else: the time zone of new ones, a city; else their site's or the server's.
# defaults.tz = "New_York"
{precision}
# A line for each signal; signals without one are not written. A line may also say:
#   id = "p:demo:r:2a..."  the point itself, instead of its key    skip = true      not written
#   scale = 0.001, offset = 0.0  value = sample * scale + offset; unit is the value's
#   on_change = true, deadband = 0.5, heartbeat = "15m"            only what changed
#   tz, precision, dis, site, equip, tags = ["sensor", "temp"]     for provision
# signal = "CHANNEL.*" stands for all signals of a channel that have no line above it.
point = [
"""


def draft(
    channels: Sequence[tuple[str, Schema]], *, sub_second: Collection[str] = (), key_tag: str = KEY_TAG
) -> str:
    """The TOML of a map of all signals of *channels*, as `mapping.parse_toml` reads it.

    Args:
        channels: names and schemas; a channel may come with several schemas, as recordings have them.
        sub_second: names of the channels that have several samples in a second: they keep milliseconds.
        key_tag: the tag that holds the keys.
    """
    gathered = _gathered(channels)
    fine = {name.lower() for name in sub_second} & {name.lower() for name in gathered}
    everywhere = len(fine) == len(gathered) > 0
    timeless = {
        channel.lower(): schema.abscissa.name for channel, schema in channels if schema.time_unit is None
    }
    lines: list[str] = []
    for channel, found in gathered.items():
        own = channel.lower() in fine and not everywhere
        drafted = [_line(channel, each, precise=own) for each in found.values()]
        width = min(max((len(line.code) for line in drafted), default=0), _MAX_WIDTH)
        lines.append(f"    # {channel}")
        if (abscissa := timeless.get(channel.lower())) is not None:
            what = f"{printable(abscissa)} does not tell its unit of time: name it with --time-unit"
            lines.append(f"    # Its abscissa {what}, or nothing of this is written.")
        lines += [f"    {line.told(width)}" for line in drafted]
    precision = "# Several samples in a second: times are kept to 1ms; 1s merges them.\n"
    head = _HEAD.format(
        key_tag=key_tag,
        key=KEY,
        precision=f'{precision}defaults.precision = "1ms"\n' if everywhere else "",
    )
    return f"{head}{chr(10).join(lines)}\n]\n"


@dataclass(slots=True)
class _Found:
    """A signal of one channel, over all its schemas."""

    signal: Signal
    kinds: set[Kind | None]
    units: set[str | None]


@dataclass(frozen=True, slots=True)
class _Line:
    """A rule, or none, and what to tell of it."""

    code: str
    comments: list[str]

    def told(self, width: int) -> str:
        comment = f"# {'; '.join(self.comments)}" if self.comments else ""
        return f"{self.code:{width}}  {comment}".rstrip() if self.code else comment


def _gathered(channels: Sequence[tuple[str, Schema]]) -> dict[str, dict[str, _Found]]:
    """Signals by channel and name, without abscissas."""
    names: dict[str, str] = {}
    gathered: dict[str, dict[str, _Found]] = {}
    for channel, schema in channels:
        found = gathered.setdefault(names.setdefault(channel.lower(), channel), {})
        for signal in schema.signals:
            if signal is not schema.abscissa:
                each = found.setdefault(signal.name, _Found(signal, set(), set()))
                each.kinds.add(kind_of(signal))
                each.units.add(signal.unit)
    return gathered


def _line(channel: str, found: _Found, *, precise: bool) -> _Line:
    signal, kind = found.signal, kind_of(found.signal)
    name = f"{channel}.{signal.name}"
    doc = [_comment(signal.doc)] if signal.doc and signal.doc.strip() else []
    if found.kinds == {None}:
        what = f"{name}: values of type {signal.kind} are no history"
        return _Line(f'{{ signal = "{name}", skip = true }},', [what.removeprefix(f"{name}: "), *doc])
    said, comments = [f'signal = "{name}"'], []
    if len(found.kinds) == 1:
        said.append(f'kind = "{kind}"')
    else:
        comments.append("its type changes between recordings")
    if kind == "Number" and signal.unit is not None and not units.is_none(signal.unit):
        if len(found.units) == 1:
            unit, told = _unit(signal.unit)
            said.append(f"unit = {_quoted(unit)}")
            comments += told
        else:
            comments.append("its unit changes between recordings")
    if precise:
        said.append('precision = "1ms"')
    return _Line(f"{{ {', '.join(said)} }},", comments + doc)


def _unit(written: str) -> tuple[str, list[str]]:
    """The unit of the map, and what to tell of it."""
    symbol = units.canonical(written)
    if symbol is None:
        return written, [f"no unit of Project Haystack: provision makes it {units.fit_to_create(written)}"]
    if symbol == written:
        return symbol, []
    return symbol, [f"{_comment(written)} in the schema"]


def _comment(text: str) -> str:
    """*text* on one line, short, without characters that a comment of TOML may not have."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= _MAX_DOC else f"{text[: _MAX_DOC - 3]}..."


def _quoted(text: str) -> str:
    """A basic string of TOML 1.0."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{"".join(map(_escaped, escaped))}"'


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

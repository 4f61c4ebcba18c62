"""One load after the other: what was lost of it, and the highest rate of which nothing was."""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from systems import HERE, Child, System

# What takes longer after the last datum was sent had been waiting: that rate is not kept up with. Files are
# given the time that a block or a buffer may stay open.
BEHIND_S = 0.1
RECORDED_S = 0.4
_SETTLED_S = 0.3
_FLUSH_S = 0.12
_KEPT = 0.93  # of the rate that a source was asked for; below that the source is the limit


@dataclass
class Trial:
    """What became of one load.

    Attributes:
        asked_hz, offered_hz: datums a second.
        lost: share of the datums that is missing where most are missing: recorded, full or decimated.
        behind_s: from the last datum sent to the last one served.
        recorded_s: from the last datum sent until nothing was missing any more, in the files and elsewhere.
        cpu_s: of the relay.
    """

    asked_hz: float
    offered_hz: float
    sent: int
    lost: float
    behind_s: float
    recorded_s: float
    cpu_s: float

    @property
    def held(self) -> bool:
        return self.lost == 0 and self.behind_s <= BEHIND_S and self.recorded_s <= RECORDED_S

    @property
    def source_limited(self) -> bool:
        return self.offered_hz < _KEPT * self.asked_hz


@dataclass
class Result:
    """What bisection found of one system under one kind of load."""

    grid: dict[float, Trial] = field(default_factory=dict)
    best: Trial | None = None
    per_cpu_s: float = 0.0
    resident_bytes: int = 0

    @property
    def rate_hz(self) -> float:
        return self.best.offered_hz if self.best else 0.0


class Bench:
    """A system under load, with a source and with members of what it serves."""

    def __init__(self, system: System, size: int, source: str, members: str) -> None:
        self.system = system
        head = [system.head.hex()] if system.head else []
        with ExitStack() as stack:
            stack.callback(system.child.close)
            self._source = Child([sys.executable, HERE / "loads.py", source, system.listens, size, *head])
            stack.callback(self._source.close)
            self._members = None
            if system.serves:
                self._members = Child([sys.executable, HERE / "members.py", members, size, *system.serves])
                stack.callback(self._members.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _counts(self) -> tuple[list[int], float]:
        """Recorded, full, and five times decimated; and when the latest of these was served, monotonic."""
        recorded = self.system.recorded()
        if self._members is None:
            return [recorded], 0.0
        said = self._members.ask()
        full, decimated = said["counts"]
        return [recorded, full, 5 * decimated], said["last"]

    def trial(self, rate_hz: float, seconds: float) -> Trial:
        """Offer *rate_hz* for *seconds*, then wait until everything has arrived or nothing comes any more."""
        before, cpu_s = self._counts()[0], self.system.child.cpu_s
        load = self._source.ask(f"{rate_hz} {seconds}")
        sent, arrived, changed, flushed = load["sent"], 0, time.monotonic(), False
        while True:
            now = time.monotonic()
            counts, served = self._counts()
            least = min(after - first for after, first in zip(counts, before, strict=True))
            if least != arrived:
                arrived, changed = least, now
            if arrived >= sent or now - changed > _SETTLED_S:
                break
            if now - changed > _FLUSH_S and not flushed:
                flushed, changed = True, now
                self.system.flush()
            time.sleep(0.01)
        cpu_s = self.system.child.cpu_s - cpu_s
        self.system.clear()
        return Trial(
            asked_hz=rate_hz,
            offered_hz=sent / load["seconds"],
            sent=sent,
            lost=max(0.0, 1 - arrived / sent),
            behind_s=served - load["ended"],
            recorded_s=changed - load["ended"],
            cpu_s=cpu_s,
        )

    def search(self, grid: list[float], seconds: float, steps: int, repeats: int) -> Result:
        """Try all of *grid*, bisect between what was held and what was not, repeat the best for its cost.

        The machine may be shared, and one disturbed trial must not decide: a rate fails when it fails twice.
        """
        result = Result()
        low, high = None, None
        for rate_hz in grid:
            trial = result.grid[rate_hz] = self._fairly(rate_hz, seconds)
            if trial.held and high is None:
                low = max(filter(None, (low, trial)), key=lambda each: each.offered_hz)
            elif not trial.held:
                high = high or rate_hz
            if trial.source_limited:
                break
        for _ in range(steps):
            if high is None:
                break
            middle = ((low.asked_hz if low else grid[0] / 4) * high) ** 0.5
            trial = self._fairly(middle, seconds)
            if trial.held:
                low = trial
                if trial.source_limited:
                    break
            else:
                high = middle
        result.best = low
        if low is not None:
            costs = [self.trial(min(low.asked_hz, low.offered_hz), seconds) for _ in range(repeats)]
            result.per_cpu_s = statistics.median(
                each.sent * (1 - each.lost) / each.cpu_s for each in costs if each.cpu_s
            )
        result.resident_bytes = self.system.child.most_resident_bytes
        return result

    def _fairly(self, rate_hz: float, seconds: float) -> Trial:
        trial = self.trial(rate_hz, seconds)
        return (
            trial
            if trial.held
            else min(
                trial,
                self.trial(rate_hz, seconds),
                key=lambda each: (each.lost, each.behind_s, each.recorded_s),
            )
        )

"""Every examination in turn: facts gathered, judged, and told as soon as they are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speeddata.doctor import buffers, clock, disk, joining, limits, load, multicast, parts, ports
from speeddata.doctor.disk import Keeping
from speeddata.doctor.finding import FAULT, Finding
from speeddata.doctor.load import Seen
from speeddata.errors import SpeedDataError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.symptoms import channels, installed, kernel, listeners, network, storage, timekeeping


@dataclass(frozen=True)
class Plan:
    """What a relay would be started with.

    Attributes:
        directory: of the recording; None: nothing is recorded.
        listening: where datums arrive, and whose: "" where announced sources send to.
        interfaces: by name or address; empty: the defaults of the relay.
        keeping: what stays in the directory.
        expected: bytes a second; None: what is live.
        unreadable: channels whose schema cannot be read, and why.
    """

    directory: Path | None
    listening: Sequence[tuple[Endpoint, str]]
    interfaces: Sequence[str] = ()
    keeping: Keeping = field(default_factory=Keeping)
    expected: int | None = None
    unreadable: Sequence[tuple[str, str]] = ()


def examine(plan: Plan, stop: Stop) -> Iterator[Finding]:
    """All that can be said of *plan* on this machine, now; *stop* ends it early."""
    began, before = timekeeping.moment(), kernel.udp_sockets()
    connected = network.network(plan.interfaces)
    yield from multicast.judge(connected)
    usable = multicast.usable(connected)
    groups = bool(usable) or not plan.interfaces  # else there is nothing to join or to ask on
    if groups:
        yield from joining.judge(network.joins(usable))
    seen, why = _seen(usable, stop) if groups else (None, "no interface to ask on")
    yield from load.judge(seen, why, expected=plan.expected)
    reckoned = load.load(seen or (), plan.expected)
    yield from buffers.judge(kernel.buffer(), reckoned)
    now = kernel.udp_sockets()
    here = {endpoint.port for endpoint, _ in plan.listening}
    yield from buffers.judge_drops(kernel.drops(before, now, here))
    served = any(one.here for one in seen or ())
    for endpoint, channel in plan.listening:
        if endpoint.is_group:
            continue  # many may listen at one; whether it can be joined is known
        yield from ports.judge(listeners.port(endpoint, channel, now, served=served))
    for channel, reason in plan.unreadable:
        what = f"{channel}: a relay cannot read its schema: {reason}"
        yield Finding("channels", FAULT, what, "mend the file, or name another in speeddata.toml")
    if plan.directory is not None and not stop.asked:
        found = storage.disk(plan.directory, stop, min_free=plan.keeping.min_free)
        if not stop.asked:
            yield from disk.judge(found, plan.keeping, reckoned)
    yield from limits.judge(kernel.limits(), len(seen or ()))
    yield from clock.judge(timekeeping.clock(began, plan.directory))
    yield from parts.judge(installed.parts())


def _seen(on: Sequence[str], stop: Stop) -> tuple[list[Seen] | None, str]:
    try:
        return channels.seen(on, stop), ""
    except SpeedDataError as exc:
        return None, str(exc)
    except OSError as exc:
        return None, exc.strerror or str(exc)

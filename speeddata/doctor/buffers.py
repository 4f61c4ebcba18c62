"""Does the kernel keep what arrives while the relay is busy: the receive buffer, and what was dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speeddata import table
from speeddata.doctor.finding import NOTE, OK, WARNING, Finding, cannot_tell
from speeddata.doctor.load import Load, span

_ABOUT = "buffer"
# What the kernel charges for a small datum: Linux counts its own structures, and gives twice what is asked.
_CHARGED_BYTES = 768
_ASSUMED_HZ = 10_000.0  # where no rate is known
_ENOUGH_S = 0.5  # a busy disk or a swapping machine stops a process for so long
_KEPT_IN = "/etc/sysctl.d/60-speeddata.conf"


@dataclass(frozen=True)
class Buffer:
    """A receive buffer as the relay asks for it, in the bytes that one asks for.

    Attributes:
        got: what the kernel gave us.
        unforced: what it gives without the right to go beyond its limit (CAP_NET_ADMIN).
        limit: net.core.rmem_max; None: cannot be told.
    """

    asked: int
    got: int
    unforced: int
    limit: int | None = None
    linux: bool = True


@dataclass(frozen=True)
class Dropped:
    """What the kernel gave up for want of room at one UDP socket of this machine.

    Attributes:
        port: of the socket.
        count: since it was opened.
        lately: of those, while we looked.
        listening: it is where a relay takes datums in.
    """

    port: int
    count: int
    lately: int
    listening: bool


def judge(buffer: Buffer, load: Load) -> Iterator[Finding]:
    """Whether it is as large as asked, and how long it lasts if not."""
    measured = {"asked": buffer.asked, "got": buffer.got, "rmem_max": buffer.limit}
    if buffer.unforced >= buffer.asked:
        yield Finding(_ABOUT, OK, f"receive buffer: {_mib(buffer.got)}, as asked for", "", measured)
        return
    cure = _cure(buffer)
    if buffer.got >= buffer.asked:
        what = f"receive buffer: {_mib(buffer.got)} by the right of this user (CAP_NET_ADMIN)"
        what += f"; others get {_mib(buffer.unforced)}"
        yield Finding(_ABOUT, NOTE, what, cure, measured)
        return
    rate_hz = load.datums_hz if load.datums_hz else _ASSUMED_HZ
    lasts_s = 2 * buffer.got / _CHARGED_BYTES / rate_hz
    what = (
        f"receive buffer: {_mib(buffer.got)} of the {_mib(buffer.asked)} asked for: when a relay is held up,"
        f" it is full after {span(lasts_s)} at {table.rate(rate_hz)}"
    )
    yield Finding(_ABOUT, NOTE if lasts_s >= _ENOUGH_S else WARNING, what, cure, measured)


def judge_drops(drops: Sequence[Dropped] | None) -> Iterator[Finding]:
    """Whether some were dropped already; None: cannot be told."""
    if drops is None:
        yield cannot_tell(_ABOUT, "whether the kernel dropped datagrams")
        return
    for one in drops:
        if one.count:
            lately = f", {one.lately:,} of them just now" if one.lately else ""
            what = f"the kernel dropped {table.many(one.count, 'datagram')} at UDP port {one.port}{lately}"
            cure = "a larger receive buffer (above), then start it anew; or thin what is sent"
            grave = one.lately or one.listening
            measured = {"port": one.port, "dropped": one.count, "lately": one.lately}
            yield Finding(_ABOUT, WARNING if grave else NOTE, what, cure, measured)


def _cure(buffer: Buffer) -> str:
    if not buffer.linux:
        return f"sysctl -w kern.ipc.maxsockbuf={buffer.asked}"
    setting = f"net.core.rmem_max={buffer.asked}"
    return f"sysctl -w {setting}; to keep it: echo {setting} > {_KEPT_IN}"


def _mib(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 and not count % (1 << 20) else f"{count / 1024:.0f} KiB"

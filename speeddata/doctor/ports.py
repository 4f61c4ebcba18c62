"""Can a relay listen where it is meant to, or does one already?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speeddata.doctor.finding import FAULT, NOTE, OK, WARNING, Finding

_ABOUT = "port"


@dataclass(frozen=True)
class Holder:
    """The process that has a port.

    Attributes:
        name: of its program; text of this machine.
        relay: it is one of ours.
    """

    pid: int
    name: str
    relay: bool


@dataclass(frozen=True)
class Port:
    """An endpoint that datums are to arrive at.

    Attributes:
        endpoint: ADDR:PORT.
        channel: whose; "" where announced sources send to.
        taken: somebody listens there.
        refused: what the system said, if that was not it.
        holder: who has it; None: cannot be told.
        served: a relay runs on this machine.
    """

    endpoint: str
    channel: str = ""
    taken: bool = False
    refused: str = ""
    holder: Holder | None = None
    served: bool = False


def judge(port: Port) -> Iterator[Finding]:
    """Whether it is free, and if not, who has it."""
    whose = f", where datums of {port.channel} are to arrive," if port.channel else ""
    place = f"{port.endpoint}{whose}"
    another = "give it another in speeddata.toml" if port.channel else "choose another with --listen"
    if port.refused:
        cure = "use an address of this machine, or 0.0.0.0 for all of them, and a port from 1024 on"
        yield Finding(_ABOUT, FAULT, f"{place} cannot be listened at: {port.refused}", cure)
    elif not port.taken:
        yield Finding(_ABOUT, OK, f"{place} is free for a relay")
    elif port.holder and port.holder.relay:
        yield Finding(_ABOUT, OK, f"{place}: a relay listens there already (process {port.holder.pid})")
    elif port.holder:
        what = f"{place} is taken by {port.holder.name} (process {port.holder.pid})"
        yield Finding(_ABOUT, FAULT, what, f"stop it, or {another}")
    elif port.served:
        what = f"{place} is taken, by the relay that runs here most likely"
        yield Finding(_ABOUT, NOTE, what)
    else:
        what = f"{place} is taken by a process of another user"
        yield Finding(
            _ABOUT, WARNING, what, f"see whose it is, as root: `ss -ulpn`; if it is no relay, {another}"
        )

"""Whether an endpoint can be listened at, and who does so already."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from speeddata.doctor.ports import Holder, Port
from speeddata.errors import HostError
from speeddata.names import DISCOVERY, Endpoint
from speeddata.symptoms.kernel import UdpSocket
from speeddata.wire import sockets

_PROC = Path("/proc")
_ANY = ("0.0.0.0", "::")
_BUFFER_BYTES = 1 << 16
_RELAYS = frozenset(("relay", "demo"))  # commands that listen for sources


def port(
    endpoint: Endpoint, channel: str, known: Collection[UdpSocket] | None, *, served: bool = False
) -> Port:
    """Try *endpoint* as a relay would, for a moment.

    Args:
        channel: whose datums are to arrive there; "" for those of announced sources.
        known: sockets of this machine.
        served: a relay of this machine announces channels.
    """
    text = str(endpoint)
    try:
        sockets.listen(endpoint, interfaces=[], buffer_bytes=_BUFFER_BYTES).close()
    except HostError as exc:
        why = exc.__cause__
        if not (isinstance(why, OSError) and why.errno == errno.EADDRINUSE):
            said = (why.strerror if isinstance(why, OSError) else "") or exc.what
            return Port(text, channel, refused=said)
    else:
        return Port(text, channel)
    holders = [
        one for one in known or () if one.port == endpoint.port and _overlap(one.address, endpoint.host)
    ]
    holder = next(filter(None, (_holder(one.inode) for one in holders)), None)
    if holder is None and not served:
        served = any(_relay_of(one.uid) for one in holders)
    return Port(text, channel, taken=True, holder=holder, served=served)


def relay_here(known: Collection[UdpSocket] | None) -> int:
    """The process of a relay on this machine, whatever it listens to: it hears the discovery group.

    0: none, or of another user, or it cannot be told.
    """
    for one in known or ():
        if (one.address, one.port) == DISCOVERY.address and (holder := _holder(one.inode)) and holder.relay:
            return holder.pid
    return 0


def _overlap(one: str, other: str) -> bool:
    return one == other or one in _ANY or other in _ANY


def _holder(inode: int) -> Holder | None:
    """The process that has the socket open; None: cannot be told, as of those of other users."""
    wanted = f"socket:[{inode}]"
    with contextlib.suppress(OSError):
        for process in _PROC.iterdir():
            if process.name.isdigit() and wanted in _open_files(process):
                return holder_of(int(process.name))
    return None


def _relay_of(uid: int) -> bool:
    """Whether a relay of that user runs: what others run may be looked up, what they have open may not."""
    with contextlib.suppress(OSError):
        for process in _PROC.iterdir():
            with contextlib.suppress(OSError):
                ours = process.name.isdigit() and process.stat().st_uid == uid
                if ours and holder_of(int(process.name)).relay:
                    return True
    return False


def _open_files(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(entry)


def holder_of(pid: int) -> Holder:
    """The program of a process. Its arguments are looked at and not told: they may hold anything."""
    words: list[str] = []
    name = "a process"
    with contextlib.suppress(OSError):
        name = (_PROC / str(pid) / "comm").read_text("utf-8", "replace").strip()
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    ours = next((n for n, word in enumerate(words) if os.path.basename(word) == "speeddata"), None)
    return Holder(pid, name, ours is not None and bool(_RELAYS & set(words[ours + 1 :])))

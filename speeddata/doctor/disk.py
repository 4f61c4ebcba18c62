"""Can a relay record there: may it write, is there room, is it fast enough, and does the disk last?"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from speeddata import table
from speeddata.doctor.finding import FAULT, NOTE, OK, WARNING, Finding, cannot_tell
from speeddata.doctor.load import Load, span

_ABOUT = "disk"
_LITTLE = 1 << 20  # bytes that a trial has to write for its speed to mean something
_FEW_INODES = 1000
_SOON_S, _LATER_S = 3600.0, 86400.0
_MARGIN = 3.0  # times the rate: other programs write, and cards and disks stall
_QUEUE_BYTES = 64 << 20  # what a relay holds back for a disk that stalls
_FAT = 0xFFFFFFFF  # bytes that a file may have there

NETWORK = frozenset(
    "9p afs afpfs ceph cifs glusterfs lustre ncpfs nfs nfs4 smb2 smb3 smbfs virtiofs webdav".split()
)
MEMORY = frozenset("tmpfs ramfs".split())
LAYERED = frozenset("overlay aufs fuse.fuse-overlayfs".split())
PLAIN = frozenset("vfat msdos exfat msdosfs".split())


@dataclass(frozen=True)
class Trial:
    """What a trial wrote, and made sure that the disk has.

    Attributes:
        written: bytes; 0 where there was no room to try.
        seconds: that it took.
        longest_s: of one write alone.
    """

    written: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0

    @property
    def bytes_s(self) -> float | None:
        return self.written / self.seconds if self.written >= _LITTLE and self.seconds > 0 else None


@dataclass(frozen=True)
class Disk:
    """The directory of the recording and the file system below it; None: cannot be told.

    Attributes:
        directory: as it was named.
        made: it is there already, or else a relay has to make it.
        refused: what the system said to making a file there; "" when it worked.
        full: it said that there is no room.
        unwritable: directories of channels in it that this user may not write.
        lock: the process that records there; 0: nobody.
        kind: of file system: "ext4".
        card: the name of the memory card or eMMC that it is on; "" where it is on none.
    """

    directory: str
    made: bool
    refused: str = ""
    full: bool = False
    unwritable: tuple[str, ...] = ()
    lock: int = 0
    total: int = 0
    free: int = 0
    inodes: int | None = None
    kind: str | None = None
    card: str = ""
    trial: Trial = Trial()


@dataclass(frozen=True)
class Keeping:
    """The options of the relay that decide what stays.

    Attributes:
        min_free: share of the file system that stays free, 0 to 1.
        size: bytes that recordings may have together; None: no limit.
        time_s: how long they are kept; None: for ever.
        rotate_size: bytes of one file.
    """

    min_free: float = 0.05
    size: int | None = None
    time_s: float | None = None
    rotate_size: int = 50 << 20


def judge(disk: Disk, keeping: Keeping, load: Load) -> Iterator[Finding]:
    """May it be written, what is it, how much room and how fast."""
    if disk.full:
        what = f"{disk.directory}: no room is left: nothing would be recorded"
        yield Finding(_ABOUT, FAULT, what, "make room, or name another directory with --output")
        return
    if disk.lock:  # what we may not write, the relay's user may
        yield Finding(_ABOUT, OK, f"{disk.directory}: a relay records there already (process {disk.lock})")
    elif disk.refused:
        what = f"{disk.directory} cannot be written: {disk.refused}"
        cure = (
            "make it writable for the relay's user: chown, mount -o remount,rw; or name another with --output"
        )
        yield Finding(_ABOUT, FAULT, what, cure)
        return
    for path in () if disk.lock else disk.unwritable:
        cure = f"give it to the relay's user: chown -R USER {shlex.quote(path)}"
        yield Finding(_ABOUT, FAULT, f"{path} cannot be written by this user", cure)
    yield from _kind(disk, keeping)
    if disk.total:
        yield _room(disk, keeping, load)
    else:
        yield cannot_tell(_ABOUT, f"how much room there is in {disk.directory}")
    yield from _speed(disk, load)


def _kind(disk: Disk, keeping: Keeping) -> Iterator[Finding]:
    where, kind = disk.directory, disk.kind or ""
    if kind in MEMORY:
        what = f"{where} is in memory ({kind}): what is recorded is gone after a restart"
        yield Finding(_ABOUT, WARNING, what, "name a directory on a disk with --output")
    elif kind in NETWORK or kind.startswith("fuse.sshfs"):
        what = f"{where} is on the network ({kind}): when that stalls, 64 MiB are held back, and no more"
        yield Finding(_ABOUT, NOTE, what, "record on a disk of this machine, and copy closed files away")
    elif kind in LAYERED:
        what = f"{where} is in the container itself ({kind}): what is recorded is gone with it"
        yield Finding(_ABOUT, WARNING, what, "mount a volume there: -v /srv/rig:DIR")
    elif kind in PLAIN:
        what = f"{where} is on {kind}, which a power failure may damage as a whole"
        yield Finding(_ABOUT, NOTE, what, "format it as ext4")
        if keeping.rotate_size > _FAT:
            what = f"files of {table.size(keeping.rotate_size)} are too large for {kind}"
            yield Finding(_ABOUT, FAULT, what, "--rotate-size 1GiB")
    if disk.card:
        what = (
            f"{where} is on a memory card or eMMC ({disk.card}): it wears out, and stalls while it tidies up"
        )
        yield Finding(_ABOUT, NOTE, what, "record on an SSD, or thin what is sent; no short --sync")


def _room(disk: Disk, keeping: Keeping, load: Load) -> Finding:
    spare = disk.free - disk.total * keeping.min_free
    measured: dict[str, int | float | str | None] = {
        "free": disk.free,
        "total": disk.total,
        "spare": max(0, round(spare)),
        "bytes_s": None if load.bytes_s is None else round(load.bytes_s),
    }
    percent = f"{keeping.min_free * 100:.3g}%"
    room = f"{disk.directory}: {table.size(disk.free)} free of {table.size(disk.total)}"
    cure = "make room, or take a larger disk; `relay --keep-time 1h` or `--keep-size 10GiB` say what stays"
    if disk.inodes is not None and disk.inodes < _FEW_INODES:
        what = f"{room}, but room for {disk.inodes} more files only"
        return Finding(_ABOUT, FAULT if disk.inodes < 16 else WARNING, what, cure, measured)
    if spare <= 0:
        what = (
            f"{room}, less than the {percent} of --min-free: the oldest recordings go, whatever is to be kept"
        )
        return Finding(_ABOUT, WARNING, what, cure, measured)
    if spare < 2 * keeping.rotate_size:
        file = table.size(keeping.rotate_size)
        what = f"{room}: less than two files of {file}, and only closed files can go: it fills up"
        cure = f"make room, or begin files sooner: --rotate-size {max(1, int(spare) >> 22)}MiB"
        return Finding(_ABOUT, WARNING, what, cure, measured)
    if not load.bytes_s:
        return Finding(_ABOUT, OK, room, "", measured)
    lasts_s = spare / load.bytes_s
    measured["lasts_s"] = round(lasts_s)
    kept_s = _kept_s(keeping, load.bytes_s)
    what = f"{room}: at {table.size(round(load.bytes_s))}/s of {load.whose}"
    if kept_s is not None and kept_s <= lasts_s:
        return Finding(_ABOUT, OK, f"{what} there is room for what is kept: {span(kept_s)}", "", measured)
    end = "the oldest recordings go" if keeping.min_free else "it is full"
    what += f", in {span(lasts_s)} {end}"
    if kept_s is not None:
        what += f", sooner than the {span(kept_s)} that are to be kept"
    state = WARNING if lasts_s < _SOON_S or kept_s is not None else NOTE if lasts_s < _LATER_S else OK
    return Finding(_ABOUT, state, what, "" if state == OK else cure, measured)


def _kept_s(keeping: Keeping, bytes_s: float) -> float | None:
    """For how long the relay keeps what comes at *bytes_s*; None: as long as there is room."""
    limits = [keeping.time_s] if keeping.time_s is not None else []
    limits += [keeping.size / bytes_s] if keeping.size is not None else []
    return min(limits, default=None)


def _speed(disk: Disk, load: Load) -> Iterator[Finding]:
    trial, bytes_s = disk.trial, disk.trial.bytes_s
    if bytes_s is None:
        why = "" if trial.written else disk.refused or "no room to try it"
        yield cannot_tell(_ABOUT, f"how fast {disk.directory} takes data", why)
        return
    measured = {"write_bytes_s": round(bytes_s), "longest_s": round(trial.longest_s, 4)}
    what = f"{disk.directory} takes {table.size(round(bytes_s))}/s"
    if trial.longest_s >= 0.2:
        what += f", at worst after {span(trial.longest_s)}"
    cure = "use a faster disk, thin what is sent, or serve only: `speeddata relay --no-record`"
    if not load.bytes_s:
        yield Finding(_ABOUT, OK, what, "", measured)
        return
    asked = f"{table.size(round(load.bytes_s))}/s of {load.whose}"
    if bytes_s < load.bytes_s:
        yield Finding(
            _ABOUT, FAULT, f"{what}: less than the {asked}: the recording loses datums", cure, measured
        )
    elif trial.longest_s * load.bytes_s > _QUEUE_BYTES:
        yield Finding(
            _ABOUT, FAULT, f"{what}: too long for the {asked}: the recording loses datums", cure, measured
        )
    elif bytes_s < _MARGIN * load.bytes_s:
        yield Finding(_ABOUT, WARNING, f"{what}: hardly more than the {asked}", cure, measured)
    else:
        times = bytes_s / load.bytes_s
        yield Finding(_ABOUT, OK, f"{what}: {times:,.0f} times the {asked}", "", measured)

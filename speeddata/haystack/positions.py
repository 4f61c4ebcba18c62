"""How far recordings have been sent to a server: a file of JSON for each, written whole, one run at a time.

A recording is known by the sync marker in its header, which stays when the file is renamed or moved.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

from speeddata.errors import DataError, HostError, SpeedDataError
from speeddata.recording.catalogue import Position, header_of, is_open, open_file

log = logging.getLogger("speeddata")

_FORMAT = "speeddata hxpush state"
_VERSION = 1
_LIMIT_BYTES = 64 << 20
_CURE = "to send everything again, which does no harm, move it away"


class Busy(HostError):
    """Another run sends to the same server."""


class Place(NamedTuple):
    """Up to where a file was sent.

    Attributes:
        channel: whose file it is.
        path: of the file.
        position: where sending goes on.
        time_ns: of the newest datum that was sent, since 1970; None where none was.
    """

    channel: str
    path: Path
    position: Position
    time_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one file.

    Attributes:
        channel: whose it is.
        path: where it was last, absolute.
        block, datum: where sending goes on, as in `Position`.
        time_ns: of the newest datum sent; None where none was.
        size: bytes of the file when it was known to be sent to its end, and closed; None before.
    """

    channel: str
    path: str
    block: int
    datum: int = 0
    time_ns: int | None = None
    size: int | None = None


@dataclass(slots=True)
class Saved:
    """What a state file holds.

    Attributes:
        target: the server's address, for people.
        server: what was found out about the server, such as {"form": "batch"}.
        preparer: the state of the `Preparer`, as it gave it.
        files: by channel, in lower case, and by the identity of the file.
    """

    target: str
    server: dict[str, str]
    preparer: dict[str, Any]
    files: dict[str, dict[str, Entry]]


def directory(environ: Mapping[str, str], given: Path | None = None) -> Path:
    """Where state files are: *given*, else as the XDG base directories say it."""
    if given is not None:
        return given
    home = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # one that is relative is to be ignored (XDG Base Directory Specification)
        home = os.path.join(environ.get("HOME", "/"), ".local", "state")
    return Path(home) / "speeddata" / "hxpush"


def load(path: Path) -> Saved | None:
    """What the state file *path* holds; None where there is none.

    Raises:
        HostError: it cannot be read.
        DataError: it is no state file, or damaged, or of a newer version.
    """
    try:
        fd = open_file(path)
        with open(fd, "rb") as file:
            data = file.read(_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc
    try:
        if len(data) > _LIMIT_BYTES:
            raise ValueError
        return _parsed(json.loads(data, parse_constant=_refuse))
    except DataError as exc:
        raise DataError(exc.what, where=str(path), mend=exc.mend) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise DataError("no state of hxpush, or damaged", where=str(path), mend=_CURE) from None


class State:
    """The state of one server, locked until it is closed; also a context manager.

    Args:
        path: of the file; its directory is made, for the owner alone.
        target: the server's address, for people.
        lock: False for who only looks: it may look while another run writes, and has nothing to save.

    Attributes:
        server, preparer: as in `Saved`; `save` and `moved` write them.
        gaps: what `start` found missing, in words.

    Raises:
        Busy: another run has it.
        HostError, DataError: as for `load`, or the directory cannot be written.
    """

    def __init__(self, path: Path, *, target: str = "", lock: bool = True) -> None:
        self.path, self._target = path, target
        self.gaps: list[str] = []
        self._keys: dict[Path, str] = {}  # of files that were looked at
        self._empty: set[Path] = set()  # those that had no block
        self._reading: dict[str, str] = {}  # by channel, the file that is being read
        self._lock = _locked(path) if lock else -1
        try:
            saved = load(path) or Saved(target, {}, {}, {})
        except BaseException:
            self.close()
            raise
        self.server, self.preparer, self._files = saved.server, saved.preparer, saved.files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another run have it. Nothing is written."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def start(self, files: Mapping[str, Sequence[Path]]) -> dict[str, Position]:
        """Where reading begins, by channel: at the first file that was not sent to its end.

        Files after that may have been sent before: `sent` tells. Of a file that is gone, `gaps` tells what
        was not sent.

        Args:
            files: of each channel, in recording order. A channel that is not known begins at its first file.

        Raises:
            HostError: a file cannot be read.
        """
        self.gaps = []
        found: dict[str, Position] = {}
        for channel, paths in files.items():
            known = self._files.get(channel.lower())
            if not known or not paths:
                continue
            originals = {entry.path for key, entry in known.items() if "/" not in key}
            self._look_at(sorted(paths, key=lambda path: str(path.absolute()) not in originals))
            self._forget_what_is_gone(channel, known, paths)
            for path in paths:
                key = self._keys.get(path, "")
                entry = known.get(key)
                if entry is not None and entry.block > (_size(path) or entry.block):
                    log.warning("%s: is shorter than what was sent of it; begins anew", path)
                    del known[key]
                    entry = None
                done = path in self._empty if entry is None else _to_its_end(entry, path)
                if done and path != paths[-1]:
                    continue
                begin = (0, 0) if entry is None else (entry.block, entry.datum)
                found[channel] = Position(path.name, *begin)
                self._reading[channel.lower()] = key
                break
        return found

    def sent(self, channel: str, path: Path, block: int) -> bool:
        """Whether the block at byte *block* of a file that `start` was given was sent before."""
        entry = self._files.get(channel.lower(), {}).get(self._keys.get(path, ""))
        return entry is not None and block < entry.block

    def unsent(self, channel: str, paths: Sequence[Path]) -> int:
        """Bytes of files that were not sent yet, told by their paths alone: a file that was moved counts."""
        sent = {entry.path: entry.block for entry in self._files.get(channel.lower(), {}).values()}
        return sum(max(0, (_size(path) or 0) - sent.get(str(path.absolute()), 0)) for path in paths)

    def moved(self, places: Sequence[Place]) -> None:
        """Keep, on the disk, how far files were sent; what is behind that already stays.

        Args:
            places: of each file that was read since, in the order of reading: a channel's files follow each
                other, and all but its last were read to their end.

        Raises:
            HostError: it cannot be written; then the file is as it was.
        """
        last = {place.channel.lower(): place.path for place in places}
        for place in places:
            known = self._files.setdefault(place.channel.lower(), {})
            key = self._key(place.path)
            entry = Entry(
                place.channel,
                str(place.path.absolute()),
                place.position.block,
                place.position.datum,
                place.time_ns,
            )
            if (old := known.get(key)) is not None:
                if (old.block, old.datum) > (entry.block, entry.datum):  # read again, and not sent again
                    entry = replace(entry, block=old.block, datum=old.datum, time_ns=old.time_ns)
                elif entry.time_ns is None:
                    entry = replace(entry, time_ns=old.time_ns)
            before = known.get(reading := self._reading.get(place.channel.lower(), key))
            if reading != key and before is not None and before.size is None:  # it was read to its end
                known[reading] = replace(before, size=_size(Path(before.path)) or before.block)
            self._reading[place.channel.lower()] = key
            behind = last[place.channel.lower()] != place.path
            known[key] = replace(entry, size=_size_at_end(entry, place.path, behind))
        self.save()

    def save(self) -> None:
        """Write it, whole and at once.

        Raises:
            HostError: it cannot be written; then the file is as it was.
        """
        files = {
            channel: {key: asdict(entry) for key, entry in known.items()}
            for channel, known in self._files.items()
        }
        tree = {
            "format": _FORMAT,
            "version": _VERSION,
            "target": self._target,
            "server": self.server,
            "files": files,
            "preparer": self.preparer,
        }
        try:
            _replace(self.path, json.dumps(tree, allow_nan=False, indent=1).encode())
        except OSError as exc:
            raise HostError(f"cannot write: {exc.strerror}", where=str(self.path)) from exc

    def _look_at(self, paths: Sequence[Path]) -> None:
        """Know the files: by their sync markers; of copies, all but the first by their names, too."""
        taken: dict[str, Path] = {key: path for path, key in self._keys.items()}
        for path in paths:
            if path in self._keys:
                continue
            try:
                header = header_of(path)
            except SpeedDataError as exc:
                if isinstance(exc.__cause__, FileNotFoundError):
                    continue  # the reader tells of it
                raise
            key = header.sync.hex() if header is not None else f"/{path.name}"
            if header is not None and _size(path) == header.size:
                self._empty.add(path)
            if key in taken and taken[key] != path:
                key += f"/{path.name}"
            taken[key], self._keys[path] = path, key

    def _key(self, path: Path) -> str:
        if path not in self._keys:
            with contextlib.suppress(SpeedDataError):
                self._look_at([path])
        return self._keys.setdefault(path, f"/{path.name}")  # gone by now: its name is what is left of it

    def _forget_what_is_gone(self, channel: str, known: dict[str, Entry], paths: Sequence[Path]) -> None:
        """Tell of files that are gone before they were sent to their end, once, and forget all that are gone.

        Only files of the directories that are read now: another SOURCE has positions of its own here.
        """
        here = {self._keys.get(path) for path in paths}
        parents = {path.absolute().parent for path in paths}
        for key, entry in list(known.items()):
            path = Path(entry.path)
            if key in here or path.parent not in parents or os.path.lexists(path):
                continue
            if entry.size is None:
                self.gaps.append(
                    f"{path.name}: gone, and what was to be sent from byte {entry.block} on; "
                    f"its datums of channel {channel} are missing"
                )
            del known[key]


# -- one file -----------------------------------------------------------------------------------------------


def _to_its_end(entry: Entry, path: Path) -> bool:
    """Whether all of the file was sent, and nothing was added since."""
    return entry.size is not None and _size(path) == entry.size


def _size_at_end(entry: Entry, path: Path, behind: bool) -> int | None:
    """The file's size if all of it was sent and nothing comes any more."""
    size = _size(path)
    if size is None:
        return entry.block if behind else None
    if behind or (entry.block == size and not entry.datum and not is_open(path)):
        return size
    return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


# -- the file of the state ----------------------------------------------------------------------------------


def _locked(path: Path) -> int:
    """A descriptor that holds the lock of the state file *path*; it is of a file beside it, which stays."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(lock, flags, 0o600)
    except OSError as exc:
        raise HostError(
            f"cannot write: {exc.strerror}", where=str(lock), mend="name a directory with --state"
        ) from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Busy(
            "another run sends to this server", where=str(path), mend="wait for its end, or stop it"
        ) from None
    except OSError as exc:
        os.close(fd)
        raise HostError(f"cannot be locked: {exc.strerror}", where=str(lock)) from exc
    return fd


def _replace(path: Path, data: bytes) -> None:
    """Put *data* in place of what *path* holds: whenever a kill or a power cut comes, one is there whole."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _parsed(tree: Any) -> Saved:
    """Raises ValueError, TypeError, KeyError, AttributeError, or DataError with what is wrong."""
    if tree["format"] != _FORMAT:
        raise ValueError
    if tree["version"] != _VERSION:
        what = "was written by another version of SpeedData"
        raise DataError(what, mend=f"send with that one, or, {_CURE}")
    files = {
        _text(channel): {_text(key): _entry(said) for key, said in known.items()}
        for channel, known in tree["files"].items()
    }
    server = {_text(key): _text(value) for key, value in tree["server"].items()}
    if not isinstance(tree["preparer"], dict):
        raise ValueError
    return Saved(_text(tree["target"]), server, tree["preparer"], files)


def _entry(said: Any) -> Entry:
    path = _text(said["path"])
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError(path)
    time_ns, size = (None if said[key] is None else _whole(said[key]) for key in ("time_ns", "size"))
    block, datum = _whole(said["block"]), _whole(said["datum"])
    if min(block, datum, size or 0) < 0:
        raise ValueError
    return Entry(_text(said["channel"]), path, block, datum, time_ns, size)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value


def _refuse(_constant: str) -> NoReturn:
    raise ValueError

"""A file that says how far a listener is, and what it remembers: kept over any kill, and its stream's alone.

The first line is JSON, exchanged whole: the place, whose it is, what `Dedup.state` gave. A memory is much, so
that what came since then follows, a line for each lot of messages. One that has no end does not count.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speeddata.errors import DataError, HostError, UsageError
from speeddata.subscription.dedup import Dedup
from speeddata.subscription.destinations import Destination, Kafka, LogFile, Nats
from speeddata.subscription.engine import Received
from speeddata.subscription.engines import log_path

_SAVE_S, _SAVE_SHARE = 1.0, 0.1  # between two writings of much, and of the time that they may take
_APPEND_BYTES, _MOST_BYTES = 8 << 20, 64 << 20
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Whose:
    """What a place is a place in.

    Attributes:
        servers: any of which has the stream; of the embedded log its file.
        stream: or topic, as the engine calls it.
        topic: of the messages.
        name: of the consumer.
    """

    servers: tuple[str, ...]
    stream: str
    topic: str
    name: str

    @staticmethod
    def of(destination: Destination, topic: str, name: str) -> Whose:
        if isinstance(destination, LogFile):
            return Whose((os.path.abspath(log_path(destination)),), "", topic, name)
        if isinstance(destination, Nats):
            return Whose(destination.servers, destination.stream, topic, name)
        if isinstance(destination, Kafka):
            return Whose(destination.servers, destination.topic, topic, name)
        return Whose((destination.redacted,), "", topic, name)

    def __str__(self) -> str:
        return (
            f"'{self.name}' of {self.topic} at {'/'.join((','.join(self.servers), self.stream)).rstrip('/')}"
        )

    def same(self, other: Whose) -> bool:
        """Whether *other* is the same; a cluster may have got other servers, but not all at once."""
        mine, theirs = ((each.stream, each.topic, each.name) for each in (self, other))
        return mine == theirs and not set(self.servers).isdisjoint(other.servers)


class Checkpoint:
    """How far a listener is.

    Attributes:
        sequence, time_ns: of the last message that left; empty and 0 where none did.
        dedup: as `Dedup.state` gave it; `later`: as `Dedup.news` did after that.

    Raises:
        DataError: the file is none of ours, or damaged.
        HostError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sequence, self.time_ns = "", 0
        self.dedup: dict[str, Any] = {}
        self.later: list[dict[str, Any]] = []
        self._whose: Whose | None = None
        self._saved, self._took = float("-inf"), 0.0
        self._file, self._appended = -1, 0
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_BYTES)
            first, *lines = data.split(b"\n")
            self._read(json.loads(first), [json.loads(line) for line in lines[:-1]])
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc
        except (ValueError, KeyError, TypeError, RecursionError):
            mend = "to begin anew, move it away"
            raise DataError("is no checkpoint, or damaged", where=str(path), mend=mend) from None

    def belongs(self, whose: Whose) -> None:
        """It is for *whose*; a file that does not say for whom, as older ones, may be for anybody.

        Raises:
            UsageError: it is another's.
        """
        if self._whose is not None and not self._whose.same(whose):
            mend = f"name another file for {whose}, or move this one away"
            raise UsageError(f"is the checkpoint of {self._whose}", where=str(self.path), mend=mend)
        self._whose = whose

    def moved(self, received: Received, dedup: Dedup | None, news: dict[str, Any]) -> None:
        """The message *received* has left; *news* is what *dedup* learned since the last call.

        Raises:
            HostError: as `save`.
        """
        self.sequence, self.time_ns = received.sequence, received.time_ns
        due = time.monotonic() - self._saved > max(_SAVE_S, self._took / _SAVE_SHARE)
        if dedup is None or due or self._appended > _APPEND_BYTES:
            self.save(dedup)
            return
        line = _line({"sequence": self.sequence, "time_ns": self.time_ns, "news": news})
        try:
            if self._file < 0:
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._appended += len(line)
            while line:  # no kill takes it back; on the disk it is with `save`
                line = line[os.write(self._file, line) :]
        except OSError as exc:
            raise HostError(f"cannot write: {exc.strerror}", where=str(self.path)) from exc

    def save(self, dedup: Dedup | None) -> None:
        """Write all of it anew; *dedup*: with what that remembers now.

        Raises:
            HostError: it cannot be written; then the file is as it was.
        """
        begun = time.monotonic()
        if dedup is not None:
            self.dedup, self.later = dedup.state(), []
        said: dict[str, Any] = {"version": _VERSION, "sequence": self.sequence, "time_ns": self.time_ns}
        if self._whose is not None:
            said["of"] = asdict(self._whose)
        said |= {"dedup": self.dedup, "later": self.later}
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            with new.open("wb") as file:
                file.write(_line(said))
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except OSError as exc:
            raise HostError(f"cannot write: {exc.strerror}", where=str(self.path)) from exc
        self.close()  # it was the file before
        self._appended = 0
        self._saved = time.monotonic()
        self._took = self._saved - begun

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self, said: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        if said["version"] != _VERSION:
            raise ValueError
        self.dedup, self.later = said["dedup"], list(said.get("later", ()))
        self._place(said["sequence"], said.get("time_ns", 0))
        if "of" in said:
            of = {**said["of"], "servers": tuple(said["of"]["servers"])}
            self._whose = Whose(**of)
        for line in lines:
            self.later.append(line["news"])
            self._place(line["sequence"], line["time_ns"])

    def _place(self, sequence: Any, time_ns: Any) -> None:
        if not (isinstance(sequence, str) and isinstance(time_ns, int)):
            raise ValueError
        self.sequence, self.time_ns = sequence, time_ns


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"

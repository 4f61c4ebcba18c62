"""What arrived for a channel and is no datum of its schema, kept in a container for a person to look at."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from speeddata.avro import container
from speeddata.errors import DataError
from speeddata.recording.blockfile import BlockFile

REJECTS_NAME = "rejected.avro"
REJECTS_ROLE = "rejected"
REJECTS_BYTES = 10 << 20
SCHEMA_TEXT = (
    '{"type": "record", "name": "rejected", "fields": ['
    '{"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},'
    '{"name": "source", "type": "string"}, {"name": "reason", "type": "string"},'
    '{"name": "bytes", "type": "bytes"}]}'
)

log = logging.getLogger("speeddata")


class Reject(NamedTuple):
    """A datagram that is no datum: when it came (UTC) and from where, what is wrong, all its bytes."""

    time_ns: int
    source: str
    reason: str
    data: bytes

    def encoded(self) -> bytes:
        """As a datum of `SCHEMA_TEXT`."""
        parts = [container.zigzag(self.time_ns)]
        for item in (self.source.encode(), self.reason.encode(), self.data):
            parts += (container.zigzag(len(item)), item)
        return b"".join(parts)


class Rejects:
    """The channel's `rejected.avro`, opened when it is first needed; beyond its limit nothing is kept.

    It outlives sessions and relays: whole blocks stay, a torn tail is cut off. A file that is damaged, or not
    one of these, is put aside as `rejected.avro.damaged`, and a new one begun.

    Args:
        path: of the file; its directory must exist before `keep` is called.
        channel: whose rejects they are.
        limit_bytes: how large the file may grow.
    """

    def __init__(self, path: Path, channel: str, limit_bytes: int = REJECTS_BYTES) -> None:
        self.path, self.channel, self.limit_bytes = path, channel, limit_bytes
        self._file: BlockFile | None = None
        self._full = False
        self._resting = False  # until the next second: the disk refused

    def keep(self, rejects: Iterable[Reject]) -> None:
        """Write what there is room for. A disk that refuses costs these rejects, and never raises.

        *rejects* may be made on the way: nothing is asked of it once there is no room.
        """
        if self._full or self._resting:
            return
        try:
            if self._file is None:
                self._file = self._open()
            self._append(self._file, rejects)
        except OSError as exc:
            log.debug("%s: rejected datums are counted, not kept: %s", self.path, exc.strerror)
            self.close()
            self._resting = True

    def look_again(self) -> None:
        """Once a second: notice that somebody deleted the file, and that a disk may have recovered."""
        self._resting = False
        if (self._file is not None and self._file.removed) or (self._full and not self.path.exists()):
            self.close()

    def close(self) -> None:
        """Close the file; `keep` opens it again."""
        file, self._file = self._file, None
        self._full = False
        if file is not None:
            file.close()

    def _append(self, file: BlockFile, rejects: Iterable[Reject]) -> None:
        room = self.limit_bytes - file.size - 1024  # what a block needs beside its data, header included
        data = bytearray()
        count = 0
        for reject in rejects:
            encoded = reject.encoded()
            if len(data) + len(encoded) > room:
                self._full = True
                log.debug("%s: full; what is rejected from now on is counted", self.path)
                break
            data += encoded
            count += 1
        if count:
            file.append(count, bytes(data))

    def _open(self) -> BlockFile:
        if self.path.exists():
            found = self._whole()
            if found is not None:
                return BlockFile.extend(self.path, *found)
            aside = self.path.with_name(self.path.name + ".damaged")
            self.path.replace(aside)
            log.warning("%s: damaged; put aside as %s", self.path, aside.name)
        metadata = {
            "avro.schema": SCHEMA_TEXT,
            "speeddata.channel": self.channel,
            "speeddata.role": REJECTS_ROLE,
        }
        return BlockFile.create(self.path, metadata)

    def _whole(self) -> tuple[bytes, int] | None:
        """Sync marker of the file and size of its whole blocks; None: it is damaged, or none of these."""
        reader = container.ContainerReader(str(self.path))
        with open(self.path, "rb") as file:
            try:
                while piece := file.read(1 << 20):
                    for _ in reader.feed(piece):
                        pass
            except DataError:
                return None
        header = reader.header
        if header is None or reader.damage or header.schema_text != SCHEMA_TEXT or header.codec != "null":
            return None
        return header.sync, reader.offset

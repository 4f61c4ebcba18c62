"""A channel's recording, written block by block while a test runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from by_hand import NOON, RIG_TEXT, rig

from speeddata.recording.blockfile import BlockFile
from speeddata.recording.catalogue import file_name


class Recording:
    """A channel's directory; `begin` opens its next file, of *schema_text*, and `end` closes the one before.

    Attributes:
        next: number of the next datum that `block` writes.
    """

    def __init__(self, root: Path, channel: str = "rig") -> None:
        self.folder, self.channel = root / channel, channel
        self.folder.mkdir(parents=True)
        self.files: list[BlockFile] = []
        self.next = 0

    def begin(self, schema_text: str = RIG_TEXT) -> Path:
        self.end()
        metadata = {
            "avro.schema": schema_text,
            "speeddata.channel": self.channel,
            "speeddata.role": "recording",
        }
        path = self.folder / file_name(self.channel, NOON + len(self.files))
        self.files.append(BlockFile.create(path, metadata))
        return path

    def block(self, count: int = 3) -> None:
        """*count* datums of `by_hand.rig` as a block."""
        self.add(rig(range(self.next, self.next + count)))
        self.next += count

    def add(self, datums: Iterable[bytes]) -> None:
        datums = list(datums)
        self.files[-1].append(len(datums), b"".join(datums))

    def end(self) -> None:
        if self.files and self.files[-1]._descriptor >= 0:
            self.files[-1].close()
            self.files[-1]._descriptor = -1

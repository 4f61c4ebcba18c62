"""What a channel's data is like, whole or damaged: seen once, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speeddata.avro import codec
from speeddata.avro.container import Block, ContainerReader, Header
from speeddata.avro.schema import TICK_NS, Array, Enum, Fixed, Map, Node, Schema, Union
from speeddata.batch import Batch
from speeddata.errors import DataError
from speeddata.steps import Steps, Summary

PLACES = 1000  # damaged places of a channel that are told one by one
_GATHERED_BYTES = 1 << 18  # blocks that are looked at together
_GATHERED_BLOCKS = 1024

# What becomes of each block that is whole.
Keep = Callable[[Header, Batch], None]


class Place(NamedTuple):
    """Bytes that are no block, or of one whose datums are not what the schema says."""

    file: str
    offset: int
    size: int


@dataclass
class FileFindings:
    """One file.

    Attributes:
        name: its path, or `standard input`.
        channel: whose it says it is; empty where it does not.
        codec: as its header says.
        size: bytes that were read.
        blocks, datums: that are whole.
        writing: somebody writes it, so that its end says nothing.
        torn: bytes at its end that are no whole block.
    """

    name: str
    channel: str = ""
    codec: str = ""
    size: int = 0
    blocks: int = 0
    datums: int = 0
    writing: bool = False
    torn: int = 0


@dataclass
class Findings:
    """One channel.

    Attributes:
        channel: its name.
        schema: the newest.
        changes: of the schema, from file to file, in words.
        files: in recording order.
        datums, blocks: that are whole.
        least, greatest: of the abscissa: nanoseconds where the schema tells its unit, else in its own unit.
            None where it is no number.
        steps: of the abscissa, in its own unit; None where it is no number.
        sequence: likewise, of the signal that counts.
        damage: the first `PLACES` places that are no blocks.
        damaged_places, damaged_bytes: of them all.
        undecodable: the first `PLACES` whole blocks whose datums are not what the schema says.
        undecodable_blocks, undecodable_datums: of them all.
        unreadable: files that are no containers, and why.
        counts: what the ledger tells, by its own words (`lost`, `rejected`...); None where there is none.
        announced: of a live channel, what its relay says of it.
    """

    channel: str
    schema: Schema | None = None
    changes: list[str] = field(default_factory=list)
    files: list[FileFindings] = field(default_factory=list)
    datums: int = 0
    blocks: int = 0
    least: int | float | None = None
    greatest: int | float | None = None
    steps: Summary | None = None
    sequence: Summary | None = None
    damage: list[Place] = field(default_factory=list)
    damaged_places: int = 0
    damaged_bytes: int = 0
    undecodable: list[Place] = field(default_factory=list)
    undecodable_blocks: int = 0
    undecodable_datums: int = 0
    unreadable: list[str] = field(default_factory=list)
    counts: dict[str, int] | None = None
    announced: dict[str, Any] | None = None

    @property
    def damaged(self) -> bool:
        """Whether something is lost that was there; a torn end is not damage."""
        return bool(self.damaged_places or self.undecodable_blocks or self.unreadable)

    @property
    def rate_hz(self) -> float | None:
        """Mean rate over the whole range; None where the abscissa is no time."""
        if self.schema is None or self.schema.time_unit is None:
            return None
        if self.least is None or self.greatest is None or self.greatest <= self.least:
            return None
        return (self.datums - 1) * 1e9 / (self.greatest - self.least)


class Inspector:
    """Gathers the findings on one channel.

    Args:
        channel: its name.
        sequence: name of the signal that counts samples, if one does.
        keep: takes each whole block.
        accept: is asked of each schema, before anything is read with it; raises where it will not do.
    """

    def __init__(
        self,
        channel: str,
        sequence: str | None = None,
        *,
        keep: Keep | None = None,
        accept: Callable[[Schema], None] | None = None,
    ) -> None:
        self.findings = Findings(channel)
        self._sequence, self._keep, self._accept = sequence, keep, accept
        self._steps, self._sequence_steps = Steps(), Steps(sequence=True)
        self._schema: Schema | None = None

    def begin(self, schema: Schema) -> None:
        """What comes from now on has this schema."""
        if self._accept is not None:
            self._accept(schema)
        if self._schema is not None and self._schema != schema:
            self.findings.changes += differences(self._schema, schema)
            if _indexed_by(self._schema) != _indexed_by(schema):
                self._steps = Steps()  # the values before and after do not compare
                self.findings.least = self.findings.greatest = None
        self._schema = self.findings.schema = schema

    def container(self, pieces: Iterable[bytes], file: FileFindings, time_unit: str | None) -> None:
        """Read one container to its end; what it says of itself goes to *file*, too.

        Raises:
            DataError: it is no container, or its schema or codec cannot be read.
        """
        self.findings.files.append(file)
        reader = ContainerReader(file.name, time_unit=time_unit)
        waiting: list[Block] = []
        size = 0
        for piece in pieces:
            file.size += len(piece)
            blocks = reader.feed(piece)
            if reader.schema is not None and reader.schema is not self._schema:
                self.begin(reader.schema)
            for block in blocks:
                waiting.append(block)
                size += len(block.batch.data)
                if size >= _GATHERED_BYTES or len(waiting) >= _GATHERED_BLOCKS:
                    self._blocks(reader, waiting, file)
                    waiting, size = [], 0
            self._damage(reader, file)
        if reader.header is None or reader.schema is None:
            raise DataError("ends before an Avro header is whole", where=file.name)
        self._blocks(reader, waiting, file)
        self._damage(reader, file)
        file.codec, file.channel = reader.header.codec, reader.header.text("speeddata.channel")
        file.torn = reader.finish()

    def batch(self, batch: Batch) -> None:
        """Take a batch that is whole, with its boundaries known."""
        if batch.schema is not self._schema:
            self.begin(batch.schema)
        signals = {signal.name: signal for signal in batch.schema.signals}
        abscissa = batch.schema.abscissa
        wanted = [abscissa.name] if abscissa.dtype not in (None, "?") else []
        counted = signals.get(self._sequence or "")
        if counted is not None and counted.kind not in ("int", "long"):
            counted = None
        if counted is not None:
            wanted.append(counted.name)
        columns = codec.columns(batch, wanted) if wanted else {}
        for name, column in columns.items():
            values = column.values if column.valid is None else column.values[column.valid]
            values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64, copy=False)
            if name == abscissa.name:
                self._range(values, batch.schema)
                self._steps.add(values)
            if counted is not None and name == counted.name:
                self._sequence_steps.add(values)
        self.findings.datums += batch.count

    def finish(self) -> Findings:
        """The findings, with what could be said only at the end."""
        if self._schema is not None and self._schema.abscissa.dtype not in (None, "?"):
            self.findings.steps = self._steps.summary()
        if self._sequence is not None:
            self.findings.sequence = self._sequence_steps.summary()
        return self.findings

    def _blocks(self, reader: ContainerReader, blocks: list[Block], file: FileFindings) -> None:
        if not blocks:
            return
        joined = _joined(blocks)
        if joined is None and len(blocks) > 1:  # one of them is not what it claims to be: which?
            for block in blocks:
                self._blocks(reader, [block], file)
            return
        if joined is None:
            ((batch, offset, size),) = blocks
            self.findings.undecodable_blocks += 1
            self.findings.undecodable_datums += batch.count
            if len(self.findings.undecodable) < PLACES:
                self.findings.undecodable.append(Place(file.name, offset, size))
            return
        self.batch(joined)
        self.findings.blocks += len(blocks)
        file.blocks += len(blocks)
        file.datums += joined.count
        if self._keep is not None:
            assert reader.header is not None
            for block in blocks:
                self._keep(reader.header, block.batch)

    def _damage(self, reader: ContainerReader, file: FileFindings) -> None:
        for place in reader.damage:
            self.findings.damaged_places += 1
            self.findings.damaged_bytes += place.size
            if len(self.findings.damage) < PLACES:
                self.findings.damage.append(Place(file.name, place.offset, place.size))
        reader.damage.clear()

    def _range(self, values: NDArray[Any], schema: Schema) -> None:
        if values.dtype.kind == "f":  # what an integer cannot hold is no time
            values = values[np.abs(values) < (np.inf if schema.time_unit is None else 2.0**63)]
        if not len(values):
            return
        least, greatest = values.min().item(), values.max().item()
        if schema.time_unit is not None:
            tick = TICK_NS[schema.time_unit]
            least, greatest = round(Fraction(least) * tick), round(Fraction(greatest) * tick)
        known = self.findings
        known.least = least if known.least is None else min(known.least, least)
        known.greatest = greatest if known.greatest is None else max(known.greatest, greatest)


def _joined(blocks: list[Block]) -> Batch | None:
    """One batch of the datums of *blocks*, boundaries known; None where a block does not hold its datums."""
    counts = np.cumsum([block.batch.count for block in blocks])
    ends = np.cumsum([len(block.batch.data) for block in blocks])
    data = blocks[0].batch.data if len(blocks) == 1 else b"".join(block.batch.data for block in blocks)
    batch = Batch(blocks[0].batch.schema, data, int(counts[-1]))
    try:
        found = codec.offsets(batch)
    except DataError:
        return None
    return batch if np.array_equal(found[counts], ends) else None


def _indexed_by(schema: Schema) -> tuple[str, str | None]:
    return schema.abscissa.name, schema.time_unit


def differences(before: Schema, now: Schema) -> list[str]:
    """What is not the same in two schemas of a channel, in words."""
    old = {signal.name: type_text(signal.node) for signal in before.signals}
    new = {signal.name: type_text(signal.node) for signal in now.signals}
    told = [f"{name} is gone" for name in old if name not in new]
    told += [f"{name} is new ({kind})" for name, kind in new.items() if name not in old]
    told += [
        f"{name} was {old[name]}, is {new[name]}" for name in new if old.get(name, new[name]) != new[name]
    ]
    if before.time_unit != now.time_unit:
        told.append(f"the abscissa was in {before.time_unit or '?'}, is in {now.time_unit or '?'}")
    return told


def type_text(node: Node) -> str:
    """The type of a signal in words: `double`, `int or null`, `array of 3 float`."""
    match node:
        case Union(branches=branches):
            others = [branch for branch in branches if branch.kind != "null"]
            words = [type_text(branch) for branch in others]
            return " or ".join([*words, "null"] if len(others) < len(branches) else words)
        case Array(items=items, length=None):
            return f"array of {type_text(items)}"
        case Array(items=items, length=length):
            return f"array of {length} {type_text(items)}"
        case Map(values=values):
            return f"map of {type_text(values)}"
        case Enum(symbols=symbols):
            return f"enum of {', '.join(symbols)}"
        case Fixed(size=size):
            return f"fixed of {size} bytes"
        case _:
            return node.kind

"""Avro object containers, fed bytes, cut into blocks. What ends at a sync marker is a block, or it is damage.

Specification: Avro 1.12, "Object Container Files".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from speeddata.avro import schema as schemas
from speeddata.avro.compression import Decompress, decompressor
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.errors import DataError

MAGIC = b"Obj\x01"
SYNC_SIZE = 16

HEADER_LIMIT = 1 << 20
HEADER_ENTRIES = 1024
BLOCK_LIMIT = 256 << 20  # of a block in the file, and of its data once it is decompressed

Bytes: TypeAlias = bytes | bytearray | memoryview


class _MalformedError(ValueError):
    """These bytes can never be what they stand for, whatever follows them."""


class _ShortError(ValueError):
    """These bytes are a beginning: more are needed."""


def zigzag(number: int) -> bytes:
    """*number* as an Avro long ("Binary Encoding"): 1 to 10 bytes."""
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _read_long(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """The Avro long that begins at *at*, and where it ends."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift == 70:
            break
    else:
        raise _ShortError
    raise _MalformedError("a number of more than 64 bits")


# -- the header ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Header:
    """What a container says about itself before its first block.

    Attributes:
        metadata: the map of the header; the keys `avro.*` belong to the specification, `speeddata.*` to us.
        sync: the marker that ends each block, 16 bytes.
        size: of the header in bytes: the first block begins there.
    """

    metadata: Mapping[str, bytes]
    sync: bytes
    size: int

    def text(self, key: str, default: str = "") -> str:
        """The value of *key* as text; bytes that are no UTF-8 show as U+FFFD."""
        value = self.metadata.get(key)
        return default if value is None else value.decode("utf-8", "replace")

    @property
    def schema_text(self) -> str:
        """The writer's schema as it was written; empty when there is none."""
        return self.text("avro.schema")

    @property
    def codec(self) -> str:
        """Name of the codec; a header that names none means `null`."""
        return self.text("avro.codec", "null")


def read_header(data: Bytes, *, limit: int = HEADER_LIMIT) -> Header | None:
    """The header at the beginning of *data*; None when more bytes are needed.

    Nothing is copied or counted before its length is known to lie within *limit*.

    Raises:
        DataError: this can never become a header of at most *limit* bytes.
    """
    try:
        return _read_header(data, min(len(data), limit), limit)
    except _ShortError:
        if len(data) >= limit:
            raise DataError(f"the Avro header is longer than {limit:,} bytes") from None
        return None
    except _MalformedError as exc:
        raise DataError(str(exc)) from None


def _read_header(data: Bytes, end: int, limit: int) -> Header:
    magic = bytes(data[: len(MAGIC)])
    if magic != MAGIC[: len(magic)]:
        raise _MalformedError("not an Avro container (its first bytes are not `Obj` and 1)")
    metadata: dict[str, bytes] = {}
    at, entries = len(MAGIC), 0
    while True:
        count, at = _read_long(data, at, end)
        if count == 0:
            break
        entries += abs(count)
        if entries > HEADER_ENTRIES:
            raise _MalformedError(f"the Avro header has more than {HEADER_ENTRIES} entries")
        if count < 0:  # a negative count is followed by the size of this part of the map in bytes
            _, at = _read_long(data, at, end)
        for _ in range(abs(count)):
            key, at = _read_bytes(data, at, end, limit)
            value, at = _read_bytes(data, at, end, limit)
            try:
                metadata[key.decode()] = value
            except UnicodeDecodeError:
                raise _MalformedError("a key of the Avro header is not UTF-8") from None
    if at + SYNC_SIZE > end:
        raise _ShortError
    return Header(metadata, bytes(data[at : at + SYNC_SIZE]), at + SYNC_SIZE)


def _read_bytes(data: Bytes, at: int, end: int, limit: int) -> tuple[bytes, int]:
    length, at = _read_long(data, at, end)
    if length < 0 or at + length > limit:
        raise _MalformedError(f"the Avro header has an entry of {length:,} bytes")
    if at + length > end:
        raise _ShortError
    return bytes(data[at : at + length]), at + length


def write_header(metadata: Mapping[str, bytes | str], sync: bytes) -> bytes:
    """A container's header; text is written as UTF-8.

    Raises:
        ValueError: *sync* is not 16 bytes.
    """
    if len(sync) != SYNC_SIZE:
        raise ValueError(f"a sync marker of {len(sync)} bytes; it has {SYNC_SIZE}")
    parts = [MAGIC]
    if metadata:
        parts.append(zigzag(len(metadata)))
    for pair in metadata.items():
        for item in pair:
            encoded = item.encode() if isinstance(item, str) else item
            parts += (zigzag(len(encoded)), encoded)
    return b"".join((*parts, zigzag(0), sync))


def frame(count: int, size: int) -> bytes:
    """What stands before a block's data: how many datums, in how many bytes. The marker follows the data."""
    return zigzag(count) + zigzag(size)


# -- the blocks ---------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A batch, and where its frame lies.

    Attributes:
        batch: the block's datums, decompressed.
        offset: of the frame's first byte in the container.
        size: of the whole frame in bytes, sync marker included: the next block begins at `offset + size`.
    """

    batch: Batch
    offset: int
    size: int


class Damage(NamedTuple):
    """A place that holds no block: *size* bytes at *offset*, up to where the next block may begin."""

    offset: int
    size: int


class _Frame(NamedTuple):
    """What a block says of itself: how many datums, in how many bytes, and the index where they begin."""

    datums: int
    size: int
    begin: int


class ContainerReader:
    """Cuts a growing container into blocks; does no I/O of its own.

    A random marker is never part of a block's data, so the first one found ends the block: where that is not
    where the block's own length puts it, something is damaged, and reading goes on behind the marker. So a
    wrong length can neither swallow what follows nor make the reader wait for it, and the same bytes give the
    same blocks, however they are cut. Only a block whose datums have as many bytes as those of the block
    before is taken at its word, where a marker ends it: it would take a wrong count to fit a wrong length.

    Containers one after the other (`cat *.avro`) are read one after the other: where a block might begin, the
    first bytes of a header can be nothing else, since as a count they are negative.

    Args:
        where: what messages call this container: a path, `standard input`.
        schema_override: read the datums with this schema instead of the header's.
        time_unit: of the abscissa, where the schema does not say it.

    Attributes:
        header: of the container that is being read; None until all of the first was fed.
        schema: the writer's schema; None until the header is there.
        offset: of the first byte not yet handed out, neither in a block nor as damage.
        damage: the places passed over so far.
    """

    def __init__(
        self, where: str = "", schema_override: Schema | None = None, time_unit: str | None = None
    ) -> None:
        self.where = where
        self.header: Header | None = None
        self.schema: Schema | None = None
        self.offset = 0
        self.damage: list[Damage] = []
        self._override, self._time_unit = schema_override, time_unit
        self._pending = bytearray()  # bytes fed, and not yet dropped
        self._base = 0  # offset of the first of them in the container
        self._at = 0  # index of the first one not handed out
        self._searched = 0  # no marker begins before this index
        self._sought = 0  # whether a header begins before this index is known, where no block can be
        self._sync = b""
        self._proven = (0, 0)  # datums of the last block, and their bytes in the file
        self._passed_header = False  # since the last block: where no block could be, one might begin
        self._decompress: Decompress | None = None

    @classmethod
    def resume(
        cls,
        header: Header,
        offset: int,
        *,
        where: str = "",
        schema_override: Schema | None = None,
        time_unit: str | None = None,
    ) -> ContainerReader:
        """A reader that is fed from *offset* on, where a block begins, of a container whose header is known.

        Raises:
            DataError: the header has no schema that can be read, or a codec that cannot.
        """
        reader = cls(where, schema_override, time_unit)
        reader._open(header)
        reader.offset = reader._base = offset
        return reader

    def feed(self, data: Bytes) -> Iterator[Block]:
        """Add *data*; yield each block that is now whole. What is not taken is yielded after the next call.

        Raises:
            DataError: this is no container, or its schema or codec cannot be read; never for a damaged block.
        """
        del self._pending[: self._at]
        self._base += self._at
        self._searched -= self._at
        self._sought -= self._at
        self._at = 0
        self._pending += data
        if self.header is None:
            self._read_header()
        return self._blocks()

    def finish(self) -> int:
        """Size in bytes of the torn tail: what was fed and has no sync marker behind it. 0 = all is whole.

        A tail that another container may begin in, or that has a marker in it, is not only torn: it counts as
        damage.
        """
        left = self._base + len(self._pending) - self.offset
        if left and (self._passed_header or self._pending.find(self._sync, self._at) >= 0):
            self.damage.append(Damage(self.offset, left))
            self.offset += left
            return 0
        return left

    def _read_header(self) -> None:
        try:
            header = read_header(self._pending)
        except DataError as exc:
            exc.where = exc.where or self.where
            raise
        if header is not None:
            self._open(header)
            self.offset = self._at = self._searched = self._sought = header.size

    def _open(self, header: Header) -> None:
        if (self._override is None or self.schema is not None) and "avro.schema" not in header.metadata:
            raise DataError("the Avro header has no schema", where=self.where)
        self._decompress = None
        if header.codec != "null":
            self._decompress = decompressor(header.codec, BLOCK_LIMIT, where=self.where)
        self.header, self._sync, self._proven = header, header.sync, (0, 0)
        if self.schema is None and self._override is not None:
            self.schema = self._override
        elif self.schema is None or self.schema.text.encode() != header.metadata["avro.schema"]:
            self.schema = schemas.parse(
                header.metadata["avro.schema"], where=self.where, time_unit=self._time_unit
            )

    def _blocks(self) -> Iterator[Block]:
        if self.header is None or self.schema is None:
            return
        pending = self._pending
        while True:
            at_block = self._base + self._at == self.offset
            if at_block and self._at_header(self._at):
                if not self._next_container(self._at):
                    return  # the rest of it is to come
                continue  # it may have no blocks, and another one begin behind it
            frame = self._frame() if at_block else None
            marker = -1
            if frame is not None and self._believed(frame):
                marker = frame.begin + frame.size
                if marker + SYNC_SIZE > len(pending):
                    return  # and no search meanwhile: it must not matter where the bytes are cut
                if not pending.startswith(self._sync, marker):
                    marker = -1
            if marker < 0:
                marker = pending.find(self._sync, self._searched)
            if marker >= 0:
                offset, size = self.offset, self._base + marker + SYNC_SIZE - self.offset
                batch = self._batch(frame, marker, self.schema)
                self.offset += size
                self._at = self._searched = self._sought = marker + SYNC_SIZE
                self._passed_header = False
                if batch is None:
                    self.damage.append(Damage(offset, size))
                elif batch.count:
                    yield Block(batch, offset, size)
                continue
            self._searched = max(self._at, len(pending) - SYNC_SIZE + 1)
            if self._hopeless():  # only the next marker is of interest: keep what may be its beginning
                self._passed_header |= pending.find(MAGIC, self._sought) >= 0
                self._sought = max(self._sought, len(pending) - len(MAGIC) + 1)
                self._at = self._searched
            return

    def _at_header(self, at: int) -> bool:
        """Whether a header, or the beginning of one, stands at index *at*."""
        if not self._pending.startswith(MAGIC, at):
            return False
        try:
            header = read_header(memoryview(self._pending)[at:])
        except DataError:
            return False
        return header is None or "avro.schema" in header.metadata

    def _next_container(self, at: int) -> bool:
        """Go on with the container whose header begins at index *at*; False when more bytes are needed.

        Raises:
            DataError: its schema or codec cannot be read.
        """
        header = read_header(memoryview(self._pending)[at:])
        if header is None:
            return False
        self._open(header)
        self._at = self._searched = self._sought = at + header.size
        self.offset = self._base + self._at
        return True

    def _frame(self) -> _Frame | None:
        """What stands where a block begins; None where that is none, or not all of it is there."""
        try:
            count, at = _read_long(self._pending, self._at, len(self._pending))
            size, at = _read_long(self._pending, at, len(self._pending))
        except ValueError:
            return None
        return _Frame(count, size, at) if 0 <= size <= BLOCK_LIMIT else None

    def _believed(self, frame: _Frame) -> bool:
        """Whether a marker where *frame* puts it is the first one, so that no other has to be looked for.

        It is where datums have as many bytes as in the block before. To swallow other blocks and frames both
        numbers would have to be wrong, and fit each other.
        """
        count, size = self._proven
        return count > 0 and frame.datums * size == frame.size * count

    def _batch(self, frame: _Frame | None, marker: int, schema: Schema) -> Batch | None:
        """The batch between the first byte not handed out and *marker*; None = damage."""
        if frame is None or frame.begin + frame.size != marker:
            return None
        count, size, at = frame
        if self._decompress is None or not size:
            data = bytes(memoryview(self._pending)[at:marker])
        else:
            try:
                data = self._decompress(memoryview(self._pending)[at:marker])
            except Exception:  # each library has its own
                return None
        if count < 0 or count * schema.min_size > len(data) or (data and not count):
            return None  # no datums in no bytes is a block too: one that says nothing
        self._proven = (count, size)
        return Batch(schema, data, count)

    def _hopeless(self) -> bool:
        """True when no byte to come can make a block of those that wait."""
        if self._base + self._at != self.offset:
            return True
        end = len(self._pending)
        try:
            count, at = _read_long(self._pending, self._at, end)
            size, at = _read_long(self._pending, at, end)
        except _ShortError:
            return False
        except _MalformedError:
            return True
        return count < 0 or not 0 <= size <= BLOCK_LIMIT or at + size + SYNC_SIZE <= end

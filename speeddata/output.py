"""Where products go: bytes to standard output or a file, batches as one container."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from speeddata.avro import container
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError, StdoutClosed

STDOUT = 1


class Bytes:
    """A file descriptor that takes everything it is given, in order, unbuffered.

    Raises:
        StdoutClosed: nobody reads it any more.
        HostError: the system refused, a full disk for instance.
    """

    def __init__(self, fd: int = STDOUT, *, where: str = "standard output") -> None:
        self.fd, self.where = fd, where

    def write(self, *parts: bytes) -> None:
        todo = [memoryview(part) for part in parts if part]
        while todo:
            try:
                written = os.writev(self.fd, todo)
            except BrokenPipeError:
                raise StdoutClosed from None
            except OSError as exc:
                raise HostError(f"cannot write: {exc.strerror}", where=self.where) from exc
            while todo and written >= len(todo[0]):
                written -= len(todo.pop(0))
            if written:
                todo[0] = todo[0][written:]


@contextmanager
def created(path: str) -> Iterator[Bytes]:
    """A new file at *path*; what was there before is gone.

    Raises:
        HostError: it cannot be written.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as exc:
        raise HostError(f"cannot write: {exc.strerror}", where=path) from exc
    try:
        yield Bytes(fd, where=path)
    finally:
        os.close(fd)


def refuse_change(known: Schema, now: Schema, where: str) -> None:
    """Raises:
    DataError: *now* is another schema than *known*, and the output can hold only one.
    """
    if now is not known and now.fingerprint != known.fingerprint:
        raise DataError(
            f"the schema changed from {known.fingerprint} to {now.fingerprint}",
            where=where,
            mend="one output holds one schema: start again for the rest, or take JSON",
        )


class Container:
    """Batches of one channel as an Avro object container, a block a batch; values are never decoded.

    Args:
        out: where the bytes go.
        metadata: what the header says beside the schema, `speeddata.channel` for instance.
    """

    def __init__(self, out: Bytes, metadata: Mapping[str, str]) -> None:
        self._out, self._metadata = out, metadata
        self._sync = secrets.token_bytes(container.SYNC_SIZE)
        self._schema: Schema | None = None

    def begin(self, schema: Schema) -> None:
        """Write the header, so that a reader knows the schema before the first datum."""
        self._schema = schema
        metadata = {"avro.schema": schema.text, "avro.codec": "null", **self._metadata}
        self._out.write(container.write_header(metadata, self._sync))

    def write(self, batch: Batch) -> None:
        """Raises:
        DataError: the channel has another schema now, which one container cannot hold.
        """
        if self._schema is None:
            self.begin(batch.schema)
        else:
            refuse_change(
                self._schema, batch.schema, self._metadata.get("speeddata.channel", self._out.where)
            )
        self._out.write(container.frame(batch.count, len(batch.data)), batch.data, self._sync)


def copy(
    batches: Iterable[Batch],
    begun: Schema | None,
    form: str | None,
    metadata: Mapping[str, str],
    *,
    iso: bool,
) -> None:
    """Batches of one channel to standard output, as they come.

    Args:
        begun: the schema, where it is known before the first datum.
        form: "avro", "json" or "csv"; None: JSON Lines on a terminal, else a container.
        metadata: as for `Container`; `speeddata.channel` is in it.
        iso: the time as RFC 3339 text, where that is readable at all.

    Raises:
        UsageError: *iso* is wanted, and the abscissa does not tell its unit.
        DataError: the schema changed, which a container or CSV cannot hold.
    """
    from speeddata import text  # with NumPy, which opening an output does without

    out = Bytes()
    terminal = os.isatty(out.fd)
    form = form or ("json" if terminal else "avro")
    container = Container(out, metadata)
    if form == "avro" and begun is not None:
        container.begin(begun)  # a reader may want the schema long before the first datum
    elif iso and begun is not None:
        begun.ticks()
    first = None
    for batch in batches:
        if form == "avro":
            container.write(batch)
        elif form == "json":
            out.write(text.json_lines(batch, iso=iso))
        else:
            refuse_change(first or batch.schema, batch.schema, metadata["speeddata.channel"])
            out.write(text.csv(batch, first is None, iso=iso, for_terminal=terminal))
            first = batch.schema
    if form == "csv" and first is None and begun is not None:  # no rows are a table, too
        out.write(text.csv(Batch(begun, b"", 0), True, iso=iso, for_terminal=terminal))

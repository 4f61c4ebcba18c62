"""A new container of what is whole in a damaged one: written aside, and named when all of it is there."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from speeddata.aside import aside_of, sweep
from speeddata.avro import container
from speeddata.avro.container import Header
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError, UsageError
from speeddata.output import Bytes, refuse_change


class Repair:
    """The container at *path*, from the moment that the context is left without an error.

    Its blocks hold the same datums as those that are kept, byte for byte; the codec is null, the sync marker
    new, and everything else that the header says is as it was. Nothing is ever written over.

    Attributes:
        datums: how many were kept.

    Raises:
        UsageError: *path* is there already.
        HostError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.datums = 0
        self._schema: Schema | None = None
        self._sync = secrets.token_bytes(container.SYNC_SIZE)
        if os.path.lexists(path):
            raise self._taken()
        self._aside = aside_of(path)
        sweep(path)
        try:
            self._fd = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as exc:
            raise HostError(f"cannot write: {exc.strerror}", where=str(path)) from exc
        self._out = Bytes(self._fd, where=str(path))

    def keep(self, header: Header, batch: Batch) -> None:
        """Add the block *batch* of a container with *header*.

        Raises:
            DataError: it has another schema than those before.
            HostError: the disk is full, or gave out.
        """
        if self._schema is None:
            self._schema = batch.schema
            self._out.write(container.write_header({**header.metadata, "avro.codec": "null"}, self._sync))
        refuse_change(self._schema, batch.schema, str(self.path))
        self._out.write(container.frame(batch.count, len(batch.data)), batch.data, self._sync)
        self.datums += batch.count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            os.close(self._fd)
            if exc is None:
                self._give_name()
        finally:
            with contextlib.suppress(FileNotFoundError):
                self._aside.unlink()

    def _give_name(self) -> None:
        if not self.datums:
            raise DataError("nothing whole is left; nothing was written", where=str(self.path))
        try:
            os.link(self._aside, self.path)  # which never takes the place of another file
        except FileExistsError:
            raise self._taken() from None
        except OSError:  # a file system without links
            if os.path.lexists(self.path):
                raise self._taken() from None
            self._aside.rename(self.path)

    def _taken(self) -> UsageError:
        return UsageError("is there already", where=str(self.path), mend="name a new file, or remove it")

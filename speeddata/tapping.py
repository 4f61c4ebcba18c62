"""A channel as it happens, in Python: `speeddata.tap`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from speeddata import columnar, sources
from speeddata.avro import codec
from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.errors import UsageError
from speeddata.interrupts import Stop
from speeddata.samples import Samples, refuse_unknown
from speeddata.timerange import duration_ns

_INTERFACE = "SPEEDDATA_INTERFACE"  # as for the commands

log = logging.getLogger("speeddata")


class Tap:
    """Samples as they arrive, some at a time; made by `tap`.

    Iterating opens it, and the end of the loop closes it, whatever ends the loop. As a context it is open
    from the beginning, so that nothing is missed between two loops.

    Attributes:
        name: of the channel, once it is open.
        schema: where it is known, once it is open; each `Samples` has its own.
        shortfalls: what could not be received, in words, once it is closed.
    """

    def __init__(self, source: str, wanted: sources.Wanted, signals: Sequence[str] | None) -> None:
        self._source, self._wanted, self._patterns = source, wanted, signals
        self._stop = Stop()
        self._stack: ExitStack | None = None
        self._channel: sources.Channel | None = None
        self._batches: Iterator[Samples] = iter(())
        self.name, self.shortfalls = source, ()  # type: tuple[str, tuple[str, ...]]

    @property
    def schema(self) -> Schema | None:
        return self._channel.schema if self._channel is not None else None

    def __enter__(self) -> Self:
        """Raises:
        PeerError: nobody announces the channel.
        UsageError: two relays do, or it means nothing.
        HostError, DataError: it cannot be received, or is not what it claims to be.
        """
        self._stack = ExitStack()
        self._channel = self._stack.enter_context(sources.channel(self._source, self._wanted, self._stop))
        self.name = self._channel.name
        self._batches = self._samples(self._channel)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Samples]:
        if self._stack is not None:
            yield from _shared(self._batches)
            return
        with self:
            yield from _shared(self._batches)

    def close(self) -> None:
        """Receive no more; closing again changes nothing."""
        stack, self._stack = self._stack, None
        if stack is None or self._channel is None:
            return
        self._stop.ask()
        stack.close()
        self.shortfalls = tuple(self._channel.shortfalls)
        for what in self.shortfalls:
            log.warning("%s: %s", self.name, what)

    def _samples(self, channel: sources.Channel) -> Iterator[Samples]:
        known: Schema | None = None
        names: list[str] = []
        for batch in channel.told_apart():
            if batch.schema is not known:
                known = batch.schema
                if self._patterns:
                    refuse_unknown([known], self._patterns)
                names = columnar.chosen(known, self._patterns)
            if batch.count:
                columns = codec.columns(batch, names)
                signals = {signal.name: signal for signal in known.signals if signal.name in columns}
                yield Samples(self.name, known, signals, columns)


def _shared(batches: Iterator[Samples]) -> Iterator[Samples]:
    """*batches*, which a loop that is left does not close."""
    for each in batches:  # noqa: UP028  (`yield from` would close them)
        yield each


def tap(
    source: str | os.PathLike[str],
    *,
    signals: str | Sequence[str] | None = None,
    duration: str | None = None,
    decimated: bool = False,
    schema: str | os.PathLike[str] | None = None,
    time_unit: str | None = None,
    interface: str | Sequence[str] = (),
) -> Tap:
    """A live channel to loop over: each turn gives the samples that arrived since the last one.

    It goes on until the loop is left, by `break` or by Ctrl-C (a KeyboardInterrupt, as everywhere), or until
    *duration* has passed. A loop too slow for the channel loses samples: `Tap.shortfalls` tells how many.

    Args:
        source: the channel's name; an ADDR:PORT where datums arrive; a file or directory, told by a / in it,
            that is followed while it grows.
        signals: names or globs; the abscissa always comes along. None = all.
        duration: end after so long: "90s", "10m".
        decimated: take the thin stream.
        schema: an .avsc file, for an ADDR:PORT that nobody announces.
        time_unit: of an abscissa that does not tell its own: ns, us, ms or s.
        interface: to receive on, by name or address; else as SPEEDDATA_INTERFACE says, else all.

    Raises:
        UsageError, HostError, DataError: an argument makes no sense, or *schema* cannot be read.
    """
    patterns = [signals] if isinstance(signals, str) else list(signals or ()) or None
    on = [interface] if isinstance(interface, str) else list(interface)
    on = on or [each.strip() for each in os.environ.get(_INTERFACE, "").split(",") if each.strip()]
    wanted = sources.Wanted(
        schema=_schema(os.fspath(schema), time_unit) if schema is not None else None,
        time_unit=time_unit,
        on=on,
        decimated=decimated,
        follow=True,
        duration_ns=duration_ns(duration) if duration is not None else None,
    )
    return Tap(os.fspath(source), wanted, patterns)


def _schema(path: str, time_unit: str | None) -> Schema:
    try:
        with open(path, "rb") as file:
            return parse_schema(file.read(), where=path, time_unit=time_unit)
    except OSError as exc:
        raise UsageError(exc.strerror or str(exc), where=path) from exc

"""Source, relay and receiver in one process on loopback: the whole flow, with nothing configured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from speeddata.batch import Batch
from speeddata.errors import HostError, PeerError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.recording.recorder import Recorder
from speeddata.relay.relaying import Relay
from speeddata.relay.serving import ServedChannel, Status
from speeddata.sending import feeds
from speeddata.sending.pacing import ByRate
from speeddata.sending.sender import SourceSender, on_time
from speeddata.wire import interfaces
from speeddata.wire.finding import Found
from speeddata.wire.live import LiveChannel

NAME = "demo"
ANOTHER = "name another directory (-o)"
_LOOPBACK = "127.0.0.1"
_FACTOR = 5
_MEET_S = 5.0  # for the three to find each other; all are in this process
_DRAIN_S = 2.0  # at most, from the last datum sent to its arrival
_STEP_S = 0.005


@dataclass(frozen=True)
class Outcome:
    """What became of the datums that a source sent; *tapped* of them reached a receiver of the full rate."""

    sent: int
    tapped: int
    seconds: float
    relayed: Status


class Demonstration:
    """A source of waveforms, a relay on a free port, and a receiver of what the relay serves.

    Used as a context manager; iterating yields what the receiver got, until asked to stop.

    Args:
        directory: of the recording.
        rate_hz: datums a second.
        stop: ends the source; the others end once they have what it sent.

    Raises:
        HostError: no loopback, or a directory that cannot be written.
    """

    def __init__(self, directory: str, rate_hz: float, stop: Stop) -> None:
        self._directory, self._rate_hz = directory, rate_hz
        self._stop, self._relay_stop, self._tap_stop = stop, Stop(), Stop()
        self._tap_ready = threading.Event()
        self._failure: Exception | None = None
        self._sent = self._tapped = 0
        self._seconds = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if _LOOPBACK not in {each.address for each in interfaces.interfaces()}:
            raise HostError("loopback is down", mend="`ip link set lo up`")
        with ExitStack() as stack:
            try:
                recorder = stack.enter_context(Recorder(self._directory))
            except HostError as exc:  # whose cure is for a relay that somebody started
                raise HostError(exc.what, where=exc.where, mend=ANOTHER) from exc
            self.relay = stack.enter_context(
                Relay([], listen=Endpoint(_LOOPBACK, 0), factor=_FACTOR, recorder=recorder, on=[_LOOPBACK])
            )
            self._in_thread(stack, self._relay)
            self._in_thread(stack, self._source)
            self.channel = self._met()
            found = Found(
                self.channel.announcement(time.monotonic_ns()), self.relay.source_address, self.channel.full
            )
            self._tap = stack.enter_context(LiveChannel(found, self._tap_stop, on=[_LOOPBACK]))
            self._tap_ready.set()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        self._stack.close()

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._tap:
            self._tapped += batch.count
            yield batch
        if self._failure is not None:
            raise self._failure

    def outcome(self) -> Outcome:
        """The sum of it all, once the context was left."""
        return Outcome(self._sent, self._tapped, self._seconds, self.channel.status(time.monotonic_ns()))

    def _in_thread(self, stack: ExitStack, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as exc:  # handed to the main thread, which raises it again
                self._failure = self._failure or exc
                self._end()

        thread = threading.Thread(target=guarded, name=work.__name__.strip("_"))
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._end)

    def _end(self) -> None:
        self._stop.ask()
        self._tap_ready.set()
        self._tap_stop.ask()
        self._relay_stop.ask()

    def _relay(self) -> None:
        self.relay.run(self._relay_stop)

    def _source(self) -> None:
        feed = feeds.demo(self._rate_hz, time.time_ns())
        with SourceSender(self.relay.listening[0], name=NAME, schema=feed.schema) as sender:
            self._tap_ready.wait()
            begun = time.monotonic()
            for batch in on_time(feed.batches, ByRate(self._rate_hz), self._stop):
                sender.send(batch)
            self._sent, self._seconds = sender.sent, time.monotonic() - begun
        deadline = time.monotonic() + _DRAIN_S
        while self.channel.served + self.channel.lost < self._sent and time.monotonic() < deadline:
            time.sleep(_STEP_S)
        self._relay_stop.ask()
        self._tap_stop.ask()

    def _met(self) -> ServedChannel:
        """The relay's channel, once the source has announced it."""
        deadline = time.monotonic() + _MEET_S
        while self._failure is None and time.monotonic() < deadline:
            channel = self.relay.channels.get(NAME)
            if channel is not None and channel.schema is not None:
                return channel
            self._stop.wait(_STEP_S)
        raise self._failure or PeerError("the relay did not hear the source", where=_LOOPBACK)

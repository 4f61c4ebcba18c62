"""Kafka and what speaks its protocol, Azure Event Hubs among them, as a destination.

The broker drops the duplicates of one producer's session only; beyond it, readers know them by the message's
id in a header. Topics of ours are a header, too: all go to the one topic that the destination names.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from speeddata.errors import PeerError
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Kafka
from speeddata.subscription.engine import Closing, Message, TooLarge, Unreachable
from speeddata.subscription.kafka_inlet import KafkaInlet
from speeddata.subscription.kafka_line import Complaints, fatal, library, made, ready, settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer
    from confluent_kafka import Message as Delivered

__all__ = ["KafkaInlet", "KafkaOutlet"]

SEND_S = 30.0  # for the acknowledgement of all messages of a call, counted anew at each that comes

_SLICE_S = 0.1
_REPORT_S = 1.0  # for the library's word about a message, once it has ended the producer
_TOO_LARGE = ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE")


class KafkaOutlet(Closing):
    """The producing end: messages of one key go to one partition, in order.

    Args:
        destination: its topic is made where it is missing, unless it says otherwise or is an event hub.
        stop: ends waiting for a broker that does not answer.

    Raises:
        UsageError: the library is not installed, or does not know a setting.
        Unreachable, Denied: as `send`.
        PeerError: the topic is missing and not to be made.
    """

    def __init__(self, destination: Kafka, *, customer: str = "", stop: Stop | None = None) -> None:
        self._destination, self._stop = destination, stop or Stop()
        self._producer: Producer | None = None
        self._complaints = Complaints(destination, self._stop)
        self._opened()

    def close(self) -> None:
        """Leave the broker; what is under way is given up."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            producer.purge()
            # to give up what is under way is a fatal error of a producer that leaves no gap: its end is meant
            with contextlib.suppress(library().KafkaException), fatal():
                producer.flush(0)

    def send(self, messages: Sequence[Message]) -> list[str]:
        """As `Outlet.send`.

        Raises:
            PeerError: the topic is gone and not to be made again.
        """
        try:
            return self._send(messages)
        except _Oversize:
            # the broker refused a batch for one of them, and those beside it: find out which
            self.close()
            sequences = []
            for message in messages:
                try:
                    sequences += self._send([message])
                except _Oversize as exc:
                    self.close()
                    raise self._too_large(message) from exc
            return sequences

    def _send(self, messages: Sequence[Message]) -> list[str]:
        producer = self._opened()
        delivery = _Delivery(len(messages))
        try:
            for at, message in enumerate(messages):
                if not self._produced(producer, message, partial(delivery.told, at), delivery):
                    self._wait(producer, delivery, at)
                    raise self._too_large(message)
            self._wait(producer, delivery, len(messages))
        except TooLarge:
            raise
        except BaseException:
            # what is still queued must not arrive behind what is sent again
            self.close()
            raise
        return delivery.sequences

    def _produced(
        self, producer: Producer, message: Message, told: Callable[..., None], delivery: _Delivery
    ) -> bool:
        """Hand *message* to the library; whether it is not too large for that."""
        topic, key = self._destination.topic, message.key.encode()
        headers: list[tuple[str, str | bytes | None]] = [("sd-topic", message.topic.encode())]
        if message.id:
            headers.append(("sd-msg-id", message.id.encode()))
        end = time.monotonic() + SEND_S
        while True:
            try:
                # no timestamp: retention counts from it, and a recording may be older than that
                producer.produce(topic, message.body, key, on_delivery=told, headers=headers)
                return True
            except BufferError:  # the library's queue is full
                self._look(producer, delivery, end)
            except library().KafkaException as exc:
                if exc.args[0].name() in _TOO_LARGE:
                    return False
                raise self._complaints.raised(exc.args[0]) from exc

    def _wait(self, producer: Producer, delivery: _Delivery, count: int) -> None:
        """Until the first *count* messages are acknowledged."""
        before, end = 0, time.monotonic() + SEND_S
        while delivery.done < count:
            if delivery.done > before:
                before, end = delivery.done, time.monotonic() + SEND_S
            self._look(producer, delivery, end)
        self._complaints.answered()

    def _look(self, producer: Producer, delivery: _Delivery, end: float) -> None:
        """Let the library work a little, and raise what went wrong."""
        try:
            with fatal():
                producer.flush(_SLICE_S)
        except library().KafkaException as exc:
            # no gap is left behind a message that failed: why it did comes with the report of its delivery
            self._hear(producer, delivery)
            if delivery.error is None:
                raise self._complaints.raised(exc.args[0]) from exc
        if delivery.error is not None:
            if delivery.error.name() in _TOO_LARGE:
                raise _Oversize(delivery.error.str())
            raise self._complaints.raised(delivery.error)
        self._complaints.check()
        if self._complaints.over(end):
            self._complaints.check(trouble=True)
            raise Unreachable("no acknowledgement within the time", where=self._destination.redacted)

    def _hear(self, producer: Producer, delivery: _Delivery) -> None:
        """Wait for a report of delivery, of a producer that sends no more."""
        end = time.monotonic() + _REPORT_S
        while delivery.error is None and time.monotonic() < end:
            with contextlib.suppress(library().KafkaException), fatal():
                producer.flush(_SLICE_S / 10)

    def _too_large(self, message: Message) -> TooLarge:
        return TooLarge(
            f"a message of {len(message.body)} bytes",
            id=message.id,
            where=self._destination.redacted,
            mend="the setting x.message.max.bytes, and the broker's own, bound it",
        )

    def _opened(self) -> Producer:
        if self._producer is None:
            self._complaints = Complaints(self._destination, self._stop)
            producer = made(library().Producer, self._settings(), self._complaints)
            ready(producer, self._destination, self._complaints)
            self._producer = producer
        return self._producer

    def _settings(self) -> dict[str, Any]:
        event_hubs = self._destination.event_hubs
        wanted: dict[str, Any] = {
            "compression.type": "gzip" if event_hubs else "lz4",  # gzip is all that event hubs know
            "linger.ms": 1,  # all that a call waits for; with 0 the first message of many goes alone
            "partitioner": "murmur2_random",  # as Java's producers, so that their keys and ours agree
            "request.timeout.ms": 60_000 if event_hubs else 30_000,
        }
        wanted |= settings(self._destination)
        # what the promise rests on: no message before one that failed, none given up while others go
        return wanted | {
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            "message.timeout.ms": 0,
        }


class _Delivery:
    """What became of the messages of one call."""

    def __init__(self, count: int) -> None:
        self.sequences = [""] * count
        self.done = 0
        self.error: KafkaError | None = None

    def told(self, at: int, error: KafkaError | None, message: Delivered) -> None:
        if error is None:
            self.sequences[at] = f"{message.partition()}:{message.offset()}"
            self.done += 1
        elif self.error is None:
            self.error = error


class _Oversize(PeerError):
    """The broker refused a batch because of its size."""

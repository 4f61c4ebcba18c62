"""The consuming end of Kafka: a member of a consumer group, whose offsets the broker keeps.

A group keeps one offset a partition, before which all is done: what is acknowledged out of turn counts from
when the turn comes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from speeddata.errors import UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Kafka
from speeddata.subscription.engine import Closing, Mode, Position, Received, Unreachable
from speeddata.subscription.kafka_line import Complaints, answered, fatal, library, made, ready, settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, TopicPartition
    from confluent_kafka import Message as Fetched

SESSION_MS = 10_000  # a member that is silent so long has lost its partitions
EVENT_HUBS_SESSION_MS = 30_000  # as Microsoft asks for

_COMMIT_S = 1.0  # between two commits: Event Hubs takes four a second
_ANSWER_S = 5.0  # for the broker's answer to one
_JOIN_S = 30.0  # for the group's other members to agree, and for each word of a partition after that
_SLICE_S = 0.1  # of waiting, between two looks at the wish to stop
_FETCH_BYTES = 16 << 20  # in memory, ahead of the reader


class _Partition:
    """How far a partition is.

    Attributes:
        next: offset of the first message that was never handed out; None: not known before it comes.
        out: offsets before it that are not done with.
        back: those of them that were given back.
        committed: what the broker was told last.
        last: offset behind the last message that is to be handed out; None: not known before the broker has
            answered; `seen`: behind the last that it said there is. It need not be committed.
    """

    def __init__(self, next: int | None = None) -> None:
        self.next = next
        self.out: set[int] = set()
        self.back: set[int] = set()
        self.committed: int | None = None
        self.last: int | None = None
        self.seen: int | None = None

    def takes(self, offset: int) -> bool:
        """Whether the message at *offset*, which came, is to be handed out; a seek brings others, too."""
        if self.next is not None and offset < self.next and offset not in self.back:
            return False
        self.back.discard(offset)
        self.out.add(offset)
        self.next = max(self.next or 0, offset + 1)
        return True

    @property
    def ended(self) -> bool:
        """Whether all up to the last was handed out."""
        return self.last is not None and not self.back and (self.reached or 0) >= self.last

    @property
    def reached(self) -> int | None:
        """How far it is as we know it; None: it has not answered yet."""
        return max((offset for offset in (self.next, self.seen) if offset is not None), default=None)

    @property
    def done(self) -> int | None:
        """The offset before which all is done."""
        return min(self.out, default=self.next)


class KafkaInlet(Closing):
    """The consuming end: *name* of *topic* is the group TOPIC.NAME.

    Of an exclusive consumer there is one: the newest, which fences off the one before it (brokers since 2.3).
    Members of a shared one have a partition each, or several, or none. Acknowledgements reach the broker once
    a second and at closing; after a crash, what was acknowledged in the last second comes again.

    Args:
        position: where to begin; any but `unread` forgets what was acknowledged, for all members of a shared
            one. Sequences are PARTITION:OFFSET, for which other partitions are unread.
        stop: ends waiting.

    Raises:
        UsageError: the position's sequence is none; the library is not installed, or does not know a setting.
        Unreachable, Denied: as `fetch`.
        PeerError: the topic is missing and not to be made.
    """

    def __init__(
        self,
        destination: Kafka,
        *,
        topic: str,
        name: str,
        mode: Mode = "exclusive",
        position: Position | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._destination, self._topic, self._name, self._mode = destination, topic, name, mode
        self._position = position or Position()
        self._stop = stop or Stop()
        self._consumer: Consumer | None = None
        self._complaints = Complaints(destination, self._stop)
        self._until_now = self._joined = False
        self._wait_until = float("inf")
        self._partitions: dict[int, _Partition] = {}
        self._begin: dict[int, int] = {}  # offsets of partitions that are not yet ours, where it was told
        self._commit_at, self._answered = 0.0, True
        self._early: deque[Fetched] = deque()  # came while something else was waited for
        _place(self._position)
        self._opened()

    def close(self) -> None:
        """Leave the group; what was not acknowledged is handed out again."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            known = self._complaints
            with contextlib.suppress(library().KafkaException), fatal():  # a fatal error, whose end this is
                if not (known.denied or known.fenced or known.down):
                    self._commit(consumer, _ANSWER_S)
            self._leave(consumer)
        self._partitions.clear()
        self._joined = False
        self._early.clear()

    @property
    def ended(self) -> bool:
        """As `Inlet.ended`: not before the group has told us our partitions, and all are at their end."""
        if not (self._until_now and self._joined):
            return False
        return not self._early and all(each.ended for each in self._partitions.values())

    def until_now(self) -> None:
        """As `Inlet.until_now`; a partition's now is when its broker answers for the first time."""
        self._until_now = True
        self._wait_until = time.monotonic() + _JOIN_S
        for number, known in self._partitions.items():
            if known.reached is not None:  # else its first answer tells
                known.last = self._high(number, known.reached)

    def fetch(self, most: int, wait_s: float) -> list[Received]:
        """As `Inlet.fetch`; in order within a key.

        Raises:
            Busy: another exclusive consumer of the name was opened.
        """
        with self._complaints.told():
            return self._fetch(most, time.monotonic() + wait_s)

    def _fetch(self, most: int, end: float) -> list[Received]:
        consumer = self._opened()
        found: list[Received] = []
        while True:
            self._commit_now_and_then(consumer)
            left = end - time.monotonic()
            while self._early and len(found) < most:
                self._hand_out(self._early.popleft(), found)
            first = None if found or self.ended else consumer.poll(min(max(left, 0.0), _SLICE_S))
            if first is not None:
                self._hand_out(first, found)
            if found or first is not None:
                while len(found) < most and (more := consumer.consume(most - len(found), 0)):
                    for message in more:
                        self._hand_out(message, found)
            self._complaints.check()
            if found or self.ended or left <= 0 or self._stop.asked:
                if not (found or self.ended):
                    self._complaints.check(trouble=True)
                    self._check_answered()
                return found

    def acknowledge(self, received: Sequence[Received]) -> None:
        """As `Inlet.acknowledge`, but told to the broker at most once a second."""
        for partition, offset in map(_offset, received):
            if (known := self._partitions.get(partition)) is not None and offset not in known.back:
                known.out.discard(offset)
        if self._consumer is not None:
            with self._complaints.told():
                self._commit_now_and_then(self._consumer, _ANSWER_S)

    def give_back(self, received: Sequence[Received]) -> None:
        """As `Inlet.give_back`: to this consumer, for as long as the partition is its."""
        consumer = self._opened()
        first: dict[int, int] = {}
        for partition, offset in map(_offset, received):
            known = self._partitions.get(partition)
            if known is not None and offset in known.out:
                known.back.add(offset)
                first[partition] = min(first.get(partition, offset), offset)
        for partition, offset in first.items():
            place = library().TopicPartition(self._destination.topic, partition, offset)
            answered(partial(consumer.seek, place), consumer, self._complaints)

    # -- messages --------------------------------------------------------------------------------------------

    def _hand_out(self, message: Fetched, found: list[Received]) -> None:
        error = message.error()
        if error is not None and error.name() != "_PARTITION_EOF":
            raise self._complaints.raised(error)
        self._complaints.answered()
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        known = self._partitions.get(partition)
        if known is None:
            return
        if self._until_now:
            self._wait_until = time.monotonic() + _JOIN_S
            if known.last is None and error is None:
                known.last = self._high(partition, offset + 1)
        if error is not None:
            if not known.back:
                known.seen = offset
                if self._until_now:  # that is all: an open transaction may have made it less
                    known.last = offset
            return
        if known.last is not None and offset >= known.last:  # for the next one
            known.next = max(known.next or 0, known.last)
            return
        if not known.takes(offset):
            return
        headers: dict[str, Any] = dict(message.headers() or ())
        topic = _text(headers.get("sd-topic"))
        if "sd-topic" in headers and topic != self._topic:
            known.out.discard(offset)
            return
        found.append(
            Received(
                f"{partition}:{offset}",
                _text(headers.get("sd-msg-id")),
                self._topic,
                _text(message.key()),
                message.value() or b"",
                max(message.timestamp()[1], 0) * 10**6,
            )
        )

    def _high(self, partition: int, least: int) -> int:
        """The end of *partition* as the broker's answers tell it; *least* where they do not."""
        place = library().TopicPartition(self._destination.topic, partition)
        _, high = self._consumer.get_watermark_offsets(place, cached=True) if self._consumer else (0, 0)
        return max(high, least)

    def _check_answered(self) -> None:
        """Raises:
        Unreachable: what was there when we began does not come, nor a word about it.
        """
        if time.monotonic() > self._wait_until:
            silent = [number for number, each in self._partitions.items() if not each.ended]
            what = f"nothing comes of partitions {silent}" if self._joined else "the group does not let us in"
            raise Unreachable(what, where=self._destination.redacted)

    def _commit_now_and_then(self, consumer: Consumer, wait_s: float = 0.0) -> None:
        if time.monotonic() >= self._commit_at and self._commit(consumer, wait_s):
            self._commit_at = time.monotonic() + _COMMIT_S

    def _commit(self, consumer: Consumer, wait_s: float = 0.0) -> bool:
        """Tell the broker how far the partitions are; wait at most so long for its answer.

        Returns:
            Whether there was anything to tell.
        """
        place = library().TopicPartition
        news = []
        for number, known in self._partitions.items():
            done = known.done
            if done is not None and done != known.committed:
                known.committed = done
                news.append(place(self._destination.topic, number, done))
        if not news:
            return False
        self._answered = False
        try:
            consumer.commit(offsets=news, asynchronous=True)
        except library().KafkaException as exc:
            self._complaints.heard(exc.args[0])
            return True
        end = time.monotonic() + wait_s
        while not self._answered and not self._complaints.over(end):
            if (message := consumer.poll(_SLICE_S / 10)) is not None:
                self._early.append(message)
        return True

    def _committed(self, error: Any, places: list[TopicPartition]) -> None:
        self._answered = True
        failed = [place for place in places if error is not None or place.error is not None]
        for place in failed:  # again at the next time
            if (known := self._partitions.get(place.partition)) is not None:
                known.committed = None

    # -- the group -------------------------------------------------------------------------------------------

    def _opened(self) -> Consumer:
        if self._consumer is None:
            self._complaints = Complaints(self._destination, self._stop)
            consumer: Consumer = made(library().Consumer, self._settings(), self._complaints)
            try:
                numbers = ready(consumer, self._destination, self._complaints)
                self._begin = self._offsets(consumer, numbers)
                consumer.subscribe(
                    [self._destination.topic],
                    on_assign=self._assigned,
                    on_revoke=self._revoked,
                    on_lost=self._lost,
                )
            except BaseException:
                self._leave(consumer)
                raise
            self._position = Position()  # it was told once: from now on, where it is
            self._consumer = consumer
        return self._consumer

    def _settings(self) -> dict[str, Any]:
        event_hubs = self._destination.event_hubs
        wanted: dict[str, Any] = {
            "session.timeout.ms": EVENT_HUBS_SESSION_MS if event_hubs else SESSION_MS,
            "queued.max.messages.kbytes": _FETCH_BYTES >> 10,
            "fetch.wait.max.ms": 100,
        }
        wanted |= settings(self._destination)
        wanted.pop("message.max.bytes", None)  # of a producer's batches
        if self._mode == "exclusive":
            wanted["group.instance.id"] = "exclusive"
        return wanted | {
            "group.id": f"{self._topic}.{self._name}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "max.poll.interval.ms": 86_400_000,  # whoever works on messages may take his time
            "on_commit": self._committed,
            "enable.partition.eof": True,
        }

    def _offsets(self, consumer: Consumer, numbers: list[int]) -> dict[int, int]:
        """Where to begin, by partition; now, and not when the group has been joined."""
        position, topic, place = self._position, self._destination.topic, library().TopicPartition
        if position.kind == "unread":
            return {}
        if position.kind == "sequence":
            return dict([_place(position)])

        def asked(question: Callable[[], Any]) -> Any:
            return answered(question, consumer, self._complaints)

        found = {}
        if position.kind == "since":
            times = [place(topic, number, position.time_ns // 10**6) for number in numbers]
            places = asked(lambda: consumer.offsets_for_times(times, timeout=1.0))
            found = {each.partition: each.offset for each in places if each.offset >= 0}
        for number in set(numbers) - set(found):
            where = place(topic, number)
            low, high = asked(partial(consumer.get_watermark_offsets, where, timeout=1.0))
            found[number] = low if position.kind == "beginning" else high
        return found

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._joined = True
        for each in places:
            begin = self._begin.pop(each.partition, None)
            if begin is not None:
                each.offset = begin
            self._partitions[each.partition] = _Partition(begin)
        self._commit_at = 0.0  # a position that was told holds from now on
        consumer.assign(places)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is self._consumer:
            self._commit(consumer)
        self._lost(consumer, places)

    def _lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is self._consumer:  # else we have left it
            self._joined = False
            for each in places:
                self._partitions.pop(each.partition, None)
        consumer.unassign()

    def _leave(self, consumer: Consumer) -> None:
        """Wait for the group to let us go, though not, as the library would, for a broker that is silent."""

        def leave() -> None:
            with contextlib.suppress(library().KafkaException), fatal():
                consumer.close()

        leaving = threading.Thread(target=leave, name="kafka", daemon=True)
        leaving.start()
        end = time.monotonic() + _ANSWER_S
        while leaving.is_alive() and not self._complaints.over(end):
            leaving.join(_SLICE_S)


def _offset(received: Received) -> tuple[int, int]:
    partition, _, offset = received.sequence.partition(":")
    return int(partition), int(offset)


def _place(position: Position) -> tuple[int, int]:
    if position.kind != "sequence":
        return 0, 0
    numbers = position.sequence.split(":")
    if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers):
        mend = "write PARTITION:OFFSET"
        raise UsageError(f"'{position.sequence[:40]}' is no place in a topic", mend=mend)
    return int(numbers[0]), int(numbers[1])


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""

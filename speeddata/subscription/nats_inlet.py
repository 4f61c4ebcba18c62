"""The consuming end of NATS JetStream: a durable consumer, to which messages are pushed, or which pulls them.

Whoever is exclusive, the server itself decides.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from speeddata.errors import UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Nats
from speeddata.subscription.engine import Busy, Closing, Mode, Position, Received, Unreachable
from speeddata.subscription.nats_line import ANSWER_S, Line, told
from speeddata.subscription.nats_stream import durable, interest, ready
from speeddata.subscription.nats_stream import received as received_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import api

_AHEAD = 64  # messages that the server sends to an exclusive consumer before they are acknowledged; at least
_AHEAD_MOST = 10_000  # the same of a shared one, over all its members
_SHARED_WAIT_S = 30.0  # an unacknowledged message of a shared consumer goes to another member after that
_EXCLUSIVE_WAIT_S = 86400.0  # an exclusive one gets them when it binds again, so that there is no hurry
_CHECK_S = 10.0  # with nothing coming, ask whether the consumer is still there
_SLICE_S = 0.1  # of waiting, between two looks at the wish to stop
_NO_CONSUMER = 10014  # errors of JetStream, by its numbers
_BOUND = {10013, 10105, 10148}  # a consumer that another connection listens to
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NatsInlet(Closing):
    """The consuming end: a durable consumer of the stream, for *topic* and *name* together.

    An exclusive one is a push consumer: the server refuses a second listener, and hands what is not
    acknowledged to the next one at once, in order. A shared one is a pull consumer of any number of members,
    from whom messages that nobody answers for go to others after half a minute.

    Args:
        position: where to begin; any but `unread` makes the consumer anew, for all members of a shared one.
        stop: ends waiting.

    Raises:
        Busy: another one of that name is open, and one of them is to be exclusive.
        UsageError: the position's sequence is no number; the library is not installed.
        Unreachable, Denied, PeerError: as for `NatsOutlet`.
    """

    def __init__(
        self,
        destination: Nats,
        *,
        topic: str,
        name: str,
        mode: Mode = "exclusive",
        position: Position | None = None,
        stop: Stop | None = None,
    ) -> None:
        self._destination, self._topic, self._mode = destination, topic, mode
        self._durable, self._name = durable(topic, name), name
        self._position = position or Position()
        self._stop = stop or Stop()
        self._line: Line | None = None
        self._inbox = ""
        self._came = threading.Condition()  # guards the following
        self._buffer: deque[Msg] = deque()
        self._answers: deque[Msg] = deque()  # which end a request for messages
        self._held: dict[str, Received] = {}  # handed out, not acknowledged; by token
        self._back: list[tuple[int, str]] = []  # given back: sequence and token
        self._alive_at = 0.0
        self._last: int | None = None  # sequence in the stream that is handed out last; None: no end
        self._ended = False
        self._ahead = _AHEAD  # of an exclusive consumer, as is
        self._config: api.ConsumerConfig | None = None
        _whole(self._position)
        self._opened()

    def close(self) -> None:
        """Leave the server; what was not acknowledged is handed out again."""
        if self._line is not None:
            self._line.close()
            self._line = None
        with self._came:
            for waiting in (self._buffer, self._answers, self._held, self._back):
                waiting.clear()

    def fetch(self, most: int, wait_s: float) -> list[Received]:
        """As `Inlet.fetch`.

        Raises:
            Busy: another one took the name while the server was away.
        """
        end = time.monotonic() + wait_s
        with told(self._destination, self.close):
            line = self._opened()
            if self._mode == "exclusive":
                return self._pushed(line, most, end)
            return self._pulled(line, most, end)

    @property
    def ended(self) -> bool:
        return self._ended and not self._back

    def until_now(self) -> None:
        """As `Inlet.until_now`."""
        with told(self._destination, self.close):
            line = self._opened()
            info = line.run(line.jetstream.stream_info(self._destination.stream))
            self._last = info.state.last_seq
            self._alive_at = time.monotonic()

    def acknowledge(self, received: Sequence[Received]) -> None:
        """As `Inlet.acknowledge`; returns when the server has said so.

        Raises:
            Unreachable, Denied: they may be handed out again.
        """
        tokens = [str(one.token) for one in received]
        if tokens:
            with told(self._destination, self.close):
                line = self._opened()
                line.run(self._acknowledge(line, tokens), ANSWER_S)
            self._drop(tokens)

    def give_back(self, received: Sequence[Received]) -> None:
        """As `Inlet.give_back`: to this consumer before all others, or to any member of a shared one."""
        tokens = [str(one.token) for one in received if str(one.token) in self._held]
        if self._mode == "exclusive":
            queued = {token for _, token in self._back}
            for token in set(tokens) - queued:
                heapq.heappush(self._back, (int(self._held[token].sequence), token))
        elif tokens:
            with told(self._destination, self.close):
                line = self._opened()
                line.run(_say(line, tokens, b"-NAK"), ANSWER_S)
            self._drop(tokens)
            self._ended = False

    # -- messages --------------------------------------------------------------------------------------------

    def _pushed(self, line: Line, most: int, end: float) -> list[Received]:
        if self._ahead < min(len(self._held) + most, _AHEAD_MOST):
            self._ahead = min(max(len(self._held) + most, 2 * self._ahead), _AHEAD_MOST)
            assert self._config is not None
            line.run(self._have(line, self._config))
        while True:
            found = [self._held[heapq.heappop(self._back)[1]] for _ in range(min(most, len(self._back)))]
            found += self._taken(line, most - len(found))
            if found or self._over(line) or not self._waited(line, end):
                return found
            if time.monotonic() - self._alive_at > _CHECK_S:
                line.run(line.jetstream.consumer_info(self._destination.stream, self._durable))
                self._alive_at = time.monotonic()

    def _pulled(self, line: Line, most: int, end: float) -> list[Received]:
        """What is there, else the first that comes and what came with it."""
        found = self._taken(line, most)
        while not (found or self.ended):
            found = self._asked(line, {"batch": most, "no_wait": True}, most, time.monotonic() + ANSWER_S)
            left = end - time.monotonic()
            self._ended |= self._last is not None and not found
            if found or self.ended or left <= 0 or self._stop.asked:
                break
            # it ends at the server before it ends here, lest a message comes to who no longer waits
            within = min(left, _CHECK_S)
            self._asked(
                line, {"batch": 1, "expires": int(within * 1e9)}, 0, time.monotonic() + within + ANSWER_S
            )
            found = self._taken(line, 1)
            if found and most > 1:
                found += self._asked(
                    line, {"batch": most - 1, "no_wait": True}, most - 1, time.monotonic() + ANSWER_S
                )
        return found

    def _asked(self, line: Line, request: dict[str, Any], most: int, end: float) -> list[Received]:
        """Ask the server for messages; return them when there are enough, or it says that these are all."""
        wanted = request["batch"]
        with self._came:
            self._answers.clear()
        line.run(line.pull(self._destination.stream, self._durable, request, self._inbox))
        while True:
            with self._came:
                done = len(self._buffer) >= wanted
                answer = self._answers.popleft() if self._answers and not done else None
            if done:
                break
            if answer is not None:
                header = answer.headers or {}
                if header.get("Status") in ("404", "408"):  # no messages; no more until the time was over
                    break
                raise Unreachable(
                    f"the consumer '{self._name}' hands out nothing: "
                    f"{header.get('Description', header.get('Status'))}",
                    where=self._destination.redacted,
                )
            if not self._waited(line, end):
                if self._stop.asked:
                    break
                raise TimeoutError
        return self._taken(line, most)

    def _taken(self, line: Line, most: int) -> list[Received]:
        """Out of the buffer, and held from now on; what is another topic's is done with.

        The server hands out what it has to hand out again first: behind the last message there is none.
        """
        found: list[Received] = []
        others: list[str] = []
        later: list[str] = []
        with self._came:
            while self._buffer and len(found) < most:
                received = received_of(self._buffer.popleft(), self._topic)
                self._ended |= self._last is not None and int(received.sequence) >= self._last
                if self._last is not None and int(received.sequence) > self._last:
                    later.append(str(received.token))
                elif received.topic == self._topic:
                    self._held[str(received.token)] = received
                    found.append(received)
                else:
                    others.append(str(received.token))
        if others:
            line.run(_say(line, others, b""), ANSWER_S)
        if later and self._mode == "shared":  # an exclusive one gets them again when it is opened
            line.run(_say(line, later, b"-NAK"), ANSWER_S)
        return found

    def _over(self, line: Line) -> bool:
        """Whether an exclusive consumer has all up to its last message; asks the server where none comes.

        Raises:
            Unreachable: the server says that there are more, and they do not come.
        """
        if self._last is None or self._ended:
            return self._ended
        info = line.run(line.jetstream.consumer_info(self._destination.stream, self._durable))
        with self._came:
            here = {received.sequence for received in self._held.values()}
            waiting, alive_at = bool(self._buffer), self._alive_at
        missing = (info.num_pending or 0) + (info.num_ack_pending or 0) - len(here)
        self._ended = missing <= 0 and not waiting
        if not self._ended and time.monotonic() - alive_at > ANSWER_S:
            what = f"{missing} messages of '{self._name}' are there, and do not come"
            raise Unreachable(what, where=self._destination.redacted)
        return self._ended

    def _waited(self, line: Line, end: float) -> bool:
        """Wait for a message a little; whether to go on waiting."""
        left = end - time.monotonic()
        if left <= 0 or self._stop.asked:
            return False
        with self._came:
            if not (self._buffer or self._answers):
                self._came.wait(min(left, _SLICE_S))
        line.check()
        return True

    async def _arrived(self, inbox: str, message: Msg) -> None:
        with self._came:
            if inbox == self._inbox:
                if not message.reply:
                    self._answers.append(message)
                else:
                    self._buffer.append(message)
                    self._alive_at = time.monotonic()
                self._came.notify()

    async def _acknowledge(self, line: Line, tokens: list[str]) -> None:
        await _say(line, tokens[:-1], b"")
        await line.client.request(tokens[-1], b"", timeout=ANSWER_S)  # answered behind those before it

    def _drop(self, tokens: Sequence[str]) -> None:
        with self._came:
            for token in tokens:
                self._held.pop(token, None)
        if self._back:
            self._back = [pair for pair in self._back if pair[1] in self._held]
            heapq.heapify(self._back)

    def _in_work(self) -> list[str]:
        with self._came:
            return list(self._held)

    # -- the consumer ----------------------------------------------------------------------------------------

    def _opened(self) -> Line:
        if self._line is None or self._line.closed:
            self.close()
            with told(self._destination, self.close):
                self._line = Line(self._destination, self._stop)
                self._line.run(self._bind(self._line), 3 * ANSWER_S)
            self._position = Position()  # it was told once: from now on, where it is
        return self._line

    async def _bind(self, line: Line) -> None:
        """Have the consumer at the server, and its messages come to us."""
        stream, jetstream = self._destination.stream, line.jetstream
        await ready(jetstream, self._destination)
        there: api.ConsumerConfig | None = None
        try:
            there = (await jetstream.consumer_info(stream, self._durable)).config
        except line.api_error as exc:
            if exc.err_code != _NO_CONSUMER:
                raise
        if there is not None and (there.deliver_subject is not None) != (self._mode == "exclusive"):
            mode = "exclusive" if there.deliver_subject else "shared"
            raise Busy(
                f"the consumer '{self._name}' is there, and {mode}",
                where=self._destination.redacted,
                mend="give this one a name of its own",
            )
        if there is not None and self._position.kind != "unread":
            if self._mode == "exclusive":  # bind first: the server knows whether anybody has it
                await self._listen(line)
                await self._have(line, there)
            await jetstream.delete_consumer(stream, self._durable)
            there = None
        await self._listen(line)
        if there is None or self._mode == "exclusive":
            await self._have(line, there or self._fresh())
        self._alive_at = time.monotonic()
        if self._mode == "shared":
            line.every(_SHARED_WAIT_S / 3, lambda: _say(line, self._in_work(), b"+WPI"))

    async def _have(self, line: Line, config: api.ConsumerConfig) -> None:
        """Make the consumer, take one that nobody listens to, or change our own."""
        if self._mode == "exclusive":
            config = config.evolve(deliver_subject=self._inbox, max_ack_pending=self._ahead)
            self._config = config
        try:
            await line.jetstream.add_consumer(self._destination.stream, config)
        except line.api_error as exc:
            if exc.err_code in _BOUND:
                raise Busy(
                    f"another consumer is '{self._name}'",
                    where=self._destination.redacted,
                    mend="stop it, or give this one a name of its own",
                ) from exc
            raise

    async def _listen(self, line: Line) -> None:
        """A new address for messages; nothing that went to an older one counts."""
        inbox: str = line.client.new_inbox()
        with self._came:
            self._inbox = inbox
            self._buffer.clear()
        # no limit here: the server has one, and whatever is beyond a limit would be dropped
        await line.client.subscribe(
            inbox, cb=partial(self._arrived, inbox), pending_msgs_limit=0, pending_bytes_limit=0
        )

    def _fresh(self) -> api.ConsumerConfig:
        from nats.js import api

        exclusive = self._mode == "exclusive"
        config = api.ConsumerConfig(
            durable_name=self._durable,
            description="made by speeddata",
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=_EXCLUSIVE_WAIT_S if exclusive else _SHARED_WAIT_S,
            max_ack_pending=_AHEAD_MOST,
            filter_subject=interest(self._destination, self._topic),
        )
        if self._position.kind == "end":
            config.deliver_policy = api.DeliverPolicy.NEW
        elif self._position.kind == "since":
            config.deliver_policy = api.DeliverPolicy.BY_START_TIME
            config.opt_start_time = _EPOCH + timedelta(microseconds=self._position.time_ns // 1000)
        elif self._position.kind == "sequence":
            config.deliver_policy = api.DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = max(1, _whole(self._position))
        return config


async def _say(line: Line, tokens: Sequence[str], what: bytes) -> None:
    """Answer messages: empty is done, -NAK not, +WPI not yet."""
    for token in tokens:
        await line.client.publish(token, what)


def _whole(position: Position) -> int:
    if position.kind != "sequence":
        return 0
    text = position.sequence
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise UsageError(f"'{text[:40]}' is no sequence of a stream", mend="write the number of a message")
    return int(text)

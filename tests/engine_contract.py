"""What every engine promises: the suite that each of them inherits.

A test file of an engine has a class of its own, and the fixture `engine`:

    class TestOurEngine(EngineContract):
        @pytest.fixture
        def engine(self, tmp_path): return Engine("sqlite:...")
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import (
    Busy,
    Inlet,
    Message,
    Outlet,
    Position,
    Received,
    TooLarge,
    Unsupported,
)
from speeddata.subscription.engines import open_inlet, open_outlet

ROOT = Path(__file__).resolve().parent.parent
NOON_NS = 1_717_243_200_000_000_000
WITHIN_S = 30.0  # reached only when a test fails
KILOBYTES_900 = 900_000

# A consumer in a process of its own: what it is told by a line of JSON on standard input, it does, and says
# so by one on standard output.
CONSUMER = """
import json, sys
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engines import open_inlet
text, topic, name, mode = sys.argv[1:]
with open_inlet(Destination.parse(text), topic=topic, name=name, mode=mode, stop=Stop()) as inlet:
    print(json.dumps("open"), flush=True)
    held = []
    for line in sys.stdin:
        order, number = json.loads(line)
        if order == "fetch":
            some = inlet.fetch(number, 0.2)
            held += some
            print(json.dumps([one.body.decode() for one in some]), flush=True)
        else:
            inlet.acknowledge(held[:number])
            del held[:number]
            print(json.dumps("done"), flush=True)
"""


@dataclass
class Engine:
    """An engine under test.

    Attributes:
        text: the destination's connection string.
        shared: whether it has shared consumers.
        drops: whether it drops a message whose id it has.
        refuses: whether a second exclusive consumer of a name is refused while the first is open.
        most_bytes: a body that is longer can never be taken.
        settle_s: how long it may take the engine to hand a dead consumer's messages to another.
        topics: names of topics, a new one for each test; replace it where a topic needs more than a name.
    """

    text: str
    shared: bool = False
    drops: bool = True
    refuses: bool = True
    most_bytes: int = 1 << 20
    settle_s: float = WITHIN_S
    topics: Callable[[], str] = lambda: f"topic_{secrets.token_hex(6)}"
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        self.topic = self.topics()

    def outlet(self) -> Outlet:
        return open_outlet(Destination.parse(self.text), customer="plant", stop=self.stop)

    def inlet(self, name: str = "me", *, topic: str = "", **wanted: object) -> Inlet:
        wanted = {"topic": topic or self.topic, "name": name, "stop": self.stop, **wanted}
        return open_inlet(Destination.parse(self.text), **wanted)

    def message(self, text: str, *, id: str = "", topic: str = "", key: str = "rig") -> Message:
        return Message(id or f"id-{text}", topic or self.topic, key, text.encode(), NOON_NS)

    def messages(self, first: int, end: int) -> list[Message]:
        return [self.message(str(number)) for number in range(first, end)]

    def send(self, first: int, end: int) -> list[str]:
        with self.outlet() as outlet:
            return outlet.send(self.messages(first, end))

    def bodies(self, name: str, count: int, **wanted: object) -> list[str]:
        """What a new consumer gets, up to *count*; nothing is acknowledged."""
        with self.inlet(name, **wanted) as inlet:
            return texts(take(inlet, count))

    @contextlib.contextmanager
    def consumer(self, name: str, mode: str = "exclusive") -> Iterator[Consumer]:
        consumer = Consumer([self.text, self.topic, name, mode])
        try:
            yield consumer
        finally:
            consumer.kill()


class Consumer:
    """A consumer in a process of its own."""

    def __init__(self, args: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONSUMER, *args],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "open"

    def fetch(self, most: int) -> list[str]:
        return self._ask("fetch", most)

    def acknowledge(self, count: int) -> None:
        """The first *count* of what it holds."""
        assert self._ask("acknowledge", count) == "done"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _ask(self, order: str, number: int) -> object:
        self.process.stdin.write(json.dumps([order, number]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> object:
        line = self.process.stdout.readline()
        assert line, f"the consumer ended with status {self.process.wait()}"
        return json.loads(line)


def texts(received: Sequence[Received]) -> list[str]:
    return [one.body.decode() for one in received]


def numbers(first: int, end: int) -> list[str]:
    return [str(number) for number in range(first, end)]


def take(inlet: Inlet, count: int, within_s: float = WITHIN_S) -> list[Received]:
    """*count* messages, or what there is when nothing came for *within_s*, in as many fetches as it takes."""
    found: list[Received] = []
    end = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < end:
        found += inlet.fetch(count - len(found), 0.2)
    return found


def eventually(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"still not true after {within_s} s"
        time.sleep(0.01)


class EngineContract:
    """The tests; each takes the fixture `engine`, an `Engine`."""

    # -- sending ------------------------------------------------------------------------------------------

    def test_messages_arrive_in_the_order_of_sending_whole(self, engine):
        with engine.outlet() as outlet:
            for first in range(0, 300, 100):
                outlet.send(engine.messages(first, first + 100))
            outlet.send([])
        with engine.inlet() as inlet:
            received = take(inlet, 300)
        assert texts(received) == numbers(0, 300)
        assert [one.id for one in received] == [f"id-{n}" for n in range(300)]
        assert {(one.topic, one.key) for one in received} == {(engine.topic, "rig")}
        assert len({one.sequence for one in received}) == 300

    def test_the_sequence_that_sending_tells_is_the_one_handed_out(self, engine):
        sent = engine.send(0, 5)
        with engine.inlet() as inlet:
            received = [one.sequence for one in take(inlet, 5)]
        assert sent in (received, [""] * 5)

    def test_the_time_is_when_the_engine_took_it(self, engine):
        before = time.time_ns()
        engine.send(0, 1)
        after = time.time_ns()
        with engine.inlet() as inlet:
            (received,) = take(inlet, 1)
        millisecond = 10**6  # some engines keep no more
        assert before - millisecond <= received.time_ns <= after + millisecond

    def test_text_of_all_scripts_and_any_key_pass(self, engine):
        body = json.dumps({"é": "日本 \N{GRINNING FACE}\n", "n": None}, ensure_ascii=False)
        with engine.outlet() as outlet:
            outlet.send([engine.message(body, id="a:0:1", key="Rig-2.x_y"), engine.message("{}", id="b:0:1")])
        with engine.inlet() as inlet:
            first, second = take(inlet, 2)
        assert (first.body.decode(), first.key, first.id) == (body, "Rig-2.x_y", "a:0:1")
        assert second.body == b"{}"

    def test_an_id_that_is_sent_again_does_no_harm(self, engine):
        with engine.outlet() as outlet:
            outlet.send(engine.messages(0, 10))
            outlet.send(engine.messages(5, 15))
        engine.send(0, 15)  # after a crash, say
        if engine.drops:
            engine.send(15, 16)
            assert engine.bodies("me", 16) == numbers(0, 16)
        with engine.inlet("other") as inlet:
            seen = dict.fromkeys(one.id for one in take(inlet, 16 if engine.drops else 35))
        assert list(seen)[:15] == [f"id-{n}" for n in range(15)]

    def test_messages_without_an_id_are_all_kept(self, engine):
        some = [Message("", engine.topic, "rig", text.encode(), NOON_NS) for text in ("a", "b", "a")]
        with engine.outlet() as outlet:
            outlet.send(some)
        with engine.inlet() as inlet:
            received = take(inlet, 3)
        assert [(one.id, one.body) for one in received] == [("", b"a"), ("", b"b"), ("", b"a")]

    def test_bodies_of_900_kilobytes_pass(self, engine):
        bodies = [str(number) * KILOBYTES_900 for number in range(8)]
        with engine.outlet() as outlet:
            outlet.send([engine.message(body, id=f"large:{body[0]}") for body in bodies])
        assert engine.bodies("me", 8) == bodies

    def test_one_that_is_too_large_is_told_and_those_before_it_were_taken(self, engine):
        some = [*engine.messages(0, 2), engine.message("x" * (engine.most_bytes + 1), id="huge")]
        with engine.outlet() as outlet:
            with pytest.raises(TooLarge) as told:
                outlet.send([*some, engine.message("after")])
            assert told.value.id == "huge"
            assert "\n" not in str(told.value)
            outlet.send([engine.message("after")])  # it is of use still
        assert engine.bodies("me", 3) == ["0", "1", "after"]

    def test_two_producers_keep_each_its_order(self, engine):
        def produce(who):
            with engine.outlet() as outlet:
                for number in range(40):
                    outlet.send([engine.message(f"{who}{number}", key=who)])

        threads = [threading.Thread(target=produce, args=(who,)) for who in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        received = engine.bodies("me", 80)
        for who in "ab":
            mine = [text for text in received if text.startswith(who)]
            assert mine == [f"{who}{n}" for n in range(40)]

    def test_topics_are_apart(self, engine):
        other = engine.topics()
        with engine.outlet() as outlet:
            outlet.send([engine.message("1"), engine.message("2", topic=other), engine.message("3")])
        assert engine.bodies("me", 2) == ["1", "3"]
        assert engine.bodies("me", 1, topic=other) == ["2"]

    # -- where a consumer begins --------------------------------------------------------------------------

    def test_unread_begins_with_all_there_is_and_goes_on_behind_what_was_acknowledged(self, engine):
        engine.send(0, 10)
        with engine.inlet() as inlet:
            received = take(inlet, 10)
            inlet.acknowledge(received[:4])
        assert engine.bodies("me", 6) == numbers(4, 10)
        assert engine.bodies("another", 10) == numbers(0, 10)

    def test_beginning_forgets_what_was_acknowledged(self, engine):
        engine.send(0, 5)
        with engine.inlet() as inlet:
            inlet.acknowledge(take(inlet, 5))
        with engine.inlet(position=Position("beginning")) as inlet:
            received = take(inlet, 5)
            assert texts(received) == numbers(0, 5)
            inlet.acknowledge(received[:2])
        assert engine.bodies("me", 3) == numbers(2, 5)

    def test_end_begins_with_what_comes(self, engine):
        engine.send(0, 5)
        with engine.inlet(position=Position("end")) as inlet:
            assert inlet.fetch(1, 0.0) == []
            engine.send(5, 8)
            assert texts(take(inlet, 3)) == numbers(5, 8)

    def test_since_begins_at_the_time_of_taking(self, engine):
        engine.send(0, 3)
        sent = time.time_ns()
        eventually(lambda: time.time_ns() > sent + 10**7)  # some engines keep milliseconds
        since = time.time_ns()
        engine.send(3, 6)
        assert engine.bodies("me", 3, position=Position("since", time_ns=since)) == numbers(3, 6)
        later = time.time_ns() + 3600 * 10**9
        with engine.inlet("later", position=Position("since", time_ns=later)) as inlet:
            assert inlet.fetch(10, 0.1) == []

    def test_sequence_begins_with_that_message(self, engine):
        engine.send(0, 6)
        with engine.inlet() as inlet:
            place = take(inlet, 6)[4].sequence
        assert engine.bodies("other", 2, position=Position("sequence", sequence=place)) == ["4", "5"]

    def test_an_empty_topic_gives_nothing_and_then_what_comes(self, engine):
        with engine.inlet() as inlet:
            begin = time.monotonic()
            assert inlet.fetch(5, 0.3) == []
            assert 0.25 <= time.monotonic() - begin < 3.0
            engine.send(0, 2)
            assert texts(take(inlet, 2)) == ["0", "1"]

    def test_the_wish_to_stop_ends_waiting(self, engine):
        with engine.inlet() as inlet:
            timer = threading.Timer(0.2, engine.stop.ask)
            timer.start()
            begin = time.monotonic()
            assert inlet.fetch(1, WITHIN_S) == []
            assert time.monotonic() - begin < WITHIN_S / 2

    # -- handing out --------------------------------------------------------------------------------------

    def test_no_more_are_handed_out_than_asked_for(self, engine):
        engine.send(0, 10)
        with engine.inlet() as inlet:
            found = []
            while len(found) < 10:
                some = inlet.fetch(3, WITHIN_S)
                assert 1 <= len(some) <= 3
                found += texts(some)
        assert found == numbers(0, 10)

    def test_what_was_given_back_comes_again_and_the_rest_goes_on(self, engine):
        engine.send(0, 4)
        with engine.inlet() as inlet:
            received = take(inlet, 2)
            inlet.acknowledge(received[:1])
            inlet.give_back(received[1:])
            again = take(inlet, 3)
            assert sorted(texts(again)) == numbers(1, 4)
            inlet.acknowledge(again)
        with engine.inlet() as inlet:
            assert inlet.fetch(1, 0.2) == []

    def test_what_was_not_acknowledged_comes_again_after_reopening(self, engine):
        engine.send(0, 6)
        with engine.inlet() as inlet:
            received = take(inlet, 6)
            inlet.acknowledge(received[:3])
        assert engine.bodies("me", 3) == numbers(3, 6)
        engine.send(6, 8)
        with engine.inlet() as inlet:
            received = take(inlet, 5)
            assert texts(received) == numbers(3, 8)
            inlet.acknowledge(received)
        with engine.inlet() as inlet:
            assert inlet.fetch(1, 0.2) == []

    def test_a_killed_consumers_messages_come_again(self, engine):
        engine.send(0, 10)
        with engine.consumer("me") as consumer:
            got = []
            eventually(lambda: got.extend(consumer.fetch(6 - len(got))) or len(got) >= 6)
            consumer.acknowledge(4)
            consumer.kill()
        with engine.inlet() as inlet:
            assert texts(take(inlet, 6, engine.settle_s)) == numbers(4, 10)

    def test_acknowledging_nothing_and_again_does_no_harm(self, engine):
        engine.send(0, 3)
        with engine.inlet() as inlet:
            inlet.acknowledge([])
            inlet.give_back([])
            received = take(inlet, 2)
            inlet.acknowledge(received)
            inlet.acknowledge(received)
            assert texts(take(inlet, 1)) == ["2"]

    # -- sharing ------------------------------------------------------------------------------------------

    def test_a_second_exclusive_consumer_is_refused_until_the_first_is_gone(self, engine):
        if not engine.refuses:
            pytest.skip("the engine fences the first one instead")
        engine.send(0, 2)
        with engine.consumer("me") as consumer:
            with pytest.raises(Busy, match="me"):
                engine.inlet()
            with engine.inlet("another"):
                pass
            consumer.kill()
            opened: list[Inlet] = []
            eventually(lambda: _tried(engine, opened), engine.settle_s)
        with opened[0] as inlet:
            assert texts(take(inlet, 2)) == ["0", "1"]

    def test_shared_consumers_have_each_message_once_or_are_refused_by_name(self, engine):
        if not engine.shared:
            with pytest.raises(Unsupported, match="shared"):
                engine.inlet(mode="shared")
            return
        with engine.consumer("team", "shared") as one, engine.consumer("team", "shared") as two:
            engine.send(0, 40)
            found: list[str] = []

            def fetched() -> bool:
                for consumer in (one, two):
                    some = consumer.fetch(5)
                    consumer.acknowledge(len(some))
                    found.extend(some)
                return len(found) >= 40

            eventually(fetched, engine.settle_s)
            assert sorted(found, key=int) == numbers(0, 40)


def _tried(engine: Engine, opened: list[Inlet]) -> bool:
    with contextlib.suppress(Busy):
        opened.append(engine.inlet())
    return bool(opened)

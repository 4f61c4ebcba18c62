"""An engine under test, consumers of it in processes of their own, and what tests of it wait for."""

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
    Received,
    Unreachable,
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
        surplus: messages that may come between the wish for an end and its place.
        settle_s: how long it may take the engine to hand a dead consumer's messages to another.
        topics: names of topics, a new one for each test; replace it where a topic needs more than a name.
    """

    text: str
    shared: bool = False
    drops: bool = True
    refuses: bool = True
    most_bytes: int = 1 << 20
    surplus: int = 1
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


def until_the_end(inlet: Inlet, within_s: float = WITHIN_S) -> list[Received]:
    """All that an inlet hands out before it says that this is the end."""
    found: list[Received] = []
    end = time.monotonic() + within_s
    while not inlet.ended:
        found += inlet.fetch(7, 0.2)
        assert time.monotonic() < end, f"no end after {len(found)} messages"
    return found


def stopped_within(stop: Stop, wait: Callable[[], object]) -> float:
    """How long *wait*, which waits for who does not answer, goes on after the wish to stop; in seconds."""
    asked: list[float] = []
    timer = threading.Timer(0.3, lambda: (asked.append(time.monotonic()), stop.ask()))
    timer.start()
    with pytest.raises(Unreachable):
        wait()
    assert asked, "it did not wait"
    return time.monotonic() - asked[0]


def eventually(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"still not true after {within_s} s"
        time.sleep(0.01)


def tried(engine: Engine, opened: list[Inlet]) -> bool:
    with contextlib.suppress(Busy):
        opened.append(engine.inlet())
    return bool(opened)

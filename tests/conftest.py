"""What the tests share: real processes that never outlive a test, free ports, names of their own."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# before anything is imported: no test may send beyond this machine, or read its user's settings;
# SPEEDDATA_HAYSTACK_* are no settings, but servers offered to the tests by who runs them
os.environ.update({name: "" for name in os.environ if re.match("SPEEDDATA_(?!HAYSTACK_)", name)})
os.environ["SPEEDDATA_INTERFACE"] = "127.0.0.1"

import hypothesis
import pytest
from by_hand import unused_port

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 20.0  # far beyond what anything takes: reached only when a test fails
STOP_S = 10.0

# The same examples in every run: what fails is then the change's. `--hypothesis-profile explore` has others.
hypothesis.settings.register_profile("explore", deadline=None, max_examples=60)
hypothesis.settings.register_profile(
    "speeddata", hypothesis.settings.get_profile("explore"), derandomize=True
)
hypothesis.settings.load_profile("speeddata")


class Output:
    """What a process writes to one pipe, read with deadlines."""

    def __init__(self, pipe: object, who: str) -> None:
        self._fd = pipe.fileno()
        self._who = who
        self._buffer = bytearray()
        self._ended = False

    def line(self, deadline_s: float = DEADLINE_S) -> str:
        """The next line without its line feed; fails the test when none comes, or the output has ended."""
        end = time.monotonic() + deadline_s
        while (at := self._buffer.find(b"\n")) < 0:
            if self._ended or not self._more(end):
                raise AssertionError(f"{self._who}: no line, only {bytes(self._buffer)!r}")
        line = self._buffer[:at].decode()
        del self._buffer[: at + 1]
        return line

    def lines(self, count: int, deadline_s: float = DEADLINE_S) -> list[str]:
        """The next *count* lines."""
        return [self.line(deadline_s) for _ in range(count)]

    def rest(self, deadline_s: float = DEADLINE_S) -> bytes:
        """Everything that has not been read yet, up to the end of the output."""
        end = time.monotonic() + deadline_s
        while not self._ended:
            if not self._more(end):
                raise AssertionError(f"{self._who}: does not end after {bytes(self._buffer[-200:])!r}")
        data, self._buffer = bytes(self._buffer), bytearray()
        return data

    def _more(self, end: float) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._fd, selectors.EVENT_READ)
            if not selector.select(max(0.0, end - time.monotonic())):
                return False
        data = os.read(self._fd, 1 << 16)
        self._buffer += data
        self._ended = not data
        return True


class Spawned:
    """A `speeddata` command as a real process, in a process group of its own."""

    def __init__(self, args: tuple[str, ...], cwd: Path, env: dict[str, str], stdin: int | None) -> None:
        self.name = "speeddata " + " ".join(args)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speeddata", *args],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.stdin = self.process.stdin
        self.stdout = Output(self.process.stdout, f"{self.name}: stdout")
        self.stderr = Output(self.process.stderr, f"{self.name}: stderr")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """The exit status, negative for a signal; fails the test when the process does not end in time."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name}: still runs after {deadline_s} s") from None

    def interrupt(self, deadline_s: float = DEADLINE_S) -> int:
        """Ctrl-C, then `wait`."""
        return self._signal(signal.SIGINT, deadline_s)

    def terminate(self, deadline_s: float = DEADLINE_S) -> int:
        """SIGTERM, then `wait`."""
        return self._signal(signal.SIGTERM, deadline_s)

    def kill(self) -> int:
        """SIGKILL, then `wait`."""
        return self._signal(signal.SIGKILL, DEADLINE_S)

    def _signal(self, number: int, deadline_s: float) -> int:
        if self.running:
            os.kill(self.pid, number)
        return self.wait(deadline_s)

    def close(self) -> None:
        """Leave nothing behind: SIGTERM, then SIGKILL for the whole group."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was still to be written to it
                    pipe.close()


@pytest.fixture(autouse=True)
def _notes_as_they_were() -> Iterator[None]:
    """Whatever a test that runs a command in this process makes of the notes, the next one hears them."""
    notes = logging.getLogger("speeddata")
    before = notes.level, notes.propagate, list(notes.handlers)
    disabled = logging.root.manager.disable
    yield
    logging.disable(disabled)
    notes.setLevel(before[0])
    notes.propagate = before[1]
    notes.handlers[:] = before[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of spawned commands: this source tree, this machine, nobody's settings."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "",  # pipes are buffered where people use them
        "XDG_CONFIG_HOME": str(tmp_path / "no-settings"),
    }


@pytest.fixture
def spawn(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Spawned]]:
    """`spawn("tap", "rig", ...)` starts a command in tmp_path; it is stopped when the test ends.

    Keywords: `stdin=subprocess.PIPE` (or a file descriptor), `cwd`, `env` (added to the environment).
    """
    running: list[Spawned] = []

    def start(
        *args: object, stdin: int | None = None, cwd: Path = tmp_path, env: dict[str, str] | None = None
    ) -> Spawned:
        spawned = Spawned(tuple(map(str, args)), cwd, {**environment, **(env or {})}, stdin)
        running.append(spawned)
        return spawned

    yield start
    for spawned in reversed(running):
        spawned.close()


@pytest.fixture
def run(spawn: Callable[..., Spawned]) -> Callable[..., tuple[int, str, str]]:
    """`run("ls", "--json")` runs a command to its end: its status, stdout and stderr."""

    def to_its_end(*args: object, **kwargs: object) -> tuple[int, str, str]:
        spawned = spawn(*args, **kwargs)
        out, err = spawned.process.communicate(timeout=60)
        return spawned.process.returncode, out.decode(), err.decode()

    return to_its_end


@pytest.fixture
def free_port() -> Callable[[], int]:
    """`free_port()`: a UDP port that is free on this machine, another one at each call."""
    return unused_port


@pytest.fixture
def wait_for() -> Callable[..., object]:
    """`wait_for(condition)` waits until *condition()* is true, and returns what it gave; fails in the end."""

    def wait(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> object:
        end = time.monotonic() + deadline_s
        while not (result := condition()):
            assert time.monotonic() < end, f"still not true after {deadline_s} s"
            time.sleep(0.005)
        return result

    return wait


@pytest.fixture
def channel_name() -> str:
    """A name that no other test and no other run uses: all share one discovery group."""
    return f"test_{secrets.token_hex(6)}"

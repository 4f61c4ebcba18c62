"""`subscribe` as commands, for `subscribe.py`: the delay of live datums, the memory of a day's backlog."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from subscribeloads import POINTS, Load, record


def environment(root: Path) -> dict[str, str]:
    source = str(Path(__file__).resolve().parents[2])
    own = {"XDG_STATE_HOME": str(root / "state"), "XDG_CONFIG_HOME": str(root / "config")}
    return {**os.environ, **own, "PYTHONPATH": source, "SPEEDDATA_INTERFACE": "127.0.0.1"}


def command(root: Path, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "speeddata", *args],
        cwd=root,
        env=environment(root),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def delay() -> None:
    """The log is asked every millisecond; the demonstration's time is the moment of sending."""
    with tempfile.TemporaryDirectory() as name:
        root, port = Path(name), f"127.0.0.1:{free_port()}"
        assert command(root, "subscribe", "add", "bench/*").wait() == 0
        running = [
            command(root, "relay", "-o", "data", "--listen", port),
            command(root, "send", "--demo", "--name", "bench", "--rate", "200", "--to", port),
        ]
        try:
            while not list((root / "data").glob("bench/*.avro")):
                time.sleep(0.05)
            running.append(command(root, "subscribe", "run"))
            took = delays(root / "state" / "speeddata" / "hub.db", 10.0)
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait()
    print("from sending the newest datum of a message to the message in the log, over commands")
    cuts = statistics.quantiles(took, n=100)
    print(
        f"{len(took)} messages: median {cuts[49]:.0f} ms, of 99 % {cuts[98]:.0f} ms, most {max(took):.0f} ms"
    )
    print()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def delays(log: Path, seconds: float) -> list[float]:
    took: list[float] = []
    known = 0
    while not log.exists():
        time.sleep(0.01)
    connection = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    begun = time.time() + 1.0  # what was recorded before is no matter of delay
    while time.time() < begun + seconds:
        time.sleep(0.001)
        with contextlib.suppress(sqlite3.OperationalError):
            query = "SELECT sequence, body FROM message WHERE sequence > ? ORDER BY sequence"
            for sequence, body in connection.execute(query, (known,)).fetchall():
                newest = max(
                    each["time"] for item in json.loads(body)["data"]["items"] for each in item["datapoints"]
                )
                sent = datetime.fromisoformat(newest).timestamp()
                if sent > begun:
                    took.append(1e3 * (time.time() - sent))
                known = sequence
    connection.close()
    return took


def memory() -> None:
    load = Load("100 floats", 100, 1, "float")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        points = record(root / "data", load, 864_000 * 100 // POINTS)
        size = sum(path.stat().st_size for path in (root / "data" / "rig").iterdir())
        assert command(root, "subscribe", "add", "rig/*", "--position", "beginning").wait() == 0
        begun = time.perf_counter()
        assert command(root, "subscribe", "run", "--once").wait() == 0
        took = time.perf_counter() - begun
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"a day of 100 signals at 10 Hz, a datum a block: {points / 1e6:.1f} M datapoints, {size >> 20} MiB"
    )
    print(f"most memory {most:.0f} MiB, {points / took / 1e3:,.0f} thousand datapoints/s of the clock")
    print()

"""What the stripchart costs: `speeddata tui` in a terminal of its own, fed by a real relay and real sources.

    python tests/bench/tui.py [--minutes 10] [--channels 8] [--rate 10000]

The terminal is a pseudo-terminal of 120x40 cells that takes whatever is written, as fast as it comes. The
picture counts as there when the first dots of a curve have been written to it. Frames, datums that were lost
and memory are told by the process itself, once a second, beside the terminal.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import privatenet
from systems import HERE, ROOT, Child, Relay

CELLS = (40, 120)
SIZE = 64  # of a datum, about: what names the relay's files
STEP_S = 0.005  # a source sends what is due so often
SETTLE_S = 3.0  # until all channels are found
PERIOD_S = 1.0


# -- the source, in a process of its own ------------------------------------------------------------


def source(where: str, channels: int, rate_hz: float) -> None:
    """Announce and send *channels* of *rate_hz* until stdin ends; then tell how many were sent."""
    from speeddata.names import Endpoint
    from speeddata.sending import feeds
    from speeddata.sending.sender import SourceSender

    with ExitStack() as stack:
        feed = feeds.demo(rate_hz, time.time_ns())
        senders = [
            stack.enter_context(SourceSender(Endpoint.parse(where), name=f"rig{n}", schema=feed.schema))
            for n in range(channels)
        ]
        print("ready", flush=True)
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
        begun, due = time.monotonic(), 0.0
        batch, used = next(feed.batches), 0
        while not ended.is_set():
            due = (time.monotonic() - begun) * rate_hz
            sent = senders[0].sent
            while sent < due:
                count = min(batch.count - used, int(due - sent) + 1)
                for sender in senders:
                    sender.send(batch.part(used, used + count))
                used, sent = used + count, sent + count
                if used == batch.count:
                    batch, used = next(feed.batches), 0
            time.sleep(STEP_S)
        seconds = time.monotonic() - begun
        print(json.dumps({"sent": [sender.sent for sender in senders], "seconds": seconds}), flush=True)


# -- the stripchart, in a process of its own --------------------------------------------------------


def stripchart(report: int) -> None:
    """`speeddata tui` as it is, and a thread beside it that tells each second how it does."""
    from speeddata.cli import main

    threading.Thread(target=tell, args=(os.fdopen(report, "w"),), daemon=True).start()
    sys.exit(main(["tui"]))


def tell(file: Any) -> None:
    import gc

    known: dict[str, Any] = {}
    while True:
        time.sleep(PERIOD_S)
        loaded = {"speeddata.stripchart.frames", "speeddata.watching"} <= set(sys.modules)
        if loaded and len(known) < 2:
            kinds = {
                "frames": sys.modules["speeddata.stripchart.frames"].Frames,
                "watch": sys.modules["speeddata.watching"].Watch,
            }
            for each in gc.get_objects():
                known |= {name: each for name, kind in kinds.items() if isinstance(each, kind)}
        if len(known) < 2:
            continue
        states = known["watch"].channels()
        status = Path("/proc/self/status").read_text()
        told = {
            "at": time.monotonic(),
            "cpu_s": time.process_time(),
            "waited_s": int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9,
            "frames": known["frames"].drawn,
            "spent_ms": known["frames"].spent_s * 1000,
            "live": sum(state.state == "live" for state in states),
            "received": sum(state.received for state in states),
            "lost": sum(state.lost for state in states),
            "dropped": sum(state.dropped for state in states),
            "resident": int(status.partition("VmRSS:")[2].split()[0]) << 10,
        }
        print(json.dumps(told), file=file, flush=True)


class Terminal:
    """A pseudo-terminal with the stripchart in it.

    Attributes:
        first_picture_s: from its start to the first dots; None while there are none.
        written: bytes so far.
    """

    def __init__(self) -> None:
        self.first_picture_s: float | None = None
        self.written = 0
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *CELLS, 0, 0))
        reading, report = os.pipe()
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SPEEDDATA_INTERFACE": "127.0.0.1",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": "/",
        }
        self._begun = time.monotonic()
        self._place = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            [sys.executable, HERE / "tui.py", "--stripchart", str(report)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            cwd=self._place.name,
            pass_fds=[report],
            start_new_session=True,
        )
        os.close(theirs)
        os.close(report)
        self._reports = os.fdopen(reading)
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        tail = b""
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:  # Linux says so where nobody has the other end any more
                return
            self.written += len(data)
            if self.first_picture_s is None:
                tail = tail[-3:] + data
                if any("\u2800" < char <= "\u28ff" for char in tail.decode(errors="replace")):
                    self.first_picture_s = time.monotonic() - self._begun

    def reports(self) -> Iterator[dict[str, Any]]:
        for line in self._reports:
            yield json.loads(line)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reports.close()
        self._place.cleanup()


def measure(channels: int, rate_hz: float, seconds: float) -> None:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        relay = Relay(directory, SIZE, announced=True)
        stack.callback(relay.child.close)
        command = [sys.executable, HERE / "tui.py", "--source", relay.listens, channels, rate_hz]
        sending = Child(command)
        stack.callback(sending.close)
        time.sleep(2)  # announced, and flowing
        terminal = Terminal()
        stack.callback(terminal.close)
        told = []
        until = time.monotonic() + SETTLE_S + seconds
        for each in terminal.reports():
            told.append(each)
            if time.monotonic() > until:
                break
        sending.process.stdin.close()  # type: ignore[union-attr]
        sent = json.loads(sending.process.stdout.readline())  # type: ignore[union-attr]
        written = terminal.written
    if len(told) < SETTLE_S + 2:
        raise SystemExit("the stripchart ended, or told nothing")
    show(told, sent, terminal.first_picture_s, written)


def show(told: list[dict[str, Any]], sent: dict[str, Any], first_s: float | None, written: int) -> None:
    begun = next(i for i, each in enumerate(told) if each["at"] >= told[0]["at"] + SETTLE_S)
    first, last = told[begun], told[-1]
    seconds = last["at"] - first["at"]
    pairs = list(zip(told[begun:], told[begun + 1 :], strict=False))
    rates = [(b["frames"] - a["frames"]) / (b["at"] - a["at"]) for a, b in pairs]
    offered = sum(sent["sent"]) / sent["seconds"]
    print(
        f"{len(sent['sent'])} channels, {offered:,.0f} datums/s offered, {last['live']} live, {seconds:.0f} s"
    )
    frames, least = (last["frames"] - first["frames"]) / seconds, min(rates)
    print(f"first picture      {first_s:.2f} s from the start" if first_s else "first picture      none")
    print(f"frames             {frames:.1f} a second, least {least:.1f}")
    print(f"a frame takes      {statistics.median(each['spent_ms'] for each in told[begun:]):.1f} ms to make")
    cpu_s = last["cpu_s"] - first["cpu_s"]
    each_ms = cpu_s / max(1, last["frames"] - first["frames"]) * 1000
    print(
        f"CPU                {cpu_s / seconds:.0%} of a core, {each_ms:.1f} ms a frame, all threads together"
    )
    waited = (last["waited_s"] - first["waited_s"]) / seconds
    print(f"waited for a CPU   {waited:.0%} of the time: others used it")
    print(f"written            {written / (last['at'] - told[0]['at']) / 1e3:.0f} kB/s, from the start")
    print(f"lost by the relay  {last['lost']} of {last['received']:,}")
    print(f"given up           {last['dropped']} by the stripchart")
    every = max(1, (len(told) - 1) // 10)
    print("memory, MB         " + " ".join(f"{each['resident'] / 1e6:.0f}" for each in told[::every]))


def main() -> None:
    if sys.argv[1:2] == ["--source"]:
        where, channels, rate_hz = sys.argv[2:]
        source(where, int(channels), float(rate_hz))
        return
    if sys.argv[1:2] == ["--stripchart"]:
        stripchart(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.3)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--rate", type=float, default=10_000.0, help="datums a second of each channel")
    options = parser.parse_args()
    if not privatenet.enter():
        print("not in a network of its own: figures may be disturbed", file=sys.stderr)
    measure(options.channels, options.rate, options.minutes * 60)


if __name__ == "__main__":
    main()

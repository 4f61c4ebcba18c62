"""Everything at once for hours: whether memory, files, threads and disk stay flat, and all is accounted for.

    python tests/bench/soak.py [--minutes 2 | --hours 8] [--rate 100]

A relay with rotation and retention records three sources that stay and one that comes and goes. A tap, a
decimation, a reader that follows the recording and a pivot now and then take what it serves and keeps. In the
end every datum sent must be recorded or told as lost, and no reader may have missed one. Everything happens
on loopback, in a network of its own where that is allowed. Ctrl-C ends it early, with the table so far. The
status is 1 where something grew, or did not add up.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import privatenet
from relay import print_machine, print_table
from systems import ROOT, _before_exec, free_port, wait_bound

STEADY = ("steady_0", "steady_1", "steady_2")
GUEST = "guest"
GUEST_S, PIVOT_EVERY_S, PIVOT_S = 15, 60.0, 10
KEEP_BYTES, ROTATE_BYTES, ROTATE_S = 1 << 20, 128 << 10, 20
# beside what is kept: a file that is open and one just closed for each channel, with what the table of a file
# takes; and a retention that looks about once in a while
SLACK_BYTES = 2 * (len(STEADY) + 1) * ROTATE_BYTES + (1 << 19)
GROWTH_BYTES = 3 << 20  # what an allocator may still take late
PATIENCE_S = 20.0


class Sample(NamedTuple):
    """A process at one moment."""

    second: float
    resident_bytes: int
    files: int
    threads: int
    cpu_s: float


class Command:
    """A `speeddata` command, in a process group of its own, that ends with the soak, however that ends."""

    def __init__(self, directory: Path, *args: object, stdin: int | None = None, reads: bool = False) -> None:
        self.name = " ".join(map(str, args))
        self._said = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  (closed by `close`)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "speeddata", *map(str, args)],
            cwd=directory,
            env={**_environment(), "XDG_CONFIG_HOME": str(directory)},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
            preexec_fn=functools.partial(_before_exec, os.getpid(), True),
        )
        self.samples: list[Sample] = []

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stderr(self) -> str:
        self._said.seek(0)
        return self._said.read().decode()

    def sample(self, second: float) -> None:
        """Look at it once, if it still runs."""
        try:
            place = Path(f"/proc/{self.process.pid}")
            status = (place / "status").read_text()
            words = (place / "stat").read_text().rpartition(")")[2].split()
            files = len(list((place / "fd").iterdir()))
        except OSError:
            return
        resident = int(status.partition("VmRSS:")[2].split()[0]) << 10
        threads = int(status.partition("Threads:")[2].split()[0])
        cpu_s = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        self.samples.append(Sample(second, resident, files, threads, cpu_s))

    def end(self) -> int:
        """SIGTERM, and wait; the exit status."""
        if self.running:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.close()
            return -signal.SIGKILL

    def close(self) -> None:
        if self.running:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._said.close()


class Rows(threading.Thread):
    """Reads the CSV of a command: how many rows, and how many are missing by their counter.

    Args:
        command: whose standard output it is.
        step: of the counter from row to row; 0 where it is averaged.
    """

    def __init__(self, command: Command, step: int) -> None:
        super().__init__(daemon=True)
        self._command, self._step = command, step
        self.count = self.missing = 0

    def run(self) -> None:
        last, column = None, -1
        assert self._command.process.stdout is not None
        for line in self._command.process.stdout:
            cells = line.decode().rstrip("\r\n").split(",")
            if column < 0 or cells[column] == "counter":
                column = cells.index("counter")
                continue
            self.count += 1
            if self._step:
                number = int(cells[column])
                if last is not None and number != last + self._step:
                    self.missing += number // self._step - last // self._step - 1
                last = number


class Soak:
    """The processes, and what is found of them."""

    def __init__(self, directory: Path, rate_hz: float, stack: ExitStack) -> None:
        self.directory, self._rate_hz, self._stack = directory, rate_hz, stack
        self.listens = f"127.0.0.1:{free_port()}"
        self.sent = dict.fromkeys((*STEADY, GUEST), 0)
        self.disk: list[tuple[float, int]] = []
        self.pivots, self.failures = 0, []  # type: tuple[int, list[str]]
        limits = ["--rotate-size", ROTATE_BYTES, "--rotate-time", f"{ROTATE_S}s", "--keep-size", KEEP_BYTES]
        self.relay = self._start("relay", "--listen", self.listens, "-o", "rec", "--min-free", "0%", *limits)
        wait_bound(self.listens)
        self._sources = {name: self._source(name) for name in STEADY}
        self._guest = self._source(GUEST, "-d", f"{GUEST_S}s")
        self._await_recording()
        tap = self._start("tap", STEADY[0], "-f", "csv", reads=True)
        first = self._start("tap", STEADY[1], reads=True)
        assert first.process.stdout is not None
        thin = self._start(
            "decimate", "-", "-n", 10, "-f", "csv", stdin=first.process.stdout.fileno(), reads=True
        )
        first.process.stdout.close()  # it is the other's now: it ends with it
        follow = self._start("tap", f"rec/{STEADY[2]}/", "--follow", "-f", "csv", reads=True)
        self.readers = {"tap": (tap, Rows(tap, 1)), "tap | decimate": (thin, Rows(thin, 10))}
        self.readers["tap --follow"] = (follow, Rows(follow, 1))
        for _, rows in self.readers.values():
            rows.start()
        self.watched = {
            "relay": self.relay,
            "send": self._sources[STEADY[0]],
            "tap": tap,
            "tap, to decimate": first,
            "decimate": thin,
            "tap --follow": follow,
        }
        self._pivot: Command | None = None
        self._pivot_at = PIVOT_S + 2.0

    def _start(self, *args: object, stdin: int | None = None, reads: bool = False) -> Command:
        command = Command(self.directory, *args, stdin=stdin, reads=reads)
        self._stack.callback(command.close)
        return command

    def _source(self, name: str, *more: object) -> Command:
        args = ["--demo", "--stamp", "--rate", self._rate_hz, "--name", name, "--to", self.listens, "-v"]
        return self._start("send", *args, *more)

    def _await_recording(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while len(list((self.directory / "rec").glob("steady_*/*.avro"))) < len(STEADY):
            if time.monotonic() > end:
                raise SystemExit(f"nothing is recorded: {self.relay.stderr()}")
            time.sleep(0.05)

    def turn(self, second: float) -> None:
        """Look at everything once; begin what is due."""
        for what, command in self.watched.items():
            if not command.running:
                raise SystemExit(f"{what} has ended: {command.stderr()[-500:]}")
            command.sample(second)
        self.disk.append((second, sum(_sizes(self.directory / "rec"))))
        if not self._guest.running:
            self._tell(GUEST, self._guest)
            self._guest.close()
            self._guest = self._source(GUEST, "-d", f"{GUEST_S}s")
        if self._pivot is not None and not self._pivot.running:
            self._pivot_ended()
        if self._pivot is None and second >= self._pivot_at:
            self._pivot = self._start("pivot", "rec/", "--last", f"{PIVOT_S}s", "-o", "last.h5")
            self._pivot_at = second + PIVOT_EVERY_S

    def _pivot_ended(self) -> None:
        assert self._pivot is not None
        if self._pivot.process.wait(PATIENCE_S) or not (self.directory / "last.h5").exists():
            self.failures.append(self._pivot.stderr().strip() or "pivot wrote nothing")
        self.pivots += 1
        (self.directory / "last.h5").unlink(missing_ok=True)
        self._pivot.close()
        self._pivot = None

    def _tell(self, name: str, source: Command) -> None:
        told = re.search(r": ([\d,]+) datums? sent", source.stderr())
        if told is None:
            self.failures.append(f"send {name}: {source.stderr().strip()}")
        else:
            self.sent[name] += int(told[1].replace(",", ""))

    def finish(self) -> dict[str, dict[str, int]]:
        """End the sources, then what reads, then the relay; what the relay announced at last, by channel."""
        for name, source in [*self._sources.items(), (GUEST, self._guest)]:
            source.end()
            self._tell(name, source)
        if self._pivot is not None:
            self._pivot_ended()
        announced = {each["channel"]: each for each in self._ls()}
        time.sleep(0.5)  # what follows files looks about ten times a second
        for what, (command, _) in self.readers.items():
            status = command.end()
            if status:
                self.failures.append(f"{what}: status {status}: {command.stderr().strip()}")
        for _, rows in self.readers.values():
            rows.join(PATIENCE_S)
        if status := self.relay.end():
            self.failures.append(f"relay: status {status}: {self.relay.stderr().strip()}")
        if said := self.relay.stderr().strip():
            self.failures.append(f"relay said: {said}")
        return announced

    def _ls(self) -> list[dict[str, int]]:
        args = [sys.executable, "-P", "-m", "speeddata", "ls", "--json"]
        done = subprocess.run(args, env=_environment(), capture_output=True, check=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ledger(self, name: str) -> dict[str, int]:
        """Sums of what the ledger of a channel tells of its files."""
        lines = (self.directory / "rec" / name / "ledger.jsonl").read_text().splitlines()
        files = [line for line in map(json.loads, lines) if line["kind"] == "file"]
        keys = ("received", "recorded", "lost", "lost_disk", "rejected")
        return {key: sum(line[key] for line in files) for key in keys}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "SPEEDDATA_INTERFACE": "127.0.0.1"}


def _sizes(directory: Path) -> Iterator[int]:
    for path in directory.glob("*/*Z.avro"):
        try:
            yield path.stat().st_size
        except FileNotFoundError:  # just retired
            continue


def growth(values: Sequence[float]) -> float:
    """Median of the last third less that of the first: what a leak adds, and no single outlier."""
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) - statistics.median(values[:third])


def slope_per_hour(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line of least squares."""
    if len(set(seconds)) < 2:
        return 0.0
    return 3600 * statistics.linear_regression(seconds, values).slope


def report_flatness(soak: Soak, warm_s: float) -> list[str]:
    """Print the table of the processes; what is not flat, in words."""
    rows = [["", "memory", "grown", "a hour", "most", "files", "threads", "of a core"]]
    complaints = []
    for what, command in soak.watched.items():
        warm = [each for each in command.samples if each.second >= warm_s]
        if len(warm) < 3:
            complaints.append(f"{what}: too short to tell")
            continue
        resident = [each.resident_bytes / 2**20 for each in warm]
        grown = growth(resident)
        files, threads = [each.files for each in warm], [each.threads for each in warm]
        share = (warm[-1].cpu_s - warm[0].cpu_s) / (warm[-1].second - warm[0].second)
        rows.append(
            [
                what,
                f"{resident[0]:.1f} MiB",
                f"{grown:+.1f} MiB",
                f"{slope_per_hour([each.second for each in warm], resident):+.1f} MiB",
                f"{max(resident):.1f} MiB",
                f"{min(files)} to {max(files)}",
                f"{min(threads)} to {max(threads)}",
                f"{share:.1%}",
            ]
        )
        if grown * 2**20 > GROWTH_BYTES:
            complaints.append(f"{what}: memory grew by {grown:.1f} MiB")
        if growth(files) > 1:
            complaints.append(f"{what}: more files are open")
        if growth(threads) > 0:
            complaints.append(f"{what}: there are more threads")
    print(f"\nafter {warm_s:.0f} s of warming up")
    print_table(rows)
    most = max(size for _, size in soak.disk)
    print(f"on the disk: at most {most / 2**10:,.0f} KiB, with --keep-size {KEEP_BYTES >> 10:,} KiB")
    if most > KEEP_BYTES + SLACK_BYTES:
        complaints.append(f"{most:,} bytes on the disk")
    return complaints


def report_ledger(soak: Soak, announced: dict[str, dict[str, int]]) -> list[str]:
    """Print what became of the datums; what does not add up, in words."""
    heading = [
        "channel",
        "sent",
        "recorded",
        "lost",
        "lost by disk",
        "rejected",
        "difference",
        "as announced",
    ]
    rows, complaints = [heading], []
    for name, sent in soak.sent.items():
        told, said = soak.ledger(name), announced.get(name, {})
        difference = sent - told["recorded"] - told["lost"] - told["lost_disk"] - told["rejected"]
        announced_difference = sent - said.get("received", 0) - said.get("lost", 0)
        figures = (sent, told["recorded"], told["lost"], told["lost_disk"], told["rejected"])
        rows.append([name, *(f"{each:,}" for each in (*figures, difference, announced_difference))])
        if difference or announced_difference:
            complaints.append(f"{name}: {difference or announced_difference} datums are unaccounted for")
    print("\nsent, and what became of it as the ledger tells; and as the relay announces")
    print_table(rows)
    for what, (_, reader) in soak.readers.items():
        print(f"{what}: {reader.count:,} rows, {reader.missing} missing")
        if reader.missing or not reader.count:
            complaints.append(f"{what}: {reader.missing} of {reader.count} rows are missing")
    print(f"pivot: {soak.pivots} sets")
    return complaints + soak.failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--hours", type=float, help="instead of --minutes")
    parser.add_argument("--rate", type=float, default=100.0, help="datums a second of each source")
    wanted = parser.parse_args()
    duration_s = 3600 * wanted.hours if wanted.hours else 60 * wanted.minutes
    every_s = min(10.0, max(0.5, duration_s / 240))
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # the second one ends it at once
        signal.signal(number, lambda *_: ending.set() if not ending.is_set() else sys.exit(130))
    print_machine(privatenet.enter())
    with tempfile.TemporaryDirectory(prefix="speeddata-soak-") as directory, ExitStack() as stack:
        soak = Soak(Path(directory), wanted.rate, stack)
        begun = time.monotonic()
        second = 0.0
        while second < duration_s and not ending.wait(every_s):
            second = time.monotonic() - begun
            soak.turn(second)
        announced = soak.finish()
        complaints = report_flatness(soak, min(600.0, second / 4))
        complaints += report_ledger(soak, announced)
    print(f"\n{second / 60:.1f} minutes: " + ("; ".join(complaints) or "all is flat, and all adds up"))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

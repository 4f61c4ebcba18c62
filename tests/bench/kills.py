"""kill -9 again and again, under load: a relay that records, then a pivot that writes a set.

    python tests/bench/kills.py [--kills 100] [--rate 4000] [--json]

After each kill of the relay every file must be one that fastavro reads up to its last block, with less than a
block behind that, hold the datums that came one after the other, and end shortly before the kill; no file of
an earlier life may have changed by a byte; and the next relay goes on in the directory. A pivot is killed
while its file is being written: under its name there is either nothing, or what was there before, or a set
that is whole. The status is 1 where anything of that does not hold.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import fastavro
import h5py
import numpy as np
import privatenet
from systems import ROOT, _before_exec, free_port

NAME = "rig"
OPEN_S = 2.0  # the open block is 0.1 s old at most; the machine may be busy, and keep the source waiting
BLOCK_BYTES = (64 << 10) + 64  # with its frame
PATIENCE_S = 20.0


class Kills:
    """What is killed, and what is found then."""

    def __init__(self, directory: Path, rate_hz: float, stack: ExitStack) -> None:
        self._directory, self._rate_hz, self._stack = directory, rate_hz, stack
        self._records = directory / "rec" / NAME
        self._hashes: dict[Path, str] = {}
        self._last = -1  # counter of the last datum recorded
        self._last_sent_ns = 0
        self._chance = random.Random(1)
        self.datums, self.files = 0, 0
        self.ages_s: list[float] = []  # of the last datum recorded, at the kill
        self.torn = self.torn_bytes = 0  # files with a part of a block at their ends, and the bytes of these
        self.changed = 0  # files of earlier lives, at a later kill
        self.faults: list[str] = []
        self.outcomes = {"nothing": 0, "the set before": 0, "a whole set": 0}

    def _start(self, *args: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "speeddata", *map(str, args)],
            cwd=self._directory,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SPEEDDATA_INTERFACE": "127.0.0.1",
                "XDG_CONFIG_HOME": str(self._directory),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=functools.partial(_before_exec, os.getpid(), True),
        )
        self._stack.callback(_killed, process)
        return process

    # -- the relay -------------------------------------------------------------------------------------------

    def relays(self, kills: int) -> None:
        """Kill so many relays, one after the other, while one source sends without a pause."""
        to = f"127.0.0.1:{free_port()}"
        source = self._start(
            "send", "--demo", "--stamp", "--rate", self._rate_hz, "--name", NAME, "--to", to, "-q"
        )
        for _ in range(kills):
            relay = self._start("relay", "--listen", to, "-o", "rec", "--min-free", "0%")
            _wait(lambda relay=relay: self._grows(relay), f"no relay records at {to}")
            time.sleep(self._chance.uniform(0, 0.25))
            killed_ns = time.time_ns()
            _killed(relay)
            self._look(killed_ns)
        _killed(source)

    def _grows(self, relay: subprocess.Popen[bytes]) -> bool:
        """Whether a block is in a file of this life; a header alone is smaller."""
        if relay.poll() is not None:
            raise SystemExit("the relay has ended by itself")
        return any(path.stat().st_size > 4096 for path in self._paths() if path not in self._hashes)

    def _paths(self) -> list[Path]:
        return sorted(self._records.glob("*Z.avro"))

    def _look(self, killed_ns: int) -> None:
        for path, before in self._hashes.items():
            if not path.exists() or _hash(path) != before:
                self.changed += 1
                self.faults.append(f"{path.name}: changed after its life was over")
        for path in self._paths():
            if path not in self._hashes:
                self._read(path, killed_ns)
                self._hashes[path] = _hash(path)

    def _read(self, path: Path, killed_ns: int) -> None:
        counters: list[int] = []
        time_ns = 0
        with path.open("rb") as file:
            blocks, end = fastavro.block_reader(file), 0
            while True:
                try:
                    block = next(blocks)
                except StopIteration:
                    break
                except Exception as exc:  # fastavro has no one class for a file that ends too soon
                    # A kill in the middle of a write leaves a part of it: readers cut that off, and say so.
                    torn = path.stat().st_size - end
                    self.torn, self.torn_bytes = self.torn + 1, self.torn_bytes + torn
                    if not 0 < torn < BLOCK_BYTES:
                        self.faults.append(f"{path.name}: not whole: {exc}")
                    break
                for record in block:
                    counters.append(record["counter"])  # type: ignore[index,call-overload]
                    time_ns = record["time"]  # type: ignore[index,call-overload,assignment]
                end = file.tell()
        self.files += 1
        self.datums += len(counters)
        if counters:
            if counters != list(range(counters[0], counters[0] + len(counters))):
                self.faults.append(f"{path.name}: datums are missing or out of order")
            if counters[0] <= self._last:
                self.faults.append(f"{path.name}: has datums of an earlier file")
            self._last = counters[-1]
            self.ages_s.append((killed_ns - time_ns) / 1e9)
            if self.ages_s[-1] > OPEN_S:
                self.faults.append(f"{path.name}: ends {self.ages_s[-1]:.2f} s before the kill")

    # -- pivot -----------------------------------------------------------------------------------------------

    def pivots(self, kills: int) -> None:
        """Kill so many pivots while they write; every other one is to replace a set that is there."""
        output = self._directory / "set.h5"
        writing_s, before = 0.02, ""
        for number in range(kills):
            if number % 2 == 0:
                output.unlink(missing_ok=True)
                before = ""
            elif not before:
                pivot, began = self._writing(output), time.monotonic()
                pivot.wait(PATIENCE_S)
                writing_s, before = time.monotonic() - began, _hash(output)
                self._whole(output)
            pivot = self._writing(output)
            time.sleep(self._chance.uniform(0, writing_s))
            _killed(pivot)
            self._aside(output, pivot).unlink(missing_ok=True)
            if not output.exists():
                self.outcomes["nothing"] += 1
            elif before and _hash(output) == before:
                self.outcomes["the set before"] += 1
            else:
                self.outcomes["a whole set"] += 1
                self._whole(output)
                before = ""
            if number % 2 and not output.exists():
                self.faults.append("the set that was there is gone")

    def _writing(self, output: Path) -> subprocess.Popen[bytes]:
        """A pivot that has just made its file, aside."""
        pivot = self._start("pivot", "rec/", "-o", output, "-q")
        _wait(lambda: self._aside(output, pivot).exists() or pivot.poll() is not None, "no pivot writes")
        return pivot

    @staticmethod
    def _aside(output: Path, pivot: subprocess.Popen[bytes]) -> Path:
        return output.with_name(f".{output.name}.{pivot.pid}")

    def _whole(self, path: Path) -> None:
        try:
            with h5py.File(path) as file:
                group = file[NAME]
                lengths = {len(group[name]) for name in group}
                counters = group["counter"][:]
            if lengths != {self.datums} or np.any(np.diff(counters) < 1):
                self.faults.append(f"a set of {lengths} datums, not {self.datums}")
        except (OSError, KeyError) as exc:
            self.faults.append(f"half a set: {exc}")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _killed(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _wait(condition: Callable[[], object], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(otherwise)
        time.sleep(0.001)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="of the relay, and of pivot")
    parser.add_argument("--rate", type=float, default=4000.0, help="datums a second")
    parser.add_argument("--json", action="store_true", help="JSON instead of words")
    wanted = parser.parse_args()
    privatenet.enter()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="speeddata-kills-") as directory, ExitStack() as stack:
        kills = Kills(Path(directory), wanted.rate, stack)
        kills.relays(wanted.kills)
        relays_s = time.monotonic() - begun
        kills.pivots(wanted.kills)
    ages = sorted(kills.ages_s)
    told = {
        "kills": wanted.kills,
        "files": kills.files,
        "datums": kills.datums,
        "torn": kills.torn,
        "torn_bytes": kills.torn_bytes,
        "changed": kills.changed,
        "median_age_ms": round(1000 * statistics.median(ages)),
        "greatest_age_ms": round(1000 * ages[-1]),
        "outcomes": kills.outcomes,
        "faults": kills.faults,
    }
    if wanted.json:
        print(json.dumps(told))
    else:
        print(
            f"relay: {wanted.kills} kills in {relays_s:.0f} s; {kills.files} files, {kills.datums:,} datums"
        )
        print(
            f"  killed in the middle of a write: {kills.torn}, which left {kills.torn_bytes} bytes of a block"
        )
        print(f"  files of earlier lives that changed: {kills.changed}")
        print(
            f"  the last datum recorded was {told['median_age_ms']} ms old at the kill (median), "
            f"{told['greatest_age_ms']} ms at most"
        )
        print(f"pivot: {wanted.kills} kills; found under its name: {kills.outcomes}")
        print("\n".join(kills.faults) or "no fault")
    return 1 if kills.faults else 0


if __name__ == "__main__":
    sys.exit(main())

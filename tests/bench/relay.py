"""How much the relay takes without losing a datum, what it costs, idle and loaded, and how soon it serves.

    python tests/bench/relay.py [--quick | --curve FILE.svg]

Each rate is offered for a while; it was held when every datum is in the files and has reached members of both
groups, and soon: what a receive buffer of 64 MiB still holds at the end was not kept up with. Bisection finds
the highest rate held. Beside the relay stand a plain loop of recv, sendto and write in Python, with the same
receive buffer and the same members, and lcm-logger, which only records. Everything happens on loopback, in a
network of its own where that is allowed, and ends by itself: after a minute at most with --quick, else after
about five. --curve draws loss against rate instead, in about two. The figures are told, never judged: a busy
machine fails nobody.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import losscurve
import privatenet
from systems import HERE, Child, LcmLogger, PlainLoop, Relay, System, forcing_allowed, groups, lcm_logger
from trials import Bench, Result

GRID_HZ = [25e3, 50e3, 100e3, 200e3, 400e3, 800e3]
RELAY, LOOP, LCM = "relay", "plain loop", "lcm-logger"
RELAY_SMALL, LOOP_SMALL = "relay, rmem_max", "plain loop, rmem_max"
SMALL = (RELAY_SMALL, LOOP_SMALL)


class Load(NamedTuple):
    """Who sends and who listens."""

    name: str
    source: str
    members: str


ORDINARY = Load("ordinary sources", "single", "plain")
TRAINS = Load("UDP_SEGMENT sources, plain members", "trains", "plain")
TRAINS_GRO = Load("UDP_SEGMENT sources, GRO members", "trains", "gro")


class Effort(NamedTuple):
    """How long it may take."""

    sizes: tuple[int, ...]
    grid_hz: list[float]
    seconds: float  # of a load
    steps: int  # of bisection
    repeats: int  # of what is told as a median


FULL = Effort((64, 809), GRID_HZ, 0.6, 3, 3)
QUICK = Effort((64,), GRID_HZ[1::2], 0.3, 2, 1)

Results = dict[tuple[int, Load, str], Result]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="64-byte datums only, in under a minute")
    parser.add_argument("--curve", type=Path, metavar="FILE.svg", help="draw loss against rate instead")
    wanted = parser.parse_args()
    effort = QUICK if wanted.quick else FULL
    private = privatenet.enter()
    begun = time.monotonic()
    print_machine(private)
    print(
        "sources, relay and members share these cores: beyond what they can do together, no rate is offered"
    )
    makers = systems(private)
    if wanted.curve:
        draw_curve(wanted.curve, makers)
        print(f"took {time.monotonic() - begun:.0f} s")
        return
    # first, before the loads leave the disk with hundreds of megabytes to write
    idle_percents, idle_bytes = idle(effort)
    within = latency(effort)
    results: Results = {}
    for size in effort.sizes:
        for load in (ORDINARY, TRAINS, TRAINS_GRO):
            names = list(makers) if load is ORDINARY else [RELAY, LOOP]
            for name in names:
                results[size, load, name] = measure(makers[name], size, load, effort)
            print_losses(size, load, effort.grid_hz, {name: results[size, load, name] for name in names})
    print_highest(results)
    print_aims(results, idle_percents, idle_bytes, within)
    print(f"took {time.monotonic() - begun:.0f} s; load average now {os.getloadavg()[0]:.1f}")


def systems(private: bool) -> dict[str, Callable[[Path, int], System]]:
    """What is measured, by name; says what is left out."""
    makers: dict[str, Callable[[Path, int], System]] = {RELAY: Relay, LOOP: PlainLoop}
    if lcm_logger() is None:
        print("lcm-logger is left out: the package `lcm` of PyPI is not installed")
    elif not private:
        print("lcm-logger is left out: only in a network of its own (root) is its group sure to stay here")
    else:
        makers[LCM] = LcmLogger
    if forcing_allowed():
        makers[RELAY_SMALL] = lambda directory, size: Relay(directory, size, forced=False)
        makers[LOOP_SMALL] = lambda directory, size: PlainLoop(directory, size, forced=False)
    else:
        print("receive buffers beyond rmem_max are not allowed here: all rows are with rmem_max")
    return makers


def measure(make: Callable[[Path, int], System], size: int, load: Load, effort: Effort) -> Result:
    with tempfile.TemporaryDirectory(prefix="speeddata-bench-") as directory:
        system = make(Path(directory), size)
        with Bench(system, size, load.source, load.members) as bench:
            return bench.search(effort.grid_hz, effort.seconds, effort.steps, effort.repeats)


def idle(
    effort: Effort, *, channels: int = 10, rate_hz: int = 1000, size: int = 64
) -> tuple[list[float], int]:
    """Percent of a core that the relay takes for some slow channels, each time, sorted; its memory, bytes."""
    with tempfile.TemporaryDirectory(prefix="speeddata-bench-") as directory:
        relay = Relay(Path(directory), size, announced=True)
        children = [relay.child]
        try:
            joined = [group for i in range(channels) for group in groups(f"bench_{i}")]
            children.append(Child([sys.executable, HERE / "members.py", "plain", size, *joined]))
            source = Child([sys.executable, HERE / "loads.py", "channels", relay.listens, size, channels])
            children.append(source)
            source.ask(f"{rate_hz} 0.5")  # the channels are made, everything is loaded
            shares = []
            for _ in range(max(3, effort.repeats)):
                cpu_s, began = relay.child.cpu_s, time.monotonic()
                source.ask(f"{rate_hz} {3 * effort.seconds}")
                shares.append(100 * (relay.child.cpu_s - cpu_s) / (time.monotonic() - began))
            return sorted(shares), relay.child.most_resident_bytes
        finally:
            for child in reversed(children):
                child.close()


def latency(effort: Effort, *, rate_hz: int = 10_000, size: int = 64) -> list[float]:
    """Milliseconds from sending to arrival at a member of the full group, in order: the middle repetition."""
    with tempfile.TemporaryDirectory(prefix="speeddata-bench-") as directory:
        relay = Relay(Path(directory), size)
        children = [relay.child]
        try:
            member = Child([sys.executable, HERE / "members.py", "latency", size, relay.serves[0]])
            children.append(member)
            source = Child([sys.executable, HERE / "loads.py", "stamped", relay.listens, size])
            children.append(source)
            source.ask(f"{rate_hz} 0.2")
            member.ask()
            runs = []
            for _ in range(effort.repeats):
                source.ask(f"{rate_hz} {3 * effort.seconds}")
                runs.append(sorted(member.ask()))
            return sorted(runs, key=lambda run: share_within(run, 5))[len(runs) // 2]
        finally:
            for child in reversed(children):
                child.close()


def share_within(milliseconds: list[float], limit: float) -> float:
    return sum(each <= limit for each in milliseconds) / max(1, len(milliseconds))


def draw_curve(path: Path, makers: dict[str, Callable[[Path, int], System]]) -> None:
    """Measure loss against rate of 64-byte datums, print the figures and draw them."""
    relay, loop = makers.get(RELAY_SMALL, Relay), makers.get(LOOP_SMALL, PlainLoop)
    wanted = {
        "relay; sources that send trains, as `send` does": (relay, "trains", "gro"),
        "relay; a datagram a call": (relay, "single", "plain"),
        "recv, sendto, write in Python; trains": (loop, "trains", "plain"),
    }
    if LCM in makers:
        wanted["lcm-logger, which only records; trains"] = (makers[LCM], "trains", "plain")
    trials = {label: losscurve.curve(*each) for label, each in wanted.items()}
    print_table(losscurve.rows(trials))
    notes = [
        f"{losscurve.SIZE}-byte datums for {losscurve.SECONDS} s; a line ends where its source does, "
        f"at {losscurve.GRID_HZ[-1] / 1e6:g} M at most; receive buffers as rmem_max allows",
        machine(),
        f"python tests/bench/relay.py --curve {path.name}",
    ]
    lines = [losscurve.line(label, each) for label, each in trials.items()]
    path.write_text(losscurve.svg(lines, "Datums lost, by the rate at which they are sent", notes))


def machine() -> str:
    """Processors, system and Python, in words."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} x {cpu}, {platform.system()} {platform.release()}, {python}"


def print_machine(private: bool) -> None:
    rmem_max = int(Path("/proc/sys/net/core/rmem_max").read_text())
    print(machine())
    where = "a network of its own" if private else "the loopback that all share"
    print(f"on {where}; rmem_max {rmem_max >> 10} KiB; load average {os.getloadavg()[0]:.1f} before")


def print_losses(size: int, load: Load, grid_hz: list[float], results: dict[str, Result]) -> None:
    """Loss against rate."""
    rows = [["datums/s", *results]]
    for rate_hz in grid_hz:
        row = [f"{rate_hz:,.0f}"]
        for result in results.values():
            trial = result.grid.get(rate_hz)
            if trial is None:
                row.append("-")
            elif trial.lost:
                row.append(f"{trial.lost:.2%}" if trial.lost >= 5e-5 else "<0.01%")
            else:
                late_s = max(trial.behind_s, trial.recorded_s)
                row.append("0" if trial.held else f"0, {late_s:.1f} s late")
            if trial is not None and trial.source_limited:
                row[-1] += f" (of {trial.offered_hz / 1e3:,.0f}k)"
        rows.append(row)
    print(f"\n{size} B, {load.name}: lost at the rate asked for (of the rate that the source reached)")
    print_table(rows)


def print_highest(results: Results) -> None:
    """The highest rates without loss, what they cost, and how that compares."""
    rows = [["", "", "", "nothing lost up to", "per CPU second", "x loop", "x loop, CPU", "memory"]]
    for (size, load, name), result in results.items():
        loop = results[size, load, LOOP]
        reached = f"{result.rate_hz:,.0f}/s" if result.best else "under the least"
        if result.best and result.best.source_limited:
            reached = f">= {reached}"
        rows.append(
            [
                f"{size} B",
                load.name,
                name,
                reached,
                f"{result.per_cpu_s:,.0f}",
                ratio(result.rate_hz, loop.rate_hz),
                ratio(result.per_cpu_s, loop.per_cpu_s),
                f"{result.resident_bytes / 2**20:.0f} MiB",
            ]
        )
    print("\nhighest rate at which nothing is lost (>=: the source could not offer more)")
    print_table(rows)


def print_aims(results: Results, idle_percents: list[float], idle_bytes: int, within: list[float]) -> None:
    """What was aimed at beside what was reached."""
    rows = [["", "aim", "reached"]]
    for size in sorted({size for size, _, _ in results}):

        def cpu(load: Load, size: int = size) -> str:
            return ratio(results[size, load, RELAY].per_cpu_s, results[size, load, LOOP].per_cpu_s)

        rows.append(
            [
                f"{size} B, {ORDINARY.name}, datums a CPU second against the plain loop",
                ">= 2.0x",
                cpu(ORDINARY),
            ]
        )
        if (lcm := results.get((size, ORDINARY, LCM))) is not None:
            least = lcm.rate_hz or min(lcm.grid)
            ours = results[size, ORDINARY, RELAY]
            reached = ratio(ours.rate_hz, least)
            if not lcm.best or (ours.best and ours.best.source_limited):
                reached = f">= {reached}"
            rows.append([f"{size} B, {ORDINARY.name}, loss-free rate against lcm-logger", ">= 5.0x", reached])
        rows.append(
            [f"{size} B, {TRAINS_GRO.name}, datums a CPU second against the loop", ">= 7.0x", cpu(TRAINS_GRO)]
        )
        rows.append(
            [f"{size} B, {TRAINS.name}, datums a CPU second against the loop", ">= 3.0x", cpu(TRAINS)]
        )
    rows.append(
        ["10 channels of 1 kHz, share of one core", "< 15 %", f"{statistics.median(idle_percents):.1f} %"]
    )
    rows.append(["the same, most memory resident", "< 100 MiB", f"{idle_bytes / 2**20:.0f} MiB"])
    most = max(
        result.resident_bytes for (_, _, name), result in results.items() if name in (RELAY, RELAY_SMALL)
    )
    rows.append(["under all loads, most memory resident", "< 100 MiB", f"{most / 2**20:.0f} MiB"])
    share = share_within(within, 5)
    rows.append(["10 kHz, re-served within 5 ms", ">= 99 %", f"{share:.2%}"])
    print("\naims")
    print_table(rows)
    print(f"idle: {', '.join(f'{each:.1f}' for each in idle_percents)} % of a core")
    if within:
        middle, late = within[len(within) // 2], within[len(within) * 99 // 100]
        print(
            f"latency at 10 kHz: median {middle:.2f} ms, 99 % within {late:.2f} ms, most {within[-1]:.2f} ms"
        )


def ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.1f}x" if theirs else "-"


def print_table(rows: list[list[str]]) -> None:
    """Words to the left, figures to the right; the first row is the head."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    words = [column[-1][:1].isalpha() or i == 0 for i, column in enumerate(columns)]
    for row in rows:
        cells = [
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(row, widths, words, strict=True)
        ]
        print("  " + "  ".join(cells).rstrip(), flush=True)


if __name__ == "__main__":
    main()

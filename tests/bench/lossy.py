"""What is lost between two hosts on purpose, beside what is reported as lost (Linux, root).

    python tests/bench/lossy.py [--quick] [--json]

Two network namespaces are two hosts; the cable between them goes through a process that drops, repeats and
reorders datums and counts what it did. First a source sends to a relay on the other host; then the group that
a relay serves is received on the other host, by a second relay and by `tap`. The status is 1 where anything
that is reported differs from what was injected by a single datum.

A datum that comes twice counts twice, so it hides one that is lost: no datum bears a number by which a relay
could tell. One that comes late counts, unless it comes behind the source's goodbye.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import fastavro
from relay import print_table
from systems import ROOT, groups
from twohosts import LEFT, RIGHT, TwoHosts

PORT = 26_000
RATE_HZ = 8000
COUNT = 20_000
PATIENCE_S = 15.0
SCHEMA = '{"type": "record", "name": "numbered", "fields": [{"name": "n", "type": "long"}]}'

RULES: dict[str, dict[str, float]] = {
    "nothing": {},
    "1 in 1000": {"drop": 0.001},
    "1 in 100": {"drop": 0.01},
    "1 in 10": {"drop": 0.1},
    "1 in 2": {"drop": 0.5},
    "all": {"drop": 1.0},
    "1 in 10, bursts of 100": {"drop": 0.1, "burst": 100},
    "1 in 10, announcements too": {"drop": 0.1, "deaf": 0.6},
    "1 in 20 twice": {"repeat": 0.05},
    "1 in 10, 1 in 20 twice": {"drop": 0.1, "repeat": 0.05},
    "1 in 10 late": {"late": 0.1},
    "1 in 10, 1 in 10 late": {"drop": 0.1, "late": 0.1},
    "7 behind the goodbye": {"too_late": 7},
}
QUICK_SOURCE = ("1 in 10, announcements too", "1 in 10, 1 in 20 twice", "1 in 10, 1 in 10 late")
QUICK_GROUP = ("1 in 10, bursts of 100",)
OF_GROUPS = [name for name, rule in RULES.items() if "too_late" not in rule]


class Hosts:
    """Commands on the two hosts, and the cable between them."""

    def __init__(self, two: TwoHosts, directory: Path, stack: ExitStack) -> None:
        self._two, self.directory, self._stack = two, directory, stack
        (directory / "n.avsc").write_text(SCHEMA)

    def start(self, host: str, *args: object, stdin: int | None = None, out: Any = None) -> Command:
        """A `speeddata` command on *host*."""
        command = Command(self.directory, self._two.entry(host), host, args, stdin, out)
        self._stack.callback(command.close)
        return command

    def rule(self, to: tuple[str, int] | None = None, **rule: float) -> dict[str, int]:
        """A new rule for the cable; what happened under the one before."""
        told = self._two.forwarder.ask(json.dumps({"to": to, **rule} if to else {}))
        if told.pop("overrun"):
            raise SystemExit("the forwarder was too slow, and the kernel dropped frames: nothing is proven")
        return dict(told)

    def announced(self, host: str) -> dict[str, dict[str, int]]:
        """What the relay on *host* says of its channels."""
        args = ["ls", "--json", "-i", host]
        command = self.start(host, *args, out=subprocess.PIPE)
        out, _ = command.process.communicate(timeout=PATIENCE_S)
        heard = map(json.loads, out.splitlines())
        return {each["channel"]: each for each in heard if each["relay"].startswith(f"{host}:")}


class Command:
    """A `speeddata` command on one of the hosts."""

    def __init__(
        self,
        directory: Path,
        enter: Callable[[], None],
        host: str,
        args: Sequence[object],
        stdin: int | None,
        out: Any,
    ) -> None:
        self._said = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  (closed by `close`)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "speeddata", *map(str, args)],
            cwd=directory,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SPEEDDATA_INTERFACE": host,
                "XDG_CONFIG_HOME": str(directory),
            },
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=out or subprocess.DEVNULL,
            stderr=self._said,
            preexec_fn=enter,
        )

    def stderr(self) -> str:
        self._said.seek(0)
        return self._said.read().decode()

    def listens(self, port: int) -> bool:
        """Whether somebody on its host listens at *port*."""
        return self.sockets(port) > 0

    def sockets(self, port: int) -> int:
        """How many sockets of its host are bound to *port*."""
        try:
            return Path(f"/proc/{self.process.pid}/net/udp").read_text().count(f":{port:04X} ")
        except OSError:  # it has ended
            return 0

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._said):
            if pipe is not None:
                pipe.close()


def wait(condition: Callable[[], object], *commands: Command, patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        ended = [each.stderr() for each in commands if each.process.poll() is not None]
        if ended or time.monotonic() > end:
            raise SystemExit(f"it does not go on: {ended}")
        time.sleep(0.01)


def settled(look: Callable[[], int], wanted: int) -> int:
    """What *look* gives, once that is *wanted* or changes no more."""
    last, changed = look(), time.monotonic()
    while last < wanted and time.monotonic() - changed < 1.0:
        time.sleep(0.02)
        if (now := look()) != last:
            last, changed = now, time.monotonic()
    return last


def numbers(directory: Path) -> Iterator[int]:
    """The datums of a channel's recording, as fastavro finds them."""
    for path in sorted(directory.glob("*Z.avro")):
        with path.open("rb") as file:
            yield from (record["n"] for record in fastavro.reader(file))  # type: ignore[index]


def ledger(directory: Path, kind: str) -> int:
    """What the lines of one *kind* tell as lost, summed up."""
    lines = map(json.loads, (directory / "ledger.jsonl").read_text().splitlines())
    return sum(line["lost"] for line in lines if line["kind"] == kind)


class Source:
    """`speeddata send` of numbers from 0 on, which waits to be fed."""

    def __init__(self, hosts: Hosts, host: str, name: str) -> None:
        args = ["send", "-", "-f", "json", "-s", "n.avsc", "--name", name, "--to", f"{RIGHT}:{PORT}"]
        self._command = hosts.start(host, *args, "--rate", RATE_HZ, stdin=subprocess.PIPE)
        self._fed = 0

    def begin(self) -> None:
        """Send number 0: before there is something to send, it announces nothing."""
        assert self._command.process.stdin is not None
        self._command.process.stdin.write(b'{"n": 0}\n')
        self._command.process.stdin.flush()
        self._fed = 1

    def feed(self, count: int) -> None:
        """Send the numbers below *count*, say goodbye and end."""
        lines = "".join(f'{{"n": {n}}}\n' for n in range(self._fed, count)).encode()
        self._command.process.communicate(lines, timeout=PATIENCE_S)
        if self._command.process.returncode:
            raise SystemExit(self._command.stderr())


def to_a_relay(hosts: Hosts, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Loss between sources on one host and a relay on the other."""
    relay = hosts.start(RIGHT, "relay", "--listen", f"0.0.0.0:{PORT}", "-o", "right")
    wait(lambda: relay.listens(PORT), relay)
    cable = {}
    for number, name in enumerate(names):
        hosts.rule((RIGHT, PORT), **RULES[name])
        source = Source(hosts, LEFT, f"row_{number}")
        source.feed(count)
        if RULES[name].get("too_late"):
            time.sleep(0.3)
        cable[name] = hosts.rule()
    announced = hosts.announced(RIGHT)
    relay.end()
    return [
        row("source and relay", name, did, count, hosts.directory / "right" / f"row_{number}", announced)
        for number, (name, did) in enumerate(cable.items())
    ]


def row(
    between: str, name: str, did: dict[str, int], count: int, kept: Path, announced: dict[str, dict[str, int]]
) -> dict[str, Any]:
    """What was done to a channel of *count* datums, and what the relay that kept it in *kept* reports."""
    dropped, repeated = did.get("dropped", 0) + did.get("too late", 0), did.get("repeated", 0)
    said = announced[kept.name]
    found = list(numbers(kept))
    told = [ledger(kept, kind) for kind in ("loss", "file")]
    return {
        "between": between,
        "injected": name,
        "sent": did["datums"],
        "dropped": dropped,
        "repeated": repeated,
        "reported": said["lost"],
        "recorded": len(found),
        "difference": said["lost"] - max(0, dropped - repeated),
        "sound": len(found) == said["received"] == count - dropped + repeated
        and set(found) <= set(range(count))
        and len(set(found)) == count - dropped
        and (found == sorted(found)) is not bool(did.get("late"))
        and told == [said["lost"], said["lost"] if found else 0],  # no file tells what was all lost
    }


def to_a_group(hosts: Hosts, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Loss between a relay on one host, and a second one and a tap on the other."""
    first = hosts.start(RIGHT, "relay", "--listen", f"0.0.0.0:{PORT}", "-o", "first")
    channels = {name: f"group_{number}" for number, name in enumerate(names)}
    listed = [f"{channel}={groups(channel)[0]}" for channel in channels.values()]
    second = hosts.start(LEFT, "relay", *listed, "-o", "second")
    wait(lambda: first.listens(PORT), first)
    rows, tapped, cable = [], {}, {}
    for name, channel in channels.items():
        host, _, port = groups(channel)[0].partition(":")
        source = Source(hosts, RIGHT, channel)
        source.begin()
        with (hosts.directory / f"{channel}.csv").open("wb") as file:
            tap = hosts.start(LEFT, "tap", groups(channel)[0], "-f", "csv", out=file)
        wait(lambda tap=tap, port=port: tap.sockets(int(port)) > 1, tap, second)
        hosts.rule((host, int(port)), **RULES[name])
        source.feed(count)
        path = hosts.directory / f"{channel}.csv"
        settled(lambda path=path: path.read_bytes().count(b"\n") - 1, count)
        cable[name] = hosts.rule()
        tap.end()
        tapped[name] = [int(line) for line in path.read_text().splitlines()[1:]]
    announced = hosts.announced(LEFT)
    first.end()
    second.end()
    for name, channel in channels.items():
        made = row(
            "relay and group", name, cable[name], count, hosts.directory / "second" / channel, announced
        )
        found = list(numbers(hosts.directory / "second" / channel))
        made["sound"] &= cable[name]["datums"] == count - 1  # the first was before the rule
        made["sound"] &= tapped[name] == found[1:]
        rows.append(made)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="some rows, and fewer datums")
    parser.add_argument("--json", action="store_true", help="JSON Lines instead of a table")
    wanted = parser.parse_args()
    count = COUNT // 10 if wanted.quick else COUNT
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speeddata-lossy-")))
        try:
            two = stack.enter_context(TwoHosts())
        except PermissionError as exc:
            raise SystemExit(str(exc)) from None
        hosts = Hosts(two, directory, stack)
        rows = to_a_relay(hosts, QUICK_SOURCE if wanted.quick else list(RULES), count)
        rows += to_a_group(hosts, QUICK_GROUP if wanted.quick else OF_GROUPS, count)
    if wanted.json:
        print("\n".join(map(json.dumps, rows)))
    else:
        head = [
            "between",
            "injected",
            "sent",
            "dropped",
            "repeated",
            "reported",
            "recorded",
            "difference",
            "",
        ]
        table = [head]
        for row in rows:
            figures = [f"{row[key]:,}" for key in head[2:-1]]
            table.append([row["between"], row["injected"], *figures, "" if row["sound"] else "NOT SOUND"])
        print_table(table)
    return 0 if all(row["sound"] and not row["difference"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

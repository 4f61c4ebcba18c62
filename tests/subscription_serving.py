"""A recording that grows, a customer of it, and the embedded log that its messages go to, read by sqlite3."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import fastavro

from speeddata.avro.container import zigzag
from speeddata.interrupts import Stop
from speeddata.recording.blockfile import BlockFile
from speeddata.recording.catalogue import file_name
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Denied, Message, TooLarge, Unreachable
from speeddata.subscription.engine_log import LogOutlet
from speeddata.subscription.forwarding import Forwarder, Sent, Wish
from speeddata.subscription.registry import Registry
from speeddata.subscription.series import series_id

NOON = 1_764_763_200_000_000_000  # 2025-12-03T12:00:00Z
MS = 10**6
WITHIN_S = 20.0
SIGNALS = ("volts", "amps", "ohms")
CHANNELS = ("rig", "pump")
BLOCKS, DATUMS = 100, 50  # of each channel before each kill
TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}


def schema_text(channel: str, *signals: str, time: object = TIME) -> str:
    fields = [time, *({"name": name, "type": "double"} for name in signals)]
    return json.dumps({"type": "record", "name": channel, "fields": fields})


def when(number: int) -> str:
    """The written time of datum *number*, one each millisecond."""
    return f"2025-12-03T12:{number // 60000:02d}:{number // 1000 % 60:02d}.{number % 1000:03d}Z"


class Source:
    """A channel's files: datum *n* of any block is at NOON + n ms, and all its signals have the value n."""

    def __init__(self, root: Path, channel: str = "rig", signals: Sequence[str] = ("volts",)) -> None:
        self.root, self.channel, self.signals = root, channel, tuple(signals)
        self.files: list[BlockFile] = []
        self.next = 0

    def begin(self, *signals: str, time: object = TIME, stamp: int | None = None) -> Path:
        """The next file, of *signals* or those before."""
        self.end()
        self.signals = signals or self.signals
        folder = self.root / self.channel
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {
            "avro.schema": schema_text(self.channel, *self.signals, time=time),
            "speeddata.channel": self.channel,
            "speeddata.role": "recording",
        }
        path = folder / file_name(self.channel, NOON + self.next * MS if stamp is None else stamp)
        self.files.append(BlockFile.create(path, metadata))
        return path

    def block(self, count: int = 10) -> None:
        datums = [
            zigzag(NOON + n * MS) + struct.pack("<d", n) * len(self.signals)
            for n in range(self.next, self.next + count)
        ]
        self.next += count
        self.files[-1].append(count, b"".join(datums))

    def blocks(self, blocks: int, count: int = 10) -> None:
        for _ in range(blocks):
            self.block(count)

    def end(self) -> None:
        if self.files and self.files[-1]._descriptor >= 0:
            self.files[-1].close()
            self.files[-1]._descriptor = -1

    def passes(self, blocks: int = 1, count: int = 10, closed_ns: int = NOON, **file: int) -> Path:
        """A file that comes, and goes: all that is left of it is the line of the ledger."""
        path = self.begin(**file)
        self.blocks(blocks, count)
        self.end()
        self.tell(path, closed_ns)
        path.unlink()
        return path

    def tell(self, path: Path, closed_ns: int = NOON) -> None:
        """The ledger's line that a relay writes when it closes a file, which ends with datum `next - 1`."""
        with (path.parent / "ledger.jsonl").open("a") as file:
            file.write(
                f'{{"kind": "file", "since": 0, "until": {closed_ns}, "session": "s", "received": 1, '
                '"recorded": 1, "lost": 0, "lost_kernel": 0, "lost_disk": 0, "rejected": 0, '
                f'"file": "{path.name}", "size": {path.stat().st_size}, "least": {NOON}, '
                f'"greatest": {NOON + (self.next - 1) * MS}}}\n'
            )


class Customer:
    """`plant`, who is subscribed to a recording, as every command finds it."""

    def __init__(self, root: Path, name: str = "plant") -> None:
        self.root, self.name, self.directory = root, name, root / "data"
        self.log = root / "hub.db"
        self.registry_path = root / "state" / "subscribe.db"
        self.directory.mkdir(exist_ok=True)
        self.registry = Registry(self.registry_path)
        self.door = Door(self.log)
        LogOutlet(self.log).close()  # its tables

    def close(self) -> None:
        self.registry.__exit__()

    def add(self, *patterns: str, since_ns: int | None = None, **options) -> None:
        self.registry.add(self.name, patterns, time.time_ns(), since_ns=since_ns, **options)

    def remove(self, *patterns: str) -> None:
        self.registry.remove(self.name, patterns)

    def once(self, stop: Stop | None = None, **wish) -> Sent:
        wish = {"retry_s": 5.0, **wish}
        forwarder = Forwarder(
            self.registry,
            self.name,
            self.directory,
            self.door.destination,
            self.door.open,
            stop or Stop(),
            Wish(once=True, **wish),
        )
        return forwarder.run()

    def running(self, **wish) -> Run:
        return Run(self, Wish(**wish))

    def place(self, channel: str = "rig"):
        return self.registry.places(self.name, self.directory).get(channel)

    @property
    def gaps(self):
        return self.registry.gaps(self.name)

    def rows(self) -> list[tuple[str, str, bytes]]:
        """Ids, keys and bodies in the log, oldest first; by no code of ours."""
        with sqlite3.connect(f"file:{self.log}?mode=ro", uri=True) as connection:
            query = "SELECT message.id, key, body FROM message JOIN topic ON topic.id = topic WHERE name = ?"
            return connection.execute(f"{query} ORDER BY sequence", (self.name,)).fetchall()

    def got(self, signal: str = "volts", channel: str = "rig") -> list[float]:
        """The values of a signal, as they came."""
        wanted, found = str(series_id(channel, signal)), []
        for _, _, body in self.rows():
            for item in json.loads(body)["data"]["items"]:
                if item["id"] == wanted:
                    for point in item["datapoints"]:
                        assert point["time"] == when(int(point["value"]))
                        found.append(point["value"])
        return found


class Run:
    """A run in a thread, with a registry of its own as another process would have; a context manager."""

    def __init__(self, customer: Customer, wish: Wish) -> None:
        self.customer, self.wish, self.stop = customer, wish, Stop()
        self.sent: Sent | None = None
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Run:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> Sent:
        self.stop.ask()
        return self.join()

    def join(self) -> Sent:
        self.thread.join(WITHIN_S)
        assert not self.thread.is_alive(), "the run does not end"
        if self.failure is not None:
            raise self.failure
        return self.sent

    def _run(self) -> None:
        customer = self.customer
        try:
            with Registry(customer.registry_path) as registry:
                door = customer.door
                forwarder = Forwarder(
                    registry,
                    customer.name,
                    customer.directory,
                    door.destination,
                    door.open,
                    self.stop,
                    self.wish,
                )
                self.sent = forwarder.run()
        except BaseException as exc:
            self.failure = exc


class Door:
    """The way to the log: it can be shut, or ask for another secret.

    Attributes:
        shut, denying: what who comes is told.
        lost: whether messages are taken, but the answer is lost.
        most: bytes of a body that are taken.
        opened: how often somebody came in.
        secret, right: the one in use, and the one that opens.
    """

    def __init__(self, log: Path) -> None:
        self.log = log
        self.shut = self.lost = False
        self.most = 1 << 30
        self.opened = self.tried = 0
        self.secret = self.right = "one"
        self.sends: list[list[Message]] = []

    def destination(self) -> Destination:
        return Destination.parse(f"nats://{self.secret}@127.0.0.1:4222/DOOR")  # only the secret matters

    def open(self, destination: Destination) -> Door:
        return self

    def __enter__(self) -> Door:
        self.tried += 1
        self._look()
        self.opened += 1
        self.outlet = LogOutlet(self.log)
        return self

    def __exit__(self, *exc: object) -> None:
        self.outlet.close()

    def send(self, messages: Sequence[Message]) -> list[str]:
        self._look()
        self.sends.append(list(messages))
        large = next((at for at, each in enumerate(messages) if len(each.body) > self.most), len(messages))
        found = self.outlet.send(messages[:large])
        if self.lost:
            self.lost = False
            raise Unreachable("the answer was lost", where="door")
        if large < len(messages):
            raise TooLarge("too large for the door", id=messages[large].id, where="door")
        return found

    def _look(self) -> None:
        if self.shut:
            raise Unreachable("nobody is there", where="door")
        if self.secret != self.right:
            raise Denied("not with that secret", where="door")


def read_by_fastavro(paths: Sequence[Path], signal: str = "volts") -> list[float]:
    """What is recorded, by no code of ours."""
    return [record[signal] for path in paths for record in fastavro.reader(io.BytesIO(path.read_bytes()))]


class Commands:
    """A recording that grows, and a customer with a home of its own."""

    def __init__(self, root, spawn, customer, kills):
        self.root, self.customer, self.kills = root, customer, kills
        home = {"XDG_STATE_HOME": str(root / "state"), "XDG_CONFIG_HOME": str(root / "config")}
        self._spawn = lambda *args, **kwargs: spawn(*args, env=home, **kwargs)
        self.sources = [Source(root / "data", channel, SIGNALS) for channel in CHANNELS]
        self.paths = [[source.begin()] for source in self.sources]

    def subscribe(self, verb, *args, **kwargs):
        return self._spawn("subscribe", verb, *args, "--customer", self.customer, **kwargs)

    def done(self, verb, *args, text=b"", wants=0):
        run = self.subscribe(verb, *args, stdin=-1)
        run.stdin.write(text)
        run.stdin.close()
        assert run.wait(60) == wants, run.stderr.rest().decode()
        return run.stdout.rest().decode()

    def record(self, number):
        for source, paths in zip(self.sources, self.paths, strict=True):
            if number % 3 == 2:
                paths.append(source.begin())
            source.blocks(BLOCKS, DATUMS)

    def end(self):
        for source in self.sources:
            source.end()

    def kill_again_and_again(self, count, wait_for, meanwhile=lambda number: None):
        """*count* tells how many messages have come; each kill comes soon after the first new ones."""
        for number in range(self.kills):
            self.record(number)
            before = count()
            run = self.subscribe("run")
            wait_for(lambda before=before: count() > before)
            meanwhile(number)
            enough = min(before + number * 3, self.kills * BLOCKS)
            wait_for(lambda enough=enough: count() > enough)
            assert run.kill() < 0
        self.end()
        assert count() < self.kills * BLOCKS * len(CHANNELS), "every run was quicker than its end"
        self.done("run", "--once")

    def check(self, messages):
        """*messages*, ids and bodies in order, have what fastavro reads, in order, and no id twice."""
        ids = [id for id, _ in messages]
        assert len(set(ids)) == len(ids)
        got = {}
        for _, body in messages:
            for item in json.loads(body)["data"]["items"]:
                got.setdefault(item["id"], []).extend(point["value"] for point in item["datapoints"])
        for channel, paths in zip(CHANNELS, self.paths, strict=True):
            for signal in SIGNALS:
                recorded = read_by_fastavro(paths, signal)
                assert len(recorded) == self.kills * BLOCKS * DATUMS
                assert got[str(series_id(channel, signal))] == recorded
        (told,) = map(json.loads, self.done("ls", "--json").splitlines())
        assert (told["lag_bytes"], told["gaps"]) == (0, [])
        assert self.done("run", "--once", "--json")
        assert told["datapoints"] <= 2 * sum(map(len, got.values()))

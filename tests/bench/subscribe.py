"""What delivery to subscribers costs, beside forwarders that take one record at a time.

    python tests/bench/subscribe.py [TABLE...]

`encoding`: from the bytes of recorded blocks to the bytes of messages, for several forms of a channel. The
plain ways read record by record with fastavro, and make the same envelopes with json, or with orjson. Every
figure is the best of several rounds on one core; the ratios of a line are of one run.

`delivery`: from a recording to a destination that has acknowledged all of it, the embedded log and NATS; for
each second of a core that the forwarder takes, and of the clock. Beside it the same by a plain forwarder: it
sends what a record has as a message of its own, or, kinder, gathers a thousand datapoints for one.

`delay`: from a datum sent to a relay to its message in the log, with a command for each.

`memory`: the most that `subscribe run --once` holds while it sends a day of 100 signals at 10 Hz.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path

import fastavro
import orjson
from subscribecommands import delay, memory
from subscribeloads import Load, record

from speeddata.avro.schema import Schema, parse
from speeddata.batch import Batch
from speeddata.interrupts import Stop
from speeddata.subscription import envelope
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Message
from speeddata.subscription.engines import open_outlet
from speeddata.subscription.envelope import Encoder
from speeddata.subscription.forwarding import Forwarder, Wish
from speeddata.subscription.messages import LIMITS, BlockRef, cut
from speeddata.subscription.registry import Registry
from speeddata.subscription.series import Series, all_series

ROUNDS_S = 1.0  # of rounds of one kind; the first one takes as long as it takes
ROUNDS = 5
SYNC = bytes(range(16))


LOADS = (
    Load("1 double, 1000 datums a block", 1, 1000),
    Load("1 double, 20 datums a block", 1, 20),
    Load("4 doubles, 100 datums a block", 4, 100),
    Load("32 doubles, 20 datums a block", 32, 20),
    Load("32 doubles, 1000 datums a block", 32, 1000),
    Load("100 doubles, 1 datum a block", 100, 1),
    Load("4 longs, 100 datums a block", 4, 100, "long"),
    Load("4 texts, 100 datums a block", 4, 100, "string"),
)


def best_of(work: Callable[[], object]) -> float:
    """The seconds of a core that the quickest round took; others on the machine do not count."""
    best, begun = float("inf"), time.perf_counter()
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
        if time.perf_counter() - begun > ROUNDS_S:
            break
    return best


def ours(schema: Schema, blocks: Iterable[Batch]) -> list[bytes]:
    encoder = Encoder(all_series("rig", schema))
    fresh = (Batch(schema, each.data, each.count) for each in blocks)  # whose offsets nobody knows yet
    refs = [BlockRef(SYNC, offset, batch) for offset, batch in enumerate(fresh)]
    return [part.body for part in cut(refs, encoder, 1)]


def ours_without_orjson(schema: Schema, blocks: Iterable[Batch]) -> list[bytes]:
    envelope.orjson, before = None, envelope.orjson
    try:
        return ours(schema, blocks)
    finally:
        envelope.orjson = before


def one_by_one(schema: Schema, blocks: Iterable[Batch], dumps: Callable[[object], bytes]) -> list[bytes]:
    """A plain forwarder: records by fastavro, a dictionary for each datapoint, a message for each block."""
    series: list[Series] = all_series("rig", schema)
    names = [(str(each.id), each.signal) for each in series]
    most = LIMITS.size // 80  # datapoints that fit
    writers = fastavro.parse_schema(json.loads(schema.text))
    bodies = []

    def send(points: dict[str, list[dict[str, object]]]) -> None:
        items = [{"id": name, "datapoints": each} for name, each in points.items()]
        bodies.append(
            dumps({"data": {"items": items}, "schema": "equinor/plant/schemas/ingest/datapoints_v2"})
        )

    for block in blocks:
        source = io.BytesIO(block.data)
        points: dict[str, list[dict[str, object]]] = {name: [] for name, _ in names}
        held = 0
        for _ in range(block.count):
            record = fastavro.schemaless_reader(source, writers, None)
            text = written_time(record["time"])
            for name, column in names:
                points[name].append({"time": text, "value": record[column], "status": 192})
            held += len(names)
            if held + len(names) > most:
                send(points)
                points, held = {name: [] for name, _ in names}, 0
        if held:
            send(points)
    return bodies


def with_json(schema: Schema, blocks: Iterable[Batch]) -> list[bytes]:
    return one_by_one(schema, blocks, lambda tree: json.dumps(tree, separators=(",", ":")).encode())


def with_orjson(schema: Schema, blocks: Iterable[Batch]) -> list[bytes]:
    return one_by_one(schema, blocks, orjson.dumps)


WAYS: dict[str, Callable[[Schema, Iterable[Batch]], list[bytes]]] = {
    "subscribe": ours,
    "no orjson": ours_without_orjson,
    "records+orjson": with_orjson,
    "records+json": with_json,
}


def samples(bodies: Iterable[bytes]) -> dict[str, list[tuple[str, object]]]:
    found: dict[str, list[tuple[str, object]]] = {}
    for body in bodies:
        for item in json.loads(body)["data"]["items"]:
            found.setdefault(item["id"], []).extend(
                (each["time"], each["value"]) for each in item["datapoints"]
            )
    return found


def encoding() -> None:
    print("recorded blocks to messages, thousands of datapoints/s on one core")
    print(f"{'':>34}" + "".join(f"{name:>16}" for name in WAYS) + f"{'ratio':>8}{'B/point':>9}")
    for load in LOADS:
        schema = load.schema()
        blocks = load.blocks(schema)
        points = sum(each.count for each in blocks) * load.signals
        bodies = ours(schema, blocks)
        assert bodies == ours_without_orjson(schema, blocks), "the same bytes, or the ratios mean nothing"
        assert samples(bodies) == samples(with_json(schema, blocks)), "the same samples"
        rates = [points / best_of(partial(way, schema, blocks)) for way in WAYS.values()]
        size = sum(map(len, bodies)) / points
        shown = "".join(f"{each / 1e3:>16,.0f}" for each in rates)
        print(f"{load.name:>34}{shown}{rates[0] / rates[-1]:>8.1f}{size:>9.1f}", flush=True)
    print()


# -- from a recording to a destination ----------------------------------------------------------------------

DELIVERED = (
    Load("1 double, 1000 datums a block", 1, 1000),
    Load("4 doubles, 100 datums a block", 4, 100),
    Load("32 doubles, 20 datums a block", 32, 20),
    Load("100 doubles, 1 datum a block", 100, 1),
)
DELIVERED_POINTS = 10  # times as many as for `encoding`


def forwarded(folder: Path, target: Destination) -> None:
    with tempfile.TemporaryDirectory() as state, Registry(Path(state) / "subscribe.db") as registry:
        registry.add("plant", ["rig/*"], time.time_ns(), since_ns=None)
        stop = Stop()
        open_it = partial(open_outlet, customer="plant", stop=stop)
        Forwarder(registry, "plant", folder, lambda: target, open_it, stop, Wish(once=True)).run()


def plainly(folder: Path, target: Destination, *, together: int, messages: int) -> None:
    """As anybody would write it: record after record, *together* datapoints a message, so many of them."""
    with open_outlet(target, customer="plant", stop=Stop()) as outlet:
        for path in sorted((folder / "rig").glob("*.avro")):
            for number, body in enumerate(islice(plain_bodies(path, together), messages)):
                outlet.send([Message(f"{path.name}:{number}", "plant", "rig", body, 0)])


def plain_bodies(path: Path, together: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        reader = fastavro.reader(file)
        series = all_series("rig", parse(reader.metadata["avro.schema"]))
        names = [(str(each.id), each.signal) for each in series]
        points: dict[str, list[dict[str, object]]] = {name: [] for name, _ in names}
        held = 0
        for row in reader:
            text = written_time(row["time"])
            for name, column in names:
                points[name].append({"time": text, "value": row[column], "status": 192})
            held += len(names)
            if held >= together:
                yield plain_body(points)
                points, held = {name: [] for name, _ in names}, 0
        if held:
            yield plain_body(points)


def plain_body(points: dict[str, list[dict[str, object]]]) -> bytes:
    items = [{"id": name, "datapoints": each} for name, each in points.items()]
    tree = {"data": {"items": items}, "schema": "equinor/plant/schemas/ingest/datapoints_v2"}
    return json.dumps(tree, separators=(",", ":")).encode()


def written_time(time_ns: int) -> str:
    return (
        datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """A server on this machine, by its address; on no other interface."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    command = ["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            assert server.poll() is None, "nats-server does not start"
            time.sleep(0.02)
        yield f"nats://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def costs(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a core, and of the clock."""
    core, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - core, time.perf_counter() - clock


def delivery() -> None:
    print("a recording to an acknowledged destination, thousands of datapoints/s of a core (of the clock)")
    ways = ("subscribe", "gathered", "one by one")
    print(f"{'':>40}" + "".join(f"{name:>16}" for name in ways) + f"{'ratios':>14}")
    for load in DELIVERED:
        for engine in ("log", "nats"):
            if engine == "nats" and shutil.which("nats-server") is None:
                print("nats-server is not installed")
                continue
            with tempfile.TemporaryDirectory() as name:
                root = Path(name)
                points = record(root / "data", load, DELIVERED_POINTS)
                gathered = -(-1000 // load.signals) * load.signals
                server = nats_server(root / "js") if engine == "nats" else contextlib.nullcontext("")
                with server as address:
                    rates = []
                    for number, (work, count) in enumerate(
                        (
                            (partial(forwarded, root / "data"), points),
                            (partial(plainly, root / "data", together=1000, messages=100), 100 * gathered),
                            (partial(plainly, root / "data", together=1, messages=2000), 2000 * load.signals),
                        )
                    ):
                        place = f"{address}/S{number}?subject=s{number}.{{customer}}.{{channel}}"
                        text = place if address else f"sqlite:{root}/{number}.db"
                        core, clock = costs(partial(work, Destination.parse(text)))
                        rates.append((count / core, count / clock))
            shown = "".join(f"{each / 1e3:>9,.0f} ({clock / 1e3:>4,.0f})" for each, clock in rates)
            ratios = " ".join(f"{rates[0][0] / each:6.1f}" for each, _ in rates[1:])
            print(f"{load.name:>35} {engine:>4}{shown} {ratios}", flush=True)
    print()


TABLES: dict[str, Callable[[], None]] = {
    "encoding": encoding,
    "delivery": delivery,
    "delay": delay,
    "memory": memory,
}


def main(names: list[str]) -> None:
    if unknown := set(names) - set(TABLES):
        sys.exit(f"no table {min(unknown)}; there are {', '.join(TABLES)}")
    for name in names or TABLES:
        TABLES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])

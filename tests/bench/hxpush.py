"""What it costs to write history: samples made into Zinc, and brought to a server, beside phable and json.

    python tests/bench/hxpush.py

100 float signals, 10,000 rows, in one time zone. First the text alone, then whole calls to a process on
loopback that reads them and answers `empty`. phable and json are given rows of Python objects ready-made,
which people with columns would have to build first. Every figure is the best of several rounds; the ratios of
a table are of one run.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from phable import HaystackClient
from phable.io.ph_json import ph_to_json
from phable.io.ph_zinc import ph_to_zinc
from phable.kinds import Grid, GridCol, Number, Ref

from speeddata.haystack import batching, zinc
from speeddata.haystack.hisgrid import batch_body
from speeddata.haystack.points import Cells, Point, Table
from speeddata.haystack.refusals import refusal_of
from speeddata.haystack.targets import Target
from speeddata.haystack.transport import Transport
from speeddata.interrupts import Stop

SIGNALS, ROWS = 100, 10_000
SAMPLES = SIGNALS * ROWS
ROUNDS_S = 2.0  # of rounds of one kind; the first one takes as long as it takes
ROUNDS = 5
ZONE = "New_York"
START = datetime(2026, 11, 21, 15, tzinfo=UTC)
ID = "p:rig:r:{:08x}-{:08x}"
EMPTY = b'ver:"3.0"\nempty\n\n'
ZINC = {
    "Content-Type": "text/zinc; charset=utf-8",
    "Accept": "text/zinc",
    "Authorization": "BEARER authToken=x",
}


def table_of(values: np.ndarray) -> Table:
    """Columns, shape (rows, signals), a second apart."""
    points = [
        Point(ID.format(number, number), f"P{number}", "rig", f"s{number}", "Number", ZONE)
        for number in range(values.shape[1])
    ]
    cells = (Cells(point, np.ascontiguousarray(values[:, number])) for number, point in enumerate(points))
    times = int(START.timestamp()) * 10**9 + np.arange(len(values)) * 10**9
    return Table(ZONE, times, tuple(cells))


def rows_of(values: np.ndarray) -> list[dict[str, object]]:
    """The same as phable takes it."""
    zone = ZoneInfo("America/New_York")
    names = [f"v{number}" for number in range(values.shape[1])]
    return [
        {
            "ts": (START + timedelta(seconds=number)).astimezone(zone),
            **dict(zip(names, map(Number, row), strict=True)),
        }
        for number, row in enumerate(values.tolist())
    ]


def ids(count: int) -> list[Ref]:
    return [Ref(ID.format(number, number)) for number in range(count)]


def grid_of(rows: list[dict[str, object]], count: int) -> Grid:
    columns = [GridCol(f"v{number}", {"id": each}) for number, each in enumerate(ids(count))]
    return Grid({"ver": "3.0"}, [GridCol("ts"), *columns], rows)


def rate(work: Callable[[], object]) -> float:
    """Samples a second of *work*, which makes or sends all of them."""
    best, begun = float("inf"), time.perf_counter()
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        now = time.perf_counter()
        best = min(best, now - start)
        if now - begun > ROUNDS_S:
            break
    return SAMPLES / best


def told(title: str, rates: dict[str, tuple[float, str]]) -> None:
    """A table: each rate, and how many times faster the first one is."""
    first, _ = next(iter(rates.values()))
    print(f"{title}\n{'':>34}{'M samples/s':>13}{'ratio':>8}")
    for name, (each, note) in rates.items():
        print(f"{name:>34}{each / 1e6:>13.2f}{first / each:>8.1f}  {note}")
    print()


def encoding(values: np.ndarray) -> None:
    table, rows = table_of(values), rows_of(values)
    rounded = table_of(values.round(2))
    grid, plain = grid_of(rows, SIGNALS), values.tolist()
    ours, theirs = zinc.read(batch_body([table.part(0, 2)]).decode()), ph_to_zinc(grid_of(rows[:2], SIGNALS))
    assert ours.rows == zinc.read(theirs).rows, "the same samples, or the ratios mean nothing"
    works: dict[str, Callable[[], bytes | str]] = {
        "batch_body": lambda: batch_body([table]),
        "batch_body, two decimals": lambda: batch_body([rounded]),
        "orjson, the bare array": lambda: orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY),
        "json, bare lists of floats": lambda: json.dumps(plain),
        "phable, Zinc": lambda: ph_to_zinc(grid),
        "phable, JSON": lambda: json.dumps(ph_to_json(grid)),
    }
    told(
        f"{SIGNALS} float signals, {ROWS:,} rows as text",
        {name: (rate(work), f"{len(work()) / 1e6:.0f} MB") for name, work in works.items()},
    )


class _Sink(BaseHTTPRequestHandler):
    """Takes every call and answers `empty`, in JSON where that was sent."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment, or each waits for the other's acknowledgement

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        as_json = "json" in self.headers.get("Content-Type", "")
        body = (
            b'{"_kind":"grid","meta":{"ver":"3.0"},"cols":[{"name":"empty"}],"rows":[]}' if as_json else EMPTY
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if as_json else "text/zinc")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def sink() -> None:
    """The other process: says its port, and serves until its standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def sink_running() -> Iterator[str]:
    """The base address of a sink in a process of its own."""
    with subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}/api/rig"
        finally:
            child.terminate()


def writing(values: np.ndarray) -> None:
    """The same calls, by rows, on both sides."""
    table, rows = table_of(values), rows_of(values)
    calls = list(batching.calls([table]))
    lengths = [sum(len(each.times_ns) for each in call) for call in calls]
    starts = np.cumsum([0, *lengths]).tolist()
    parts = [rows[start:end] for start, end in itertools.pairwise(starts)]
    with sink_running() as base:
        transport = Transport(Target.parse(base, user="su"), stop=Stop())

        def ours() -> None:
            for call in batching.calls([table]):
                answer = transport.request("POST", "hisWrite", batch_body(call), ZINC)
                assert refusal_of(zinc.read(answer.text)) is None

        def phable(client: HaystackClient) -> None:
            for part in parts:
                client.his_write_by_ids(ids(SIGNALS), part)

        each = f"{len(calls)} calls"
        told(
            f"{SIGNALS} float signals, {ROWS:,} rows written to a sink on loopback",
            {
                "hxpush": (rate(ours), each),
                **{
                    f"phable, {kind}": (
                        rate(lambda kind=kind: phable(HaystackClient(base, "x", content_type=kind))),
                        each,
                    )
                    for kind in ("zinc", "json")
                },
            },
        )
        transport.close()


def main() -> None:
    values = np.random.default_rng(1).normal(20, 5, (ROWS, SIGNALS))
    encoding(values)
    writing(values)


if __name__ == "__main__":
    sink() if "--sink" in sys.argv else main()

"""Rows to columns: `speeddata pivot` against other ways, and against the limit that HDF5 itself sets.

    python tests/bench/pivot.py             # 150 MB and 750,000 records: about two minutes
    python tests/bench/pivot.py --full      # 1 GB and 5 million records: about ten minutes
    python tests/bench/pivot.py --full --without fastavro polars    # two minutes
    python tests/bench/pivot.py --range     # a second out of an hour at 1 kHz, against an empty run

Every way is a process of its own: seconds from its start, its imports included, and the most memory it had.
The limit is h5py writing the same columns from memory; the making of them is not counted, the start of Python
with h5py is. Both are told without their start, too: of pivot that is what it takes for a single datum. As
after an installation, everything imported has been compiled; the source has just been read, so that it is in
memory; each set is a new file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
START_NS = 1_790_000_000_000_000_000
BLOCK_BYTES = 64 << 10
SIZES = {False: (185_000, 750_000), True: (1_250_000, 5_000_000)}  # datums: wide, demo
TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
WAVES = ("sine_wave", "ramp", "square_wave", "noise")
WIDE = [TIME, *({"name": f"channel_{n}", "type": "double"} for n in range(100))]
DEMO = [
    TIME,
    *({"name": name, "type": "double", "unit": "V"} for name in WAVES),
    {"name": "counter", "type": "long"},
    {"name": "message", "type": "string"},
]


def columns_of(kind: str, first: int, count: int) -> dict[str, object]:
    number = np.arange(first, first + count)
    time_ns = START_NS + number * 1_000_000
    random = np.random.default_rng(first)
    if kind == "wide":
        # what a measured signal is like: a wave, and noise in its last digits
        waves = {
            f"channel_{n}": np.round(np.sin(number / (50 + n)) + random.normal(0, 1e-3, count), 4)
            for n in range(100)
        }
        return {"time": time_ns, **waves}
    return {
        "time": time_ns,
        "sine_wave": np.sin(number / 159),
        "ramp": number % 1000 / 1000,
        "square_wave": np.where(number // 500 % 2, -1.0, 1.0),
        "noise": random.uniform(-1, 1, count),
        "counter": number,
        "message": [("rising", "falling")[each // 1000 % 2] for each in number.tolist()],
    }


def make(path: Path, kind: str, count: int) -> int:
    """A container of *count* datums in blocks of 64 KiB; its bytes."""
    from speeddata.avro import codec, container, schema

    fields = WIDE if kind == "wide" else DEMO
    text = json.dumps({"type": "record", "name": kind, "fields": fields})
    parsed = schema.parse(text)
    sync = bytes(range(16))
    with path.open("wb") as file:
        file.write(container.write_header({"avro.schema": text, "avro.codec": "null"}, sync))
        for first in range(0, count, 20_000):
            batch = codec.encode(parsed, columns_of(kind, first, min(20_000, count - first)))
            offsets = codec.offsets(batch)
            step = BLOCK_BYTES * batch.count // len(batch.data) + 1
            for at in range(0, batch.count, step):
                part = batch.part(at, min(at + step, batch.count))
                file.write(container.frame(part.count, len(part.data)) + part.data + sync)
            assert offsets[-1] == len(batch.data)
    return path.stat().st_size


# -- the ways, each run in a process of its own --------------------------------------------------------------


def with_fastavro(source: str, target: str) -> None:
    import fastavro
    import h5py

    with open(source, "rb") as file:
        reader = fastavro.reader(file)
        names = [field["name"] for field in reader.writer_schema["fields"]]
        lists: dict[str, list[object]] = {name: [] for name in names}
        for record in reader:
            for name in names:
                lists[name].append(record[name])
    with h5py.File(target, "w") as file:
        for name in names:
            text = isinstance(lists[name][0], str)
            values = np.array(lists[name], object if text else None)
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if text else None)


def with_polars(source: str, target: str) -> None:
    import h5py
    import polars

    frame = polars.read_avro(source)
    with h5py.File(target, "w") as file:
        for name in frame.columns:
            values = frame[name].to_numpy()
            text = values.dtype == object
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if text else None)


def with_h5py(kind: str, count: str, target: str, gzip: str) -> None:
    import h5py

    pieces = [columns_of(kind, at, min(20_000, int(count) - at)) for at in range(0, int(count), 20_000)]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    pieces.clear()
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if gzip == "1" else {}
    began = time.perf_counter()
    with h5py.File(target, "w") as file:
        for name, values in columns.items():
            text = values.dtype.kind == "U"
            values = values.astype(object) if text else values
            dtype = h5py.string_dtype() if text else None
            file.create_dataset(name, data=values, dtype=dtype, chunks=(min(8192, len(values)),), **options)
    print(time.perf_counter() - began)


def run(target: Path, *command: object) -> tuple[float, float, str]:
    """Seconds, most resident MB, and what it said; *target* is made by it."""
    target.unlink(missing_ok=True)
    touch_memory()
    for each in command:
        if isinstance(each, Path) and each.suffix == ".avro":
            read(each)
    began = time.perf_counter()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command}: status {status}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024, said


def touch_memory() -> None:
    """Free memory that the host of a virtual machine took back comes slowly: not within the time of a way."""
    there = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # in another process: what this one ever had would count as the memory of those that it starts
    program = f"import numpy; numpy.empty({min(4 << 30, there // 2)}, 'u1').fill(1)"
    subprocess.run([sys.executable, "-c", program], check=True)


def read(source: Path) -> None:
    """A system may give up what it has of a file in memory: no way shall have to fetch it from the disk."""
    with source.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": f"{tempfile.gettempdir()}/speeddata-pyc"}


def best(rounds: int, target: Path, *command: object) -> tuple[float, float, str]:
    return min((run(target, *command) for _ in range(rounds)), key=lambda each: each[0])


def pivot(source: Path, target: Path, *options: object) -> list[object]:
    return [sys.executable, "-m", "speeddata", "pivot", source, "-o", target, *options]


def compare(folder: Path, kind: str, count: int, rounds: int, without: Collection[str]) -> None:
    source, target = folder / f"{kind}.avro", folder / "out.h5"
    size = make(source, kind, count)
    print(f"\n{kind}: {count:,} datums, {size / 1e6:,.0f} MB")
    ways: dict[str, list[object]] = {
        "speeddata pivot --compress none": pivot(source, target, "--compress", "none"),
        "speeddata pivot": pivot(source, target),
        "speeddata pivot --compress lzf": pivot(source, target, "--compress", "lzf"),
        "fastavro + h5py": [sys.executable, __file__, "fastavro", source, target],
        "h5py alone, from memory": [sys.executable, __file__, "h5py", kind, count, target, 0],
        "h5py alone, its own gzip": [sys.executable, __file__, "h5py", kind, count, target, 1],
    }
    if importlib.util.find_spec("polars"):
        ways["polars + h5py"] = [sys.executable, __file__, "polars", source, target]
    else:
        print("polars is not installed: its row is missing (pip install polars)")
    ways = {name: command for name, command in ways.items() if name.split()[0] not in without}
    single = folder / "single.avro"
    make(single, kind, 1)
    run(target, *pivot(single, target))  # compiles what it imports
    start, _, _ = best(2 * rounds, target, *pivot(single, target))
    h5py_start, _, _ = best(2 * rounds, target, sys.executable, "-c", "import h5py")
    took = {}
    print(f"{'':34}{'s':>8}{'records/s':>13}{'MB in':>8}{'MB out':>8}")
    for name, command in ways.items():
        seconds, memory, said = best(1 if "fastavro" in name else rounds, target, *command)
        took[name] = h5py_start + float(said) if name.startswith("h5py") else seconds
        out = target.stat().st_size / 1e6
        print(f"{name:34}{took[name]:8.2f}{count / took[name]:13,.0f}{memory:8.0f}{out:8.0f}", flush=True)
    plain, packed = took["speeddata pivot --compress none"], took["speeddata pivot"]
    for name, other in took.items():
        if name.endswith("+ h5py"):
            print(f"{other / plain:6.1f} times {name}")
    limit, gzip = took["h5py alone, from memory"], took["h5py alone, its own gzip"]
    bare = (plain - start) / (limit - h5py_start)
    print(f"{plain / limit:6.1f} times as long as the limit; without either's start {bare:.1f} times")
    bare = (gzip - h5py_start) / (packed - start)
    print(f"{gzip / packed:6.1f} times h5py's own gzip, compressed; without either's start {bare:.1f} times")
    print(f"  the start: {start:.2f} s of pivot, {h5py_start:.2f} s of Python with h5py")
    if shutil.which("h5dump"):
        subprocess.run(["h5dump", "-H", target], check=True, stdout=subprocess.DEVNULL)
    else:
        print("h5dump is not installed: that it reads the set is not shown")


def range_of_an_hour(folder: Path, rounds: int) -> None:
    """An hour at 1 kHz as a relay records it: blocks of 100 ms."""
    from speeddata.avro import codec, schema
    from speeddata.batch import Batch

    text = json.dumps({"type": "record", "name": "rig", "fields": DEMO})
    parsed = schema.parse(text)
    home = folder / "rec" / "rig"
    home.mkdir(parents=True)
    from speeddata.avro import container
    from speeddata.avro.container import Block
    from speeddata.recording.blockindex import IndexWriter, entry_of, index_path
    from speeddata.recording.catalogue import file_name

    metadata = {"avro.schema": text, "avro.codec": "null", "speeddata.channel": "rig"}
    metadata["speeddata.role"] = "recording"
    for part in range(4):
        path = home / file_name("rig", START_NS + part * 900 * 10**9)
        sync = os.urandom(16)
        with path.open("wb") as file, index_path(path).open("wb") as index:
            rows = IndexWriter(parsed, sync)
            file.write(container.write_header(metadata, sync))
            for first in range(part * 900_000, (part + 1) * 900_000, 20_000):
                batch = codec.encode(parsed, columns_of("demo", first, 20_000))
                codec.offsets(batch)
                for at in range(0, 20_000, 100):
                    each: Batch = batch.part(at, at + 100)
                    framed = container.frame(each.count, len(each.data)) + each.data + sync
                    index.write(rows.add(entry_of(Block(each, file.tell(), len(framed)))))
                    file.write(framed)
    (folder / "none").mkdir()
    first = sorted(home.glob("*.avro"))[0]
    head = first.read_bytes()
    short = folder / "none" / "rig.avro"
    short.write_bytes(head[: head.index(sync_of(head)) + 16] + head[head.index(sync_of(head)) + 16 :][:0])
    moment = ["--since", "2026-09-21T14:33:20Z", "--until", "2026-09-21T14:33:21Z"]
    empty = min(run_any(*pivot(short, folder / "e.h5")) for _ in range(rounds))
    second = min(run_any(*pivot(f"{home.parent}/", folder / "s.h5", *moment)) for _ in range(rounds))
    print(f"\nan empty run {empty:.3f} s, a second of an hour {second:.3f} s: {second - empty:.3f} s more")


def sync_of(data: bytes) -> bytes:
    from speeddata.avro.container import read_header

    header = read_header(data)
    assert header is not None
    return header.sync


def run_any(*command: object) -> float:
    began = time.perf_counter()
    subprocess.run([*map(str, command)], env=environment(), stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--range", action="store_true", dest="of_an_hour")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=(), choices=("fastavro", "polars"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="speeddata-bench-") as name:
        if options.of_an_hour:
            range_of_an_hour(Path(name), max(3, options.rounds))
            return
        for kind, count in zip(("wide", "demo"), SIZES[options.full], strict=True):
            compare(Path(name), kind, count, options.rounds, options.without)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fastavro", source, target]:
            with_fastavro(source, target)
        case ["polars", source, target]:
            with_polars(source, target)
        case ["h5py", kind, count, target, gzip]:
            with_h5py(kind, count, target, gzip)
        case _:
            main()

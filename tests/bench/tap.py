"""What `speeddata tap` costs, as a whole process: a container copied unseen, and datums as JSON Lines.

    python tests/bench/tap.py

The yardsticks run in the same minute on the same files: `cat`, which does nothing else; fastavro copying
block by block; fastavro with json and with orjson, in loops made as fast as they get. Every figure is the
best of several runs, start of the process included; ratios are of processor time, in which other work on the
machine shows less. Files are in memory where the system has a place for that.
"""

from __future__ import annotations

import importlib.util
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speeddata.avro import codec, container, schema
from speeddata.sending import waveforms

ROUNDS = 3
COPIED_BYTES = 1 << 30
DATUMS = 300_000
BLOCK_BYTES = 64 << 10
SMALL = 20  # datums a block
SYNC = secrets.token_bytes(container.SYNC_SIZE)

BLOCK_COPY = """\
import sys, fastavro
out = sys.stdout.buffer
with open(sys.argv[1], "rb") as file:
    for block in fastavro.block_reader(file):
        data = block.bytes_.getvalue()
        out.write(b"%d %d" % (block.num_records, len(data)))
        out.write(data)
        out.write(bytes(16))
"""
JSON_LINES = """\
import sys, json, fastavro
encode, out = json.JSONEncoder(ensure_ascii=False).encode, sys.stdout
with open(sys.argv[1], "rb") as file:
    out.writelines(encode(record) + "\\n" for record in fastavro.reader(file))
"""
ORJSON_LINES = """\
import sys, orjson, fastavro
dumps, option, out = orjson.dumps, orjson.OPT_APPEND_NEWLINE, sys.stdout.buffer
with open(sys.argv[1], "rb") as file:
    out.writelines(dumps(record, option=option) for record in fastavro.reader(file))
"""


def tap(path: Path, form: str) -> list[str]:
    return [sys.executable, "-m", "speeddata", "tap", str(path), "-f", form]


def script(text: str, path: Path) -> list[str]:
    return [sys.executable, "-c", text, str(path)]


def plain_schema() -> schema.Schema:
    """The demo schema; without its logical type, that fastavro would make slow objects of."""
    text = waveforms.SCHEMA_TEXT.replace('{"type": "long", "logicalType": "timestamp-nanos"}', '"long"')
    return schema.parse(text)


def write(path: Path, of: schema.Schema, a_block: int, count: int, copies: int = 1) -> int:
    """*count* demo datums or a few more, so many *a_block*, all of it as many times as *copies*; how many."""
    many = codec.encode(
        of, waveforms.columns(0, -(-count // a_block) * a_block, start_ns=10**18, rate_hz=1000)
    )
    blocks = []
    for first in range(0, many.count, a_block):
        batch = many.part(first, first + a_block)
        blocks += [container.frame(batch.count, len(batch.data)), batch.data, SYNC]
    metadata = {"avro.schema": of.text, "avro.codec": "null", "speeddata.channel": "demo"}
    with path.open("wb") as file:
        file.write(container.write_header(metadata, SYNC))
        for _ in range(copies):
            file.write(b"".join(blocks))
    return copies * many.count


def best_s(command: list[str], out: Path) -> tuple[float, float]:
    """Seconds of *command* > *out*, and of processor time: the best of several runs."""
    took, worked = [], []
    for _ in range(ROUNDS):
        # opened as it is: pages that are there already cost nobody their making
        with out.open("r+b" if out.exists() else "wb") as file:
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, stdout=file, check=True)
            took.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        worked.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took), min(worked)


def table(title: str, unit: str, amount: float, out: Path, commands: dict[str, list[str]]) -> None:
    print(f"{title}\n{'':26}{'s':>8}{unit:>14}{'CPU s':>8}{unit + ' of CPU':>20}{'CPU against tap':>18}")
    ours = None
    for name, command in commands.items():
        took, worked = best_s(command, out)
        ours = ours or worked
        rates = f"{took:>8.2f}{amount / took:>14,.2f}{worked:>8.2f}{amount / worked:>20,.2f}"
        print(f"{name:26}{rates}{worked / ours:>17.2f}x")
    print()


def main() -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        source, out = Path(place) / "source.avro", Path(place) / "out"
        of = plain_schema()
        a_block = BLOCK_BYTES // 52

        write(source, of, a_block, 100 * a_block, copies=COPIED_BYTES // (100 * BLOCK_BYTES))
        size_gb = source.stat().st_size / 1e9
        copies = {
            "speeddata tap > out": tap(source, "avro"),
            "cat > out": ["cat", str(source)],
            "fastavro, block by block": script(BLOCK_COPY, source),
        }
        table(f"{size_gb:.2f} GB, blocks of 64 KiB, not decoded", "GB/s", size_gb, out, copies)
        out.unlink()

        count = write(source, of, a_block, DATUMS)
        texts = {
            "speeddata tap -f json": tap(source, "json"),
            "speeddata tap -f csv": tap(source, "csv"),
            "fastavro + json": script(JSON_LINES, source),
            "fastavro + orjson": script(ORJSON_LINES, source),
        }
        if importlib.util.find_spec("orjson") is None:
            del texts["fastavro + orjson"]
        table(f"{count:,} demo datums as text, blocks of 64 KiB", "k datums/s", count / 1000, out, texts)

        count = write(source, of, SMALL, DATUMS)
        texts = {"speeddata tap -f json": texts["speeddata tap -f json"]}
        table(f"the same in blocks of {SMALL} datums", "k datums/s", count / 1000, out, texts)


if __name__ == "__main__":
    main()

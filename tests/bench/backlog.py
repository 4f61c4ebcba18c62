"""What a day's backlog takes: memory and time of `hxpush` over a recording, to a server that keeps nothing.

    python tests/bench/backlog.py [HOURS]

100 float signals at 10 Hz, 809 bytes a datum, 700 MB a day. The recording is made in a temporary directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import haystack_ops  # noqa: E402
import haystack_server  # noqa: E402
from haystack_kinds import Grid  # noqa: E402

from speeddata.recording.blockfile import BlockFile  # noqa: E402
from speeddata.recording.catalogue import file_name  # noqa: E402

SIGNALS, RATE = 100, 10
BLOCK = 80  # datums, 64 KB
START = 1_764_763_200_000_000_000
FIELDS = [
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    *({"name": f"s{number}", "type": "double"} for number in range(SIGNALS)),
]
SCHEMA = json.dumps({"type": "record", "name": "rig", "fields": FIELDS})


def datums(first: int, count: int, values: np.ndarray) -> bytes:
    """Times in zig-zag coding, nine bytes each, and the values, shape (count, SIGNALS)."""
    times = 2 * (START + (first + np.arange(count, dtype=np.uint64)) * np.uint64(10**9 // RATE))
    whole = np.empty((count, 9 + 8 * SIGNALS), np.uint8)
    for place in range(9):
        more = 0x80 if place < 8 else 0
        whole[:, place] = (times >> np.uint64(7 * place)).astype(np.uint64) & np.uint64(0x7F) | np.uint64(
            more
        )
    whole[:, 9:] = values.astype("<f8").view(np.uint8).reshape(count, -1)
    return whole.tobytes()


def record(folder: Path, hours: float) -> int:
    """Make the recording; how many datums it has."""
    total = int(hours * 3600 * RATE)
    (folder / "rig").mkdir()
    metadata = {"avro.schema": SCHEMA, "speeddata.channel": "rig", "speeddata.role": "recording"}
    values = np.random.default_rng(1).normal(20, 5, (BLOCK, SIGNALS)).round(3)
    file = BlockFile.create(folder / "rig" / file_name("rig", START), metadata)
    for first in range(0, total, BLOCK):
        count = min(BLOCK, total - first)
        file.append(count, datums(first, count, values[:count]))
    file.close()
    return total


class _Handler(haystack_server._Handler):
    """Takes every hisWrite unread."""

    def _request(self, query, body):  # type: ignore[no-untyped-def]
        return Grid() if self.path.endswith("/hisWrite") else super()._request(query, body)


def serve() -> None:
    """The other process: says its address, and serves until its standard input ends."""
    haystack_server._Handler = _Handler  # type: ignore[misc]
    haystack_ops.Ops.his_write = lambda ops, request: Grid()  # type: ignore[method-assign]
    with haystack_server.HaystackServer() as server:
        keys = ({"speeddataKey": f"rig.s{number}"} for number in range(SIGNALS))
        precision = haystack_server.Reader("1ms").value()
        server.add(
            *(
                haystack_server.point(f"p{number}", tz="New_York", hisTsPrecision=precision) | key
                for number, key in enumerate(keys)
            )
        )
        print(server.url, flush=True)
        sys.stdin.read()


def main() -> None:
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 24.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        total = record(folder, hours)
        with subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            environment = {**os.environ, "SPEEDDATA_HX_PASSWORD": "secret", "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-m", "speeddata", "hxpush", str(folder), "--url", url]
            begun = time.monotonic()
            hxpush = subprocess.Popen(
                [*command, "--user", "su", "--state", str(folder / "state"), "--once"], env=environment
            )
            _, status, used = os.wait4(hxpush.pid, 0)
            seconds = time.monotonic() - begun
            server.stdin.close()
        size = sum(path.stat().st_size for path in folder.glob("rig/*.avro"))
        print(
            f"{hours:g} h: {total:,} datums, {size / 1e6:.0f} MB; status {os.waitstatus_to_exitcode(status)}"
        )
        rate, resident = total * SIGNALS / seconds / 1e6, used.ru_maxrss / 1024
        print(f"{seconds:.1f} s, {rate:.2f} M samples/s, {resident:.0f} MiB")


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()

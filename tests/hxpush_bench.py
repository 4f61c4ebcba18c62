"""A recording, a server with points for it, and `hxpush` between them, as real processes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from haystack_kinds import Num
from haystack_recording import Recording
from haystack_server import HaystackServer
from haystack_server import point as record

from speeddata.avro.container import zigzag

S = 1_000_000_000
T0 = 1_764_763_200 * S
SIGNALS = 10
FIELDS = [
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    *({"name": f"s{number}", "type": "float"} for number in range(SIGNALS)),
    {"name": "note", "type": "string"},
]
SCHEMA = json.dumps({"type": "record", "name": "rig", "fields": FIELDS})
MAP = """
[[point]]
signal = "rig.note"
skip = true

[[point]]
signal = "rig.*"
"""


def value(number: int, signal: int) -> float:
    return number * 4 + signal / 4


def datums(first: int, end: int, note: str = "") -> list[bytes]:
    """Of SCHEMA, a tenth of a second apart."""
    text = zigzag(len(note)) + note.encode()
    return [
        zigzag(T0 + number * S // 10)
        + struct.pack(f"<{SIGNALS}f", *(value(number, signal) for signal in range(SIGNALS)))
        + text
        for number in range(first, end)
    ]


def history(count: int, signal: int, first: int = 0) -> list[tuple[int, float]]:
    return [(T0 + number * S // 10, value(number, signal)) for number in range(first, count)]


class Bench:
    """A recording, a server that has points for it, and the command."""

    def __init__(self, folder: Path, spawn, **options) -> None:
        self.folder, self.spawn = folder, spawn
        self.recording = Recording(folder / "data")
        self.recording.begin(SCHEMA)
        (folder / "map.toml").write_text(MAP)
        self.written = 0
        self.server = HaystackServer(**options)
        for number in range(SIGNALS):
            tags = {"hisTsPrecision": Num(1, "ms"), "hisMaxItems": Num(10**6)}
            self.server.add(record(f"p{number}", speeddataKey=f"rig.s{number}", **tags))
        self.up = False
        self.start()

    def start(self) -> None:
        self.server.__enter__()
        self.up = True

    def stop(self) -> None:
        if self.up:
            self.server.__exit__(None, None, None)
            self.up = False

    def start_again(self) -> None:
        """The server as it was, at the same address; its sessions are gone."""
        self.stop()
        old = self.server
        self.server = HaystackServer(port=old.port)
        self.server.folio, self.server.calls = old.folio, old.calls
        self.server.folio._modes = self.server.modes
        self.start()

    def block(self, count: int = 20, note: str = "") -> None:
        self.recording.add(datums(self.written, self.written + count, note))
        self.written += count

    def push(self, *args, env=None, source=None):
        return self.spawn(
            "hxpush",
            source or str(self.recording.folder.parent) + "/",
            *("--url", self.server.url, "--user", "su", "--state", self.folder / "state"),
            *("--map", self.folder / "map.toml", "--flush", "100ms", *args),
            env={"SPEEDDATA_HX_PASSWORD": "secret", **(env or {})},
        )

    def pushed(self, *args, wants=0, **kwargs):
        """What a run says on stdout and stderr."""
        run = self.push(*args, **kwargs)
        assert run.wait(60) == wants, run.stderr.rest().decode()
        return run.stdout.rest().decode(), run.stderr.rest().decode().splitlines()

    @property
    def writes(self) -> int:
        return self.server.count("hisWrite")

    def all_there(self) -> bool:
        return all(
            self.server.history(f"p{signal}") == history(self.written, signal) for signal in range(SIGNALS)
        )

"""What the tests of hxpush's verbs share: a server, recordings, and the command with all that it needs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from haystack_server import HaystackServer, point

from speeddata import cli
from speeddata.recording.blockfile import BlockFile
from speeddata.recording.catalogue import file_name

S = 10**9
NOON = 1_717_243_200 * S  # 2024-06-01T12:00:00Z
TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
VOLTS = {"name": "volts", "type": "double", "unit": "V"}
NOTE = {"name": "note", "type": "string"}
PASSWORD = "geheim"


def record(
    directory: Path,
    channel: str,
    fields: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    begin_ns: int = NOON,
) -> Path:
    """A recording of *channel* as the relay leaves it, in one block, its datums written by fastavro."""
    text = json.dumps({"type": "record", "name": "demo", "fields": fields})
    plain = [{**each, "type": "long"} if each is TIME else each for each in fields]
    schema = fastavro.parse_schema({"type": "record", "name": "demo", "fields": plain})
    data = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(data, schema, row)
    folder = directory / channel
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(channel, begin_ns)
    said = {"avro.schema": text, "speeddata.channel": channel, "speeddata.role": "recording"}
    file = BlockFile.create(path, said)
    file.append(len(rows), data.getvalue())
    file.close()
    return path


def samples(count: int, first: int = 0) -> list[dict[str, Any]]:
    """One a second: volts are the number, the note as well."""
    return [
        {"time": NOON + number * S, "volts": float(number), "note": f"n{number}"}
        for number in range(first, first + count)
    ]


class Bench:
    """A server for two points, a recording for them, and hxpush."""

    def __init__(self, server: HaystackServer, tmp_path: Path, capsys: Any, spawn: Any) -> None:
        self.server, self.tmp_path, self._capsys, self._spawn = server, tmp_path, capsys, spawn
        self.data = tmp_path / "data"
        self.env = {
            "SPEEDDATA_HX_URL": server.url,
            "SPEEDDATA_HX_USER": "su",
            "SPEEDDATA_HX_PASSWORD": PASSWORD,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / "no-settings"),
        }

    @property
    def kept(self) -> Path:
        """Where positions and rejects are."""
        return self.tmp_path / "state" / "speeddata" / "hxpush"

    def record(self, count: int, first: int = 0) -> Path:
        return record(self.data, "rig", [TIME, VOLTS, NOTE], samples(count, first), NOON + first * S)

    def points(self) -> None:
        """The points of the recording, found by their keys."""
        self.server.add(
            point("p-volts", unit="V", speeddataKey="rig.volts"),
            point("p-note", kind="Str", speeddataKey="rig.note"),
        )

    def map(self, text: str, name: str = "map.toml") -> str:
        (self.tmp_path / name).write_text(text, "utf-8")
        return name

    def hxpush(self, *args: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, standard output and standard error of the command, run to its end in this process."""
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.tmp_path)
            for name, value in {**self.env, **(env or {})}.items():
                patch.setenv(name, value)
            status = cli.main(["hxpush", *args])
        return status, *self._capsys.readouterr()

    def start(self, *args: str, env: dict[str, str] | None = None, stdin: int | None = None) -> Any:
        """The command as a process of its own, running."""
        return self._spawn("hxpush", *args, env={**self.env, **(env or {})}, stdin=stdin)

    def volts(self) -> list[tuple[int, float]]:
        """The history of the point: seconds after noon, and the value."""
        return [((ns - NOON) // S, value) for ns, value in self.server.history("p-volts")]


@pytest.fixture
def bench(tmp_path: Path, capsys: Any, spawn: Any) -> Iterator[Bench]:
    with HaystackServer(password=PASSWORD) as server:
        yield Bench(server, tmp_path, capsys, spawn)

"""What hxpush promises, against any Project Haystack server: the test server, or a real one that is offered.

SPEEDDATA_HAYSTACK_URL, SPEEDDATA_HAYSTACK_USER and SPEEDDATA_HAYSTACK_PASSWORD_FILE (0600) offer one. The
user has to be an admin; each test makes a site of its own there, and removes it with all that is in it.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

import fastavro
import phable
import pytest
from haystack_server import HaystackServer
from phable import DateTimeRange, HaxallClient, Marker, Number

S = 1_000_000_000
UTC = ZoneInfo("UTC")
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
NOON_NS = 1_717_243_200 * S
OFFERED = os.environ.get("SPEEDDATA_HAYSTACK_URL")
TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
FIELDS = [
    {"name": "volts", "type": "double", "unit": "V"},
    {"name": "temp", "type": ["null", "double"], "unit": "degC"},
    {"name": "count", "type": "long"},
    {"name": "on", "type": "boolean"},
    {"name": "note", "type": "string"},
    {"name": "raw", "type": "bytes"},
]
NOTES = ['a "quoted" \\ $dollar', "two\nlines\tand a tab", "é \N{DEGREE SIGN} 日本 \N{GRINNING FACE}", ""]


Row = dict[str, Any]


def single(value: float) -> float:
    """*value* as a history keeps it: whole ones exactly, others in 32 bits."""
    return value if value == int(value) else struct.unpack("f", struct.pack("f", value))[0]


@dataclass
class Peer:
    """A server to write to; *ours* is the test server where it is one."""

    url: str
    user: str
    password_file: Path
    ours: HaystackServer | None = None

    @contextmanager
    def client(self) -> Iterator[HaxallClient]:
        """An independent client."""
        trusted = ssl.create_default_context()
        password = self.password_file.read_text().rstrip("\n")
        client = HaxallClient.open(self.url, self.user, password, content_type="zinc", ssl_context=trusted)
        try:
            yield client
        finally:
            client.close()


@pytest.fixture(params=["offered"] if OFFERED else ["4.0.6", "3.1.12"])
def peer(request: Any, tmp_path: Path, channel_name: str) -> Iterator[Peer]:
    if OFFERED:
        file = Path(os.environ["SPEEDDATA_HAYSTACK_PASSWORD_FILE"])
        peer = Peer(OFFERED, os.environ["SPEEDDATA_HAYSTACK_USER"], file)
        yield peer
        with peer.client() as client:
            made = [*client.read_all(f'speeddataSite=="{channel_name}"').rows]
            site = [*client.read_all(f'site and dis=="{channel_name}"').rows]
            site += [*client.read_all(f'siteRef->dis=="{channel_name}"').rows]
            if made or site:
                client.commit_remove([{"id": rec["id"], "mod": rec["mod"]} for rec in made + site])
        return
    file = tmp_path / "password"
    file.write_text("geheim\n")
    file.chmod(0o600)
    with HaystackServer(request.param, password="geheim") as server:
        yield Peer(server.url, server.user, file, server)
        assert server.open_sessions == 0, "a session was left open"


@dataclass
class Rig:
    """A channel with a recording, a map, and the command under test."""

    peer: Peer
    channel: str
    directory: Path
    start: Callable[..., tuple[int, str, str]]

    def hxpush(self, *args: object, wants: int = 0, **kwargs: Any) -> str:
        """Run a verb against the server: what it prints. Its status has to be *wants*."""
        verb = [args[0]] if args and args[0] in ("map", "provision") else []
        server = [
            "--url",
            self.peer.url,
            "--user",
            self.peer.user,
            "--password-file",
            self.peer.password_file,
        ]
        state = [] if verb else ["--state", self.directory / "state"]
        status, out, err = self.start("hxpush", *verb, *args[len(verb) :], *server, *state, **kwargs)
        assert status == wants, err or out
        return out + err

    def push(self, *args: object, wants: int = 0) -> dict[str, Any]:
        """Push what is recorded: the summary."""
        told = self.hxpush(self.recording, "--map", self.map, "--json", *args, wants=wants)
        return next(json.loads(line) for line in told.splitlines() if line.startswith('{"samples"'))

    @property
    def recording(self) -> Path:
        return self.directory / "data" / self.channel

    @property
    def map(self) -> Path:
        return self.directory / "map.toml"

    def record(
        self, rows: list[dict[str, Any]], fields: list[dict[str, Any]] = FIELDS, part: int = 0
    ) -> None:
        """Put *rows* into a file of the recording; `time` is nanoseconds behind noon."""
        schema = {"type": "record", "name": "rig", "fields": [TIME, *fields]}
        empty = {"raw": b"", "volts": 0.0, "temp": None, "count": 0, "on": False, "note": ""}
        full = [{**empty, **row, "time": NOON_NS + row["time"]} for row in rows]
        self.recording.mkdir(parents=True, exist_ok=True)
        said = {"speeddata.channel": self.channel, "speeddata.role": "recording"}
        path = self.recording / f"{self.channel}_20240601T12000{part}.000000000Z.avro"
        with path.open("wb") as file:
            fastavro.writer(file, fastavro.parse_schema(schema), full, metadata=said)

    def mapped(self, points: str, head: str = "") -> None:
        """The map: lines of TOML for [[point]]s, split at empty lines; new points go to a site of our own."""
        text = "\n".join(f"[[point]]\n{part.strip()}\n" for part in points.split("\n\n"))
        text = text.replace("CHANNEL", self.channel)
        self.map.write_text(f'path = "{self.channel}/Rig/{{signal}}"\n{head}\n{text}', "utf-8")

    def provisioned(self, points: str, head: str = "") -> None:
        """The points of a map, made."""
        self.mapped(points, head)
        self.hxpush("provision", self.recording, "--map", self.map, "--apply")

    def added(self, **points: dict[str, Any]) -> None:
        """Points made by an independent client: tags by signal."""
        plain = {"point": Marker(), "his": Marker(), "tz": "UTC", "kind": "Number"}
        with self.peer.client() as client:
            client.commit_add(
                [
                    {"dis": signal, **plain, **self.key(signal), "speeddataSite": self.channel, **tags}
                    for signal, tags in points.items()
                ]
            )

    def key(self, signal: str) -> dict[str, str]:
        return {"speeddataKey": f"{self.channel}.{signal}"}

    def point(self, signal: str) -> dict[str, Any]:
        """The record of a signal's point, as an independent client reads it."""
        with self.peer.client() as client:
            return client.read(f'point and speeddataKey=="{self.channel}.{signal}"')

    def stored(self, signal: str) -> list[tuple[int, Any]]:
        """A signal's history as an independent client reads it: microseconds behind noon, plain values."""
        days = DateTimeRange(NOON - timedelta(days=400), NOON + timedelta(days=400))
        with self.peer.client() as client:
            id = client.read(f'point and speeddataKey=="{self.channel}.{signal}"')["id"]
            rows = client.his_read_by_id(id, days).rows
        return [
            (
                (row["ts"].astimezone(UTC) - NOON) // timedelta(microseconds=1),
                row["val"].val if isinstance(row["val"], Number) else row["val"],
            )
            for row in rows
        ]

    def instants(self, signal: str) -> list[datetime]:
        """The times of a signal's history by their offsets, which phable does not look at."""
        with self.peer.client() as client:
            id = client.read(f'point and speeddataKey=="{self.channel}.{signal}"')["id"]
            body = f'ver:"3.0"\nid,range\n@{id.val},"2023-01-01,2025-01-01"\n'.encode()
            said = {"Authorization": f"BEARER authToken={client._auth_token}", "Accept": "text/zinc"}
            said["Content-Type"] = "text/zinc; charset=utf-8"
            asked = Request(f"{self.peer.url.rstrip('/')}/hisRead", body, said)
            with urlopen(asked, timeout=60) as answer:
                rows = answer.read().decode().splitlines()[2:]
        return [datetime.fromisoformat(re.match("[^ ,]+", row)[0]) for row in rows if row]

    def writes(self) -> int | None:
        """The calls of hisWrite so far, where they can be counted."""
        return self.peer.ours.count("hisWrite") if self.peer.ours else None


@pytest.fixture
def rig(peer: Peer, channel_name: str, tmp_path: Path, run: Callable[..., Any]) -> Rig:
    return Rig(peer, channel_name, tmp_path, run)


ALL = """
signal = "CHANNEL.raw"
skip = true

signal = "CHANNEL.*"
"""


def tens(count: int, every: int = S) -> list[dict[str, Any]]:
    """Rows a second apart, with all kinds of values."""
    return [
        {
            "time": n * every,
            "volts": n / 10,
            "temp": None if n % 3 else n * 1.5,
            "count": n * 1_000_000,
            "on": n % 2 == 0,
            "note": NOTES[n % 4] or str(n),
        }
        for n in range(count)
    ]


# --- points


def test_a_draft_of_the_map_is_a_map_that_provisions_every_signal_that_can_be_sent(rig):
    rig.record(tens(3))
    status, draft, err = rig.start("hxpush", "map", "--init", rig.recording)
    assert (status, err) == (0, "")
    rig.map.write_text(draft.replace("path = ", f'path = "{rig.channel}/Rig/{{signal}}" #', 1), "utf-8")
    assert "raw" in rig.hxpush("provision", rig.recording, "--map", rig.map, "--apply") + draft
    assert rig.hxpush("map", rig.recording, "--check", "--map", rig.map)
    assert rig.point("temp")["unit"] == "°C"  # degC, as the schema calls it
    assert rig.point("volts")["unit"] == "V"
    assert [rig.point(signal)["kind"] for signal in ("count", "on", "note")] == ["Number", "Bool", "Str"]


def test_provision_shows_first_makes_all_at_once_and_then_nothing_more(rig):
    rig.record(tens(3))
    rig.mapped(ALL, 'defaults.tz = "New_York"')
    shown = rig.hxpush("provision", rig.recording, "--map", rig.map)
    with rig.peer.client() as client, pytest.raises(phable.UnknownRecError):
        client.read(f'dis=="{rig.channel}"')
    assert all(f"{rig.channel}.{signal}" in shown for signal in ("volts", "temp", "count", "on", "note"))
    rig.hxpush("provision", rig.recording, "--map", rig.map, "--apply")
    first = [rig.point(signal) for signal in ("volts", "note")]
    assert {each["tz"] for each in first} == {"New_York"}
    with rig.peer.client() as client:
        site = client.read(f'site and dis=="{rig.channel}"')
        equip = client.read_by_id(first[0]["equipRef"])
    assert first[0]["siteRef"] == equip["siteRef"] == site["id"]
    rig.hxpush("provision", rig.recording, "--map", rig.map, "--apply")
    assert [rig.point(signal) for signal in ("volts", "note")] == first  # mod and all


def test_points_that_are_there_already_are_found_by_another_tag(rig):
    rig.record(tens(3))
    rig.added(volts={"refName": f"ref-{rig.channel}", "unit": "V"})
    rig.mapped('signal = "CHANNEL.volts"', 'key_tag = "refName"\nkey = "ref-{channel}"')
    assert rig.push()["samples"] == 3
    assert len(rig.stored("volts")) == 3


# --- samples


def test_every_sample_arrives_as_it_is_kept_in_one_call_and_once_only(rig):
    rows = tens(100)
    rig.record(rows)
    rig.provisioned(ALL)
    before = rig.writes()
    assert rig.push()["samples"] == 4 * 100 + 34
    for signal in ("volts", "temp", "count", "on", "note"):
        wanted = [(row["time"] // 1000, row[signal]) for row in rows if row[signal] is not None]
        if signal in ("volts", "temp"):
            wanted = [(at, single(value)) for at, value in wanted]
        assert rig.stored(signal) == wanted, signal
    if rig.peer.ours:
        assert rig.writes() == before + 1
    again = rig.push()
    assert (again["samples"], again["calls"]) == (0, 0)
    if rig.peer.ours:
        assert rig.writes() == before + 1


def test_what_was_added_since_is_all_that_the_next_run_sends(rig):
    rig.record(tens(5))
    rig.provisioned(ALL)
    rig.push()
    rig.record([{"time": n * S, "volts": 7.0} for n in range(5, 8)], part=5)
    assert rig.push()["samples"] == 3 * 4  # temp is null
    assert rig.stored("volts")[-3:] == [(n * 1_000_000, 7.0) for n in range(5, 8)]


def test_a_range_is_sent_again_and_does_no_harm(rig):
    rig.record(tens(10))
    rig.provisioned('signal = "CHANNEL.volts"')
    rig.push()
    stored = rig.stored("volts")
    since = (NOON + timedelta(seconds=4)).isoformat()
    assert rig.push("--since", since)["samples"] == 6
    assert rig.stored("volts") == stored


def test_a_pipe_is_sent_too(rig):
    rig.record(tens(4))
    rig.provisioned('signal = "CHANNEL.volts"')
    (path,) = rig.recording.iterdir()
    with path.open("rb") as file:
        rig.hxpush("-", "--map", rig.map, stdin=file.fileno())
    assert len(rig.stored("volts")) == 4


@pytest.mark.parametrize("fine", [True, False])
def test_ten_samples_a_second_are_all_kept_where_the_point_can_and_merged_as_told_else(rig, fine):
    rig.record(tens(20, S // 10))
    rig.provisioned('signal = "CHANNEL.count"', f'defaults.precision = "{"1ms" if fine else "1s"}"')
    told = rig.push(*([] if fine else ["--resample", "mean"]))
    if fine:
        assert rig.stored("count") == [(n * 100_000, n * 1e6) for n in range(20)]
    else:
        assert rig.stored("count") == [(0, 4.5e6), (1_000_000, 14.5e6)]
        assert told["merged"] == 18


def test_each_point_is_written_in_its_own_zone_through_the_hour_that_comes_twice(rig):
    night = (datetime(2024, 11, 3, 5, 30, tzinfo=UTC) - NOON) // timedelta(seconds=1)
    rows = [{"time": (night + n * 1800) * S, "volts": float(n), "count": n} for n in range(4)]
    rig.record(rows)  # 01:30 EDT, 01:00 EST, 01:30 EST, 02:00 EST
    rig.provisioned(
        'signal = "CHANNEL.volts"\ntz = "New_York"\n\nsignal = "CHANNEL.count"\ntz = "Kolkata"'
        '\n\nsignal = "CHANNEL.on"\ntz = "GMT+5"'
    )
    rig.push()
    wanted = [NOON + timedelta(seconds=night + n * 1800) for n in range(4)]
    for signal, values in (("volts", [0.0, 1.0, 2.0, 3.0]), ("count", [0, 1, 2, 3]), ("on", [False] * 4)):
        assert rig.instants(signal) == wanted, signal
        assert [value for _, value in rig.stored(signal)] == values


def test_a_unit_may_have_another_name_and_values_may_be_scaled_to_the_points(rig):
    fields = [
        {"name": "temp", "type": "double", "unit": "degC"},
        {"name": "volts", "type": "int", "unit": "mV"},
    ]
    rig.record([{"time": 0, "temp": 20.5, "volts": 1500}], fields)
    rig.added(temp={"unit": "celsius"}, volts={"unit": "V"})
    rig.mapped('signal = "CHANNEL.temp"\n\nsignal = "CHANNEL.volts"\nscale = 0.001\nunit = "V"')
    rig.push()
    assert rig.stored("temp") == [(0, 20.5)]
    assert rig.stored("volts") == [(0, 1.5)]


def test_strings_arrive_letter_by_letter(rig):
    notes = [*NOTES[:3], "comma, and <<grid>>", "\\n is no line", "'`~|{}[]()", "\x01\x7f", "N"]
    rig.record([{"time": n * S, "note": note} for n, note in enumerate(notes)])
    rig.provisioned('signal = "CHANNEL.note"')
    rig.push()
    assert [value for _, value in rig.stored("note")] == notes


@pytest.mark.parametrize(("how", "count"), [("na", 3), ("skip", 1)])
def test_what_is_no_number_becomes_na_or_is_left_out(rig, how, count):
    rig.record([{"time": n * S, "volts": value} for n, value in enumerate([float("nan"), 2.0, float("inf")])])
    rig.provisioned('signal = "CHANNEL.volts"')
    rig.push("--nan", how)
    stored = rig.stored("volts")
    assert len(stored) == count
    assert [value for _, value in stored if not isinstance(value, phable.NA)] == [2.0]


# --- refusals


def test_a_point_of_another_kind_is_told_and_all_others_are_written(rig):
    rig.record(tens(6))
    rig.added(volts={"kind": "Str"}, count={}, on={"kind": "Bool"})
    rig.mapped('signal = "CHANNEL.volts"\n\nsignal = "CHANNEL.count"\n\nsignal = "CHANNEL.on"')
    told = rig.hxpush("map", rig.recording, "--check", "--map", rig.map, wants=5)
    assert f"{rig.channel}.volts" in told
    rig.push(wants=5)
    assert rig.stored("volts") == []
    assert [len(rig.stored(signal)) for signal in ("count", "on")] == [6, 6]


def test_a_point_that_only_the_server_knows_to_be_bad_is_set_aside_with_its_samples(rig):
    if not rig.peer.ours:
        pytest.skip("a point goes bad at the right moment in the test server only")
    rig.record(tens(6))
    rig.added(volts={"unit": "V"}, count={}, on={"kind": "Bool"})
    rig.mapped('signal = "CHANNEL.volts"\n\nsignal = "CHANNEL.count"\n\nsignal = "CHANNEL.on"')
    rig.peer.ours.bad[rig.point("count")["id"].val] = "Rec marked as 'aux'"
    told = rig.push(wants=5)
    assert [len(rig.stored(signal)) for signal in ("volts", "count", "on")] == [6, 0, 6]
    assert told["set_aside"] == 6
    rejects = [path for path in (rig.directory / "state").rglob("*") if "reject" in path.name]
    lines = [json.loads(line) for path in rejects for line in path.read_text().splitlines()]
    assert lines
    assert all(line["signal"] == "count" for line in lines)


def test_a_signal_without_a_point_is_told_and_all_others_are_written(rig):
    rig.record(tens(6))
    rig.added(count={})
    rig.mapped('signal = "CHANNEL.volts"\n\nsignal = "CHANNEL.count"')
    rig.push(wants=5)
    assert len(rig.stored("count")) == 6


def test_verify_sees_what_the_server_does_not_have_and_what_it_has_otherwise(rig):
    rig.record(tens(6))
    rig.provisioned('signal = "CHANNEL.volts"\n\nsignal = "CHANNEL.count"')
    rig.push()
    since = NOON.isoformat()
    verify = (rig.recording, "--map", rig.map, "--since", since, "--verify", "--json")
    told = [json.loads(line) for line in rig.hxpush(*verify).splitlines()]
    assert [(each["samples"], each["missing"], each["different"]) for each in told] == [(6, 0, 0)] * 2
    with rig.peer.client() as client:
        ts = NOON + timedelta(seconds=2)
        client.his_write_by_id(rig.point("volts")["id"], [{"ts": ts, "val": Number(9)}])
        client.his_write_by_id(rig.point("count")["id"], [{"ts": ts, "val": phable.Remove()}])
    lines = rig.hxpush(*verify, wants=5).splitlines()
    told = {each["signal"]: each for each in map(json.loads, (line for line in lines if line[:1] == "{"))}
    assert told[f"{rig.channel}.volts"]["different"] == 1
    assert told[f"{rig.channel}.count"]["missing"] == 1


def test_a_wrong_password_ends_it_with_status_4_and_nothing_is_written(rig):
    rig.record(tens(3))
    wrong = rig.directory / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    rig.mapped(ALL)
    rig.peer = Peer(rig.peer.url, rig.peer.user, wrong, rig.peer.ours)
    rig.hxpush(rig.recording, "--map", rig.map, wants=4)
    assert not rig.writes()


def test_a_dry_run_writes_nothing_and_moves_no_position(rig):
    rig.record(tens(3))
    rig.provisioned('signal = "CHANNEL.volts"')
    assert 'ver:"3.0"' in rig.hxpush(rig.recording, "--map", rig.map, "--dry-run")
    assert rig.stored("volts") == []
    assert rig.push()["samples"] == 3

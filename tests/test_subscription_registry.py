"""The registry: one file that runs, changes and lists share at once; nothing but a user makes it anew."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from engine_contract import NOON_NS, ROOT

from speeddata.errors import DataError, HostError, UsageError
from speeddata.subscription import database
from speeddata.subscription.customers import Customer, Gap, Place, Subscription, customer_name
from speeddata.subscription.registry import Busy, Registry, registry_path
from speeddata.subscription.series import Series, series_id

SINE = Series(series_id("rig", "sine"), "rig", "sine", "V")
SYNC = bytes(range(16))
S = 10**9


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "subscribe.db"


@pytest.fixture
def registry(path):
    with Registry(path) as opened:
        yield opened


def python(program, *args, **options):
    command = [sys.executable, "-c", program, *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)


# -- the file -----------------------------------------------------------------------------------------------


def test_it_is_where_xdg_says_its_owners_alone(path):
    assert registry_path({"XDG_STATE_HOME": "/var/x"}) == Path("/var/x/speeddata/subscribe.db")
    assert registry_path({"HOME": "/h", "XDG_STATE_HOME": "no"}) == Path(
        "/h/.local/state/speeddata/subscribe.db"
    )
    old = os.umask(0)
    try:
        with Registry(path) as registry, registry.serving("plant"):
            registry.set_destination("plant", "-")
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(old)


def test_another_file_is_refused_and_stays_as_it_is(path):
    path.parent.mkdir()
    path.write_text("customer = plant\n" * 100)
    with pytest.raises(DataError, match="no registry of subscriptions") as told:
        Registry(path)
    assert "\n" not in str(told.value)
    assert path.read_text() == "customer = plant\n" * 100


def test_a_database_of_somebody_else_or_of_a_newer_version_is_refused(path):
    with Registry(path):
        pass
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match=r"another version of SpeedData .*99"):
        Registry(path)
    other.execute("PRAGMA user_version = 1")
    other.execute("PRAGMA application_id = 7")
    other.close()
    with pytest.raises(DataError, match="an SQLite file, but no registry of subscriptions"):
        Registry(path)


def test_a_damaged_one_is_told_and_never_made_anew(path):
    with Registry(path) as registry:
        registry.add("plant", [f"rig/signal_{n}" for n in range(500)], NOON_NS, since_ns=None)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"), Registry(path) as registry:
        registry.subscriptions("plant")
    assert path.read_bytes()[4096:] == data[4096:]


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot be opened"):
        Registry(tmp_path / "file" / "subscribe.db")


# -- customers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["default", "a", "_x", "0", "a.b-c_D", "x" * 64])
def test_names_of_customers(name):
    assert customer_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "x" * 65, "é", "a\n", "a\0", "\u0660"]
)
def test_names_that_are_none_are_refused(registry, name):
    with pytest.raises(UsageError, match="no name of a customer") as told:
        registry.set_destination(name, "-")
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError), registry.serving(name):
        pass
    assert registry.customers() == []


def test_a_customer_is_made_by_what_is_known_of_it(registry):
    registry.set_destination("plant", "nats://127.0.0.1:4222/SPEED")
    registry.add("default", ["rig/*"], NOON_NS, since_ns=NOON_NS)
    assert registry.customers() == [
        Customer("default", rev=1),
        Customer("plant", destination="nats://127.0.0.1:4222/SPEED"),
    ]
    assert registry.customer("plant").destination.startswith("nats:")
    assert registry.customer("nobody") is None
    assert registry.forget("plant")
    assert not registry.forget("plant")
    assert [customer.name for customer in registry.customers()] == ["default"]


def test_the_state_has_a_begin_and_the_last_error_stays(registry):
    registry.tell("plant", "sending", 5)
    registry.tell("plant", "sending", 6)
    assert registry.customer("plant") == Customer("plant", state="sending", state_ns=5)
    registry.tell("plant", "denied", 7, "the key\nhas expired\x1b[1m")
    registry.tell("plant", "waiting", 8)
    told = registry.customer("plant")
    assert (told.state, told.state_ns) == ("waiting", 8)
    assert (told.error, told.error_ns) == (r"the key\x0ahas expired\x1b[1m", 7)


def test_a_second_run_of_a_customer_is_refused_until_the_first_is_dead(registry, path):
    program = (
        "import sys; from pathlib import Path; from speeddata.subscription.registry import Registry\n"
        "with Registry(Path(sys.argv[1])) as r, r.serving('plant'): print('on', flush=True); input()"
    )
    run = python(program, path, stdin=subprocess.PIPE)
    try:
        assert run.stdout.readline() == "on\n"
        assert registry.served("plant")
        with pytest.raises(Busy, match="plant: another run serves this customer"), registry.serving("plant"):
            pass
        with registry.serving("other"):
            assert registry.served("other")
        assert not registry.served("other")
        run.kill()
        run.wait()
        assert not registry.served("plant")
        with registry.serving("plant"):
            assert registry.served("plant")
    finally:
        run.kill()
        run.wait()
        run.stdin.close()
        run.stdout.close()


def test_looking_whether_there_is_a_run_refuses_none(registry):
    for _ in range(50):
        assert not registry.served("plant")
        with registry.serving("plant"):
            pass


# -- subscriptions ------------------------------------------------------------------------------------------


def test_the_revision_grows_with_every_change_and_with_nothing_else(registry):
    assert registry.add("plant", ["rig/a", "rig/b", "rig/a"], 10, since_ns=10) == ["rig/a", "rig/b"]
    assert registry.add("plant", iter(["rig/b", "rig/c"]), 20, since_ns=None, expires_ns=90) == ["rig/c"]
    assert registry.add("plant", ["rig/a"], 30, since_ns=30) == []
    assert registry.customer("plant").rev == 2
    assert registry.subscriptions("plant") == [
        Subscription("rig/a", 1, 10, 10),
        Subscription("rig/b", 1, 10, 10, 90),
        Subscription("rig/c", 2, 20, None, 90),
    ]
    assert registry.remove("plant", ["rig/a", "rig/z"]) == ["rig/a"]
    assert registry.remove("plant", ["rig/a"]) == []
    assert registry.customer("plant").rev == 3
    registry.tell("plant", "sending", 40)
    assert registry.expire("plant", 89) == []
    assert registry.customer("plant").rev == 3
    assert registry.expire("plant", 90) == ["rig/b", "rig/c"]
    assert registry.customer("plant").rev == 4
    assert registry.subscriptions("plant") == []
    assert registry.subscriptions("nobody") == []


def test_a_begin_is_set_anew_only_where_that_is_asked_for(registry):
    registry.add("plant", ["rig/*"], 10, since_ns=10)
    assert registry.add("plant", ["rig/*"], 20, since_ns=20) == []
    (known,) = registry.subscriptions("plant")
    assert (known.added_ns, known.since_ns, registry.customer("plant").rev) == (10, 10, 1)
    assert registry.add("plant", ["rig/*"], 30, since_ns=None, anew=True) == []
    (known,) = registry.subscriptions("plant")
    assert (known.added_ns, known.since_ns, registry.customer("plant").rev) == (30, None, 2)


def test_a_run_and_changes_in_two_processes_lose_nothing(registry, path):
    adder = """
import sys; from pathlib import Path; from speeddata.subscription.registry import Registry
for n in range(150):
    with Registry(Path(sys.argv[1])) as registry:
        registry.add("plant", [f"{sys.argv[2]}/{n}"], n, since_ns=n)
"""
    processes = [python(adder, path, channel) for channel in ("a", "b")]
    moves = 0
    while any(process.poll() is None for process in processes):
        moves += 1
        registry.moved("plant", Path("/data"), [Place("rig", "f", SYNC, moves)], messages=1)
        registry.subscriptions("plant")
    assert [process.wait() for process in processes] == [0, 0]
    for process in processes:
        process.stdout.close()
    assert moves > 10
    assert len(registry.subscriptions("plant")) == 300
    assert (registry.customer("plant").rev, registry.customer("plant").messages) == (300, moves)
    assert len({one.rev for one in registry.subscriptions("plant")}) == 300


def test_one_that_another_keeps_is_told_and_nothing_is_changed(registry, path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    registry.add("plant", ["rig/a"], 1, since_ns=None)
    with Registry(path) as quick:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HostError, match="another process has kept it"):
            quick.add("plant", ["rig/b"], 2, since_ns=None)
        assert len(quick.subscriptions("plant")) == 1
        other.execute("ROLLBACK")
        other.close()
        assert quick.add("plant", ["rig/b"], 2, since_ns=None) == ["rig/b"]


# -- series -------------------------------------------------------------------------------------------------


def test_ids_that_were_used_stay(registry):
    registry.freeze([SINE])
    registry.freeze([Series(UUID(int=7), "RIG", "sine", None), Series(UUID(int=8), "rig", "Sine", None)])
    assert registry.ids() == {("rig", "sine"): SINE.id, ("rig", "Sine"): UUID(int=8)}


def test_imported_ids_replace_no_other_and_are_nobody_elses(registry):
    registry.add("plant", ["rig/*"], 1, since_ns=None)
    mine = Series(UUID(int=1), "Rig", "volts", None)
    registry.import_ids([mine])
    registry.import_ids([mine])
    assert registry.customer("plant").rev == 3
    with pytest.raises(UsageError, match=f"rig/amps: the id {UUID(int=1)} is that of Rig/volts"):
        registry.import_ids([Series(UUID(int=2), "rig", "x"), Series(UUID(int=1), "rig", "amps")])
    with pytest.raises(UsageError, match=f"rig/volts: has the id {UUID(int=1)} already"):
        registry.import_ids([Series(UUID(int=3), "rig", "volts")])
    with pytest.raises(UsageError, match="is that of"):
        registry.freeze([Series(UUID(int=1), "rig", "amps")])
    assert registry.ids() == {("rig", "volts"): UUID(int=1)}
    assert registry.customer("plant").rev == 3


# -- positions ----------------------------------------------------------------------------------------------


def test_positions_are_of_a_customer_a_recording_and_a_channel(registry, tmp_path):
    data, other = tmp_path / "data", tmp_path / "other"
    rig = Place("Rig", "rig_1.avro", SYNC, 4096, 2, NOON_NS)
    registry.moved("plant", data, [rig, Place("lab", "lab_1.avro", SYNC, 0)], datapoints=5, bytes=70)
    registry.moved("plant", other, [Place("rig", "rig_1.avro", SYNC, 9)])
    registry.moved("lab", data, [Place("rig", "rig_1.avro", SYNC, 8)])
    places = registry.places("plant", data)
    assert places["rig"] == Place("rig", "rig_1.avro", SYNC, 4096, 2, NOON_NS)
    assert places["lab"].time_ns is None
    assert registry.directories("plant") == [data, other]
    registry.moved("plant", data, [Place("rig", "rig_2.avro", b"2" * 16, 10, size=10)], messages=2)
    assert registry.places("plant", data)["rig"] == Place("rig", "rig_2.avro", b"2" * 16, 10, 0, NOON_NS, 10)
    plant = registry.customer("plant")
    assert (plant.messages, plant.datapoints, plant.bytes) == (2, 5, 70)


def test_a_recording_is_the_same_by_a_relative_path(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry.moved("plant", Path("data"), [Place("rig", "f", SYNC, 1)])
    assert list(registry.places("plant", tmp_path / "data")) == ["rig"]


def test_gaps_are_kept_together_with_the_position_behind_them(registry):
    gap = Gap("/data", "rig", 5 * S, None, 9 * S, "rig_1.avro: gone")
    registry.moved("plant", Path("/data"), [Place("rig", "rig_2.avro", SYNC, 0)], gaps=[gap])
    registry.moved("plant", Path("/data"), [], gaps=[gap._replace(noticed_ns=10 * S)])
    assert registry.gaps("plant") == [gap]
    assert registry.gaps("lab") == []
    registry.forget("plant")
    assert registry.gaps("plant") == []
    assert registry.places("plant", Path("/data")) == {}


def test_a_run_killed_at_any_moment_leaves_position_and_counters_together(path):
    program = """
import sys; from pathlib import Path
from speeddata.subscription.customers import Place
from speeddata.subscription.registry import Registry
with Registry(Path(sys.argv[1])) as registry:
    n = registry.places("plant", Path("/d"))["rig"].block if registry.customers() else 0
    while True:
        n += 1
        registry.moved("plant", Path("/d"), [Place("rig", "f", b"", n)], messages=1)
        print(n, flush=True)
"""
    kept = 0
    for count in (1, 7, 30):
        run = python(program, path)
        for _ in range(count):
            kept = int(run.stdout.readline())
        run.kill()
        kept = int(([kept, *run.stdout.read().split()])[-1])
        run.wait()
        run.stdout.close()
        with Registry(path) as registry:
            assert registry.places("plant", Path("/d"))["rig"].block >= kept
            assert registry.customer("plant").messages == registry.places("plant", Path("/d"))["rig"].block


def test_what_is_known_is_plain_enough_for_json(registry):
    from dataclasses import asdict

    registry.add("plant", ["rig/*"], 1, since_ns=None)
    registry.tell("plant", "denied", 2, "no")
    json.dumps([asdict(registry.customer("plant")), *registry.subscriptions("plant")], allow_nan=False)


def test_a_channel_that_nothing_is_left_for_begins_anew_when_it_is_wanted_again(registry, tmp_path):
    imported = UUID(int=7)
    registry.import_ids([Series(imported, "Motor", "rpm")])
    patterns = ["rig/*", "rig/volts", "p*/x", str(imported)]
    registry.add("plant", patterns, 1, since_ns=None)
    registry.add("other", ["*/*"], 1, since_ns=None)
    for customer in ("plant", "other"):
        channels = ("rig", "pump", "motor")
        registry.moved(customer, tmp_path, [Place(channel, "f", SYNC, 1) for channel in channels])
    for pattern, left in zip(
        patterns, (["motor", "pump", "rig"], ["motor", "pump"], ["motor"], []), strict=True
    ):
        registry.remove("plant", [pattern])
        assert sorted(registry.places("plant", tmp_path)) == left
    assert sorted(registry.places("other", tmp_path)) == ["motor", "pump", "rig"]
    registry.forget_place("other", tmp_path, "RIG")
    assert sorted(registry.places("other", tmp_path)) == ["motor", "pump"]

"""Files that came and went while nobody looked: the relay's ledger tells of them, and so does `subscribe`."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from subscription_serving import MS, NOON, Customer, Source

from speeddata.recording.ledger import Counts, Entry, FileRange
from speeddata.recording.retention import Limits, Retention
from speeddata.subscription import departed, forwarding, subscribed
from speeddata.subscription.departed import Ledgers


@pytest.fixture
def plant(tmp_path):
    made = Customer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def rig(plant):
    made = Source(plant.directory)
    yield made
    made.end()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(subscribed, "_LOOK_S", 0.0)
    monkeypatch.setattr(forwarding, "_IDLE_S", 0.05)


def counting(count):
    return [float(n) for n in range(count)]


def sent_to_its_end(plant, rig):
    """The first file, delivered to its end and closed."""
    path = rig.begin()
    rig.blocks(2)
    rig.end()
    rig.tell(path)
    plant.add("rig/*")
    plant.once()
    assert plant.place().size == path.stat().st_size
    return path


# -- between two runs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_is_kept", [False, True])
def test_files_that_came_and_went_between_two_runs_are_one_gap_and_told_once(
    plant, rig, caplog, first_is_kept
):
    first = sent_to_its_end(plant, rig)
    gone = [rig.passes() for _ in range(3)]
    if not first_is_kept:
        first.unlink()
    rig.begin()
    rig.block()
    with caplog.at_level(logging.WARNING, "speeddata"):
        assert plant.once().gaps == 1
    what = f"{gone[0].name}, and 2 more up to {gone[2].name}: gone before all of it was read"
    assert caplog.text.count(f"plant: {what}; channel rig lacks it") == 1
    (gap,) = plant.gaps
    assert gap[:4] == (str(plant.directory), "rig", NOON + 19 * MS, NOON + 50 * MS)
    assert gap.what == what
    assert plant.got() == [*counting(20), *counting(60)[50:]]
    assert plant.once().gaps == 0
    assert len(plant.gaps) == 1


def test_a_file_that_a_killed_relay_left_open_is_told_of_when_retention_takes_it(plant, rig):
    sent_to_its_end(plant, rig)
    left = rig.begin()
    rig.block()
    rig.end()  # of which no ledger tells
    rig.begin()
    rig.block()
    gone = Retention(plant.directory, Limits(keep_size=left.stat().st_size, min_free=0)).enforce([], NOON)
    assert left in [file.path for file in gone]
    assert plant.once().gaps == 1
    assert plant.gaps[0].what == f"{left.name}: gone before all of it was read"
    assert plant.got() == [*counting(20), *counting(40)[30:]]
    assert plant.once().gaps == 0


@pytest.mark.parametrize("first_is_kept", [False, True])
def test_with_nothing_behind_them_they_are_told_once_too_and_what_comes_later_is_sent(
    plant, rig, first_is_kept
):
    first = sent_to_its_end(plant, rig)
    gone = rig.passes()
    if not first_is_kept:
        first.unlink()
    assert [plant.once().gaps for _ in range(2)] == [1, 0]
    assert plant.gaps[0].what == f"{gone.name}: gone before all of it was read"
    assert plant.place().file == gone.name
    rig.begin()
    rig.block()
    assert plant.once().gaps == 0
    assert plant.got() == [*counting(20), *counting(40)[30:]]


def test_those_that_are_gone_between_files_that_are_there_are_a_gap_as_well(plant, rig):
    sent_to_its_end(plant, rig)
    for _ in range(2):
        rig.passes()
        path = rig.begin()
        rig.block()
        rig.end()
        rig.tell(path)
    assert plant.once().gaps == 2
    assert [(gap.from_ns, gap.to_ns) for gap in plant.gaps] == [
        (NOON + 19 * MS, NOON + 30 * MS),
        (NOON + 39 * MS, NOON + 50 * MS),
    ]
    assert plant.once().gaps == 0


def test_the_rest_of_a_file_and_those_behind_it_are_one_gap(plant, rig):
    path = rig.begin()
    rig.block()
    plant.add("rig/*")
    plant.once()
    rig.block()
    rig.end()
    rig.tell(path)
    block = plant.place().block
    path.unlink()
    gone = rig.passes()
    rig.begin()
    rig.block()
    assert plant.once().gaps == 1
    (gap,) = plant.gaps
    what = f"{path.name}: gone, and what was to be sent from byte {block} on, and 1 more up to {gone.name}"
    assert gap.what == what


def test_a_file_that_the_ledger_says_was_all_sent_is_no_gap(plant, rig):
    path = rig.begin()
    rig.blocks(2)
    plant.add("rig/*")
    plant.once()
    assert plant.place().size is None  # for it was still written
    rig.end()
    rig.tell(path)
    path.unlink()
    rig.begin()
    rig.block()
    assert plant.once().gaps == 0
    assert plant.got() == counting(30)


def test_a_run_that_was_killed_before_it_told_tells_the_next_time(plant, rig):
    sent_to_its_end(plant, rig)
    gone = rig.passes()
    rig.begin()
    rig.block()
    plant.door.shut = True
    with pytest.raises(Exception, match="nobody is there"):
        plant.once(retry_s=0.0)
    plant.door.shut = False
    plant.once()
    assert [gap.what for gap in plant.gaps] == [f"{gone.name}: gone before all of it was read"]


def test_a_run_that_stood_still_meanwhile_tells(plant, rig, wait_for):
    first = rig.begin()
    rig.block()
    plant.add("rig/*")
    with plant.running() as run:
        wait_for(lambda: plant.got() == counting(10))
        rig.end()
        rig.tell(first)
        # quicker than anybody looks: as for a process that was stopped
        rig.next += 10
        name = first.with_name("rig_20251203T120000.010000000Z.avro")
        shutil.copy(first, name)
        rig.tell(name)
        name.unlink()
        rig.begin()
        rig.block()
        wait_for(lambda: plant.got()[-1] == 29.0)
        assert run.end().gaps == 1
    assert name.name in plant.gaps[0].what


def test_files_under_another_name_or_in_another_directory_are_not_gone(plant, rig):
    first = sent_to_its_end(plant, rig)
    path = rig.begin()
    rig.block()
    rig.end()
    rig.tell(path)
    (plant.directory / "older").mkdir()
    path.rename(plant.directory / "older" / path.name)
    rig.begin()
    rig.block()
    rig.end()
    first.rename(first.with_name("0.avro"))
    assert plant.once().gaps == 0
    assert plant.got() == counting(40)


# -- before the first run -----------------------------------------------------------------------------------


def test_what_came_after_add_and_went_before_the_first_run_is_a_gap(plant, rig):
    rig.passes()
    plant.registry.add("plant", ["rig/*"], NOON + 10 * MS, since_ns=NOON + 10 * MS)
    gone = rig.passes()
    rig.begin()
    rig.block()
    assert [plant.once().gaps for _ in range(2)] == [1, 0]
    (gap,) = plant.gaps
    assert (gap.from_ns, gap.to_ns) == (NOON + 10 * MS, NOON + 20 * MS)
    assert gap.what == f"{gone.name}: gone before all of it was read"
    assert plant.got() == counting(30)[20:]


def test_where_nothing_is_left_of_a_channel_that_is_told_once_too(plant, rig):
    plant.registry.add("plant", ["rig/*"], NOON, since_ns=NOON)
    rig.passes()
    assert [plant.once().gaps for _ in range(2)] == [1, 0]
    rig.begin()
    rig.block()
    assert plant.once().gaps == 0
    assert plant.got() == counting(20)[10:]


def test_of_a_channel_that_nobody_wants_nothing_is_told(plant, rig):
    pump = Source(plant.directory, "pump")
    pump.passes()
    plant.registry.add("plant", ["rig/*", "f69ec89b-494b-4e07-9da2-7c89489e3346"], NOON, since_ns=NOON)
    rig.begin()
    rig.block()
    assert plant.once().gaps == 0
    assert plant.place("pump") is None


def test_all_that_is_recorded_is_what_there_was_when_it_was_asked_for(plant, rig):
    rig.passes(closed_ns=NOON)
    plant.registry.add("plant", ["rig/*"], NOON + 10**9, since_ns=None)
    gone = rig.passes(closed_ns=NOON + 2 * 10**9)
    rig.begin()
    rig.block()
    assert plant.once().gaps == 1
    assert plant.gaps[0].what.startswith(f"{gone.name}:")


def test_a_moment_that_is_no_longer_recorded_is_told(plant, rig):
    gone = [rig.passes() for _ in range(3)]
    rig.begin()
    rig.block()
    plant.add("rig/*", since_ns=NOON + 15 * MS)
    assert plant.once().gaps == 1
    assert plant.gaps[0].what.startswith(f"{gone[1].name}, and 1 more up to {gone[2].name}:")


def test_sent_again_from_a_moment_only_what_never_came_is_told(plant, rig):
    sent_to_its_end(plant, rig)
    gone = rig.passes()
    rig.begin()
    rig.block()
    assert plant.once(begin_ns=NOON).gaps == 1
    assert plant.gaps[0].what.startswith(f"{gone.name}:")
    assert plant.once(begin_ns=NOON).gaps == 1  # of what was asked for now
    assert len(plant.gaps) == 1


# -- ledgers ------------------------------------------------------------------------------------------------


def test_a_ledger_is_read_as_it_grows_and_as_it_is_written_anew(rig, tmp_path):
    ledgers = Ledgers(rig.root)
    first = rig.passes()
    assert ledgers.gone("rig") == []
    assert ledgers.look() == {"rig"}
    assert [each.name for each in ledgers.gone("RIG")] == [first.name]
    second = rig.passes()
    path = first.parent / "ledger.jsonl"
    line = path.read_bytes().splitlines(keepends=True)[1]
    assert [each.name for each in ledgers.gone("rig", first.name)] == [second.name]
    aside = path.with_name("new")
    aside.write_bytes(line)
    aside.rename(path)
    rig.passes()
    assert len(ledgers.gone("rig")) == 3
    assert ledgers.size("rig", second.name) == ledgers.gone("rig")[1].size


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(rig):
    gone = rig.passes()
    path = gone.parent / "ledger.jsonl"
    line = path.read_bytes()
    path.write_bytes(line[:100])
    ledgers = Ledgers(rig.root)
    ledgers.look()
    assert ledgers.gone("rig") == []
    with path.open("ab") as file:
        file.write(line[100:])
    assert len(ledgers.gone("rig")) == 1


GONE = "rig_20251203T120000.010000000Z.avro"


def entry(**file):
    return Entry(0, NOON, "s", Counts(), FileRange(**{"name": GONE, "size": 1, **file})).line().encode()


@pytest.mark.parametrize(
    "line",
    [
        entry(name="../../../../etc/passwd"),
        entry(name="pump_20251203T120000.010000000Z.avro"),
        entry(name=f"../rig/{GONE}"),
        entry(size=-1),
        entry(size=1 << 63),
        entry(size=1 << 9000),
        entry(greatest=7654321).replace(b"7654321", b'"x"'),
        entry(greatest=7654321).replace(b"7654321", b"[1]"),
        entry(greatest=1 << 70),
        b"[" * 50_000,
        b'{"kind": "file"}',
        b'"file"' * 20_000,
        b"\xff\x00\n\n\n",
        entry()[:-40],
    ],
)
def test_what_no_relay_writes_is_passed_over(rig, tmp_path, line):
    gone = rig.passes()
    with (gone.parent / "ledger.jsonl").open("ab") as file:
        file.write(line.rstrip(b"\n") + b"\n")
    ledgers = Ledgers(rig.root)
    ledgers.look()
    assert [each.name for each in ledgers.gone("rig")] == [gone.name]


@pytest.mark.parametrize("greatest", ["1e400", "NaN", "null"])
def test_a_time_that_is_none_is_as_none_was_told(rig, plant, greatest):
    rig.begin()
    rig.block()
    line = entry(greatest=987654321).replace(b"987654321", greatest.encode())
    (plant.directory / "rig" / "ledger.jsonl").write_bytes(line.replace(b"12000", b"11000"))
    plant.registry.add("plant", ["rig/*"], 0, since_ns=NOON - 1)
    assert plant.once().gaps == 1
    assert plant.got() == counting(10)


@given(st.binary(max_size=400))
def test_no_bytes_of_a_ledger_are_too_much(tmp_path_factory, data):
    home = tmp_path_factory.getbasetemp() / "hostile" / "rig"
    home.mkdir(parents=True, exist_ok=True)
    (home / "ledger.jsonl").write_bytes(entry()[:-1] + b"\n" + data + b"\n" + entry())
    ledgers = Ledgers(home.parent)
    ledgers.look()
    assert [each.name for each in ledgers.gone("rig")] == [GONE]


@pytest.mark.parametrize("kind", ["none", "directory", "pipe", "closed", "link to nothing"])
def test_a_ledger_that_cannot_be_read_is_none(plant, rig, kind):
    sent_to_its_end(plant, rig)
    path = plant.directory / "rig" / "ledger.jsonl"
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "closed":
        path.write_bytes(entry())
        path.chmod(0)
    elif kind == "link to nothing":
        path.symlink_to("nothing")
    rig.begin()
    rig.block()
    plant.once()
    assert plant.got() == counting(30)


def test_only_so_much_of_a_ledger_is_read_and_kept(rig, monkeypatch):
    names = [rig.passes().name for _ in range(10)]
    monkeypatch.setattr(departed, "_MOST_FILES", 4)
    ledgers = Ledgers(rig.root)
    ledgers.look()
    assert [each.name for each in ledgers.gone("rig")] == names[-4:]
    monkeypatch.undo()
    monkeypatch.setattr(departed, "_MOST_BYTES", 700)
    ledgers = Ledgers(rig.root)
    ledgers.look()
    assert [each.name for each in ledgers.gone("rig")] == names[-len(ledgers.gone("rig")) :] != names


def test_thousands_of_files_are_told_of_in_a_moment(rig):
    home = rig.root / "rig"
    home.mkdir()
    names = [
        f"rig_20251203T{n // 3600:02d}{n // 60 % 60:02d}{n % 60:02d}.000000000Z.avro" for n in range(20_000)
    ]
    (home / "ledger.jsonl").write_bytes(b"".join(entry(name=name) for name in names))
    ledgers = Ledgers(rig.root)
    ledgers.look()
    ledgers.gone("rig", names[-1])
    begun = time.process_time()
    for after, before in itertools.pairwise(names[:2000]):
        assert ledgers.gone("rig", after, before) == []
    assert time.process_time() - begun < 1.0

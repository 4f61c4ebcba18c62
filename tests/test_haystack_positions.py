"""Positions: every datum is read once over any number of runs, whatever becomes of files and processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from by_hand import NOON, RIG_TEXT, rig

from speeddata.avro import codec
from speeddata.errors import DataError, HostError
from speeddata.haystack.positions import Busy, Place, State, directory, load
from speeddata.interrupts import Stop
from speeddata.recording.blockfile import BlockFile
from speeddata.recording.catalogue import Position, file_name, recording_files
from speeddata.recording.reading import Reader


class Recording:
    """A channel's directory, written block by block."""

    def __init__(self, root: Path, channel: str = "rig") -> None:
        self.folder, self.channel = root / channel, channel
        self.folder.mkdir(parents=True)
        self.files: list[BlockFile] = []
        self.next = 0

    def begin(self) -> Path:
        self.end()
        metadata = {"avro.schema": RIG_TEXT, "speeddata.channel": self.channel, "speeddata.role": "recording"}
        path = self.folder / file_name(self.channel, NOON + len(self.files))
        self.files.append(BlockFile.create(path, metadata))
        return path

    def block(self, count: int = 3) -> None:
        self.files[-1].append(count, b"".join(rig(range(self.next, self.next + count))))
        self.next += count

    def end(self) -> None:
        if self.files and self.files[-1]._descriptor >= 0:
            self.files[-1].close()
            self.files[-1]._descriptor = -1


@pytest.fixture
def recording(tmp_path):
    made = Recording(tmp_path / "data")
    yield made
    made.end()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "speeddata" / "hxpush" / "server.json"


def run(path, *roots, blocks=1000):
    """One run: the datums that it reads, by their numbers, and what it finds missing."""
    found = []
    with State(path) as state:
        files = {}
        for root in roots:
            for channel, some in recording_files(root).items():
                files.setdefault(channel, []).extend(some)
        start = state.start(files)
        gaps = state.gaps
        reader = Reader(list(roots), stop=Stop(), start=start)
        for recorded in reader:
            if state.sent(recorded.channel, recorded.path, recorded.block.offset):
                continue
            if len(found) >= 3 * blocks:
                break
            times = codec.abscissa(recorded.batch)
            found += (times - NOON).tolist()
            position = recorded.position(recorded.batch.count)
            state.moved([Place(recorded.channel, recorded.path, position, int(times[-1]))])
        assert reader.gaps == 0
    return found, gaps


def test_the_second_run_has_nothing_to_do_and_the_next_goes_on(recording, path):
    recording.begin()
    recording.block()
    recording.block()
    assert run(path, recording.folder.parent) == ([0, 1, 2, 3, 4, 5], [])
    assert run(path, recording.folder.parent) == ([], [])
    recording.block()  # the file grows
    recording.begin()  # and there is a new one
    recording.block()
    assert run(path, recording.folder.parent) == ([6, 7, 8, 9, 10, 11], [])
    assert run(path, recording.folder.parent) == ([], [])
    (known,) = load(path).files.values()
    assert [entry.size is None for entry in known.values()] == [False, True]
    assert [entry.time_ns - NOON for entry in known.values()] == [8, 11]


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_runs_that_are_cut_short_add_up(recording, path, blocks):
    for _ in range(4):
        recording.begin()
        recording.block()
        recording.block()
    found = []
    while (part := run(path, recording.folder.parent, blocks=blocks)[0]) != []:
        assert len(part) <= 3 * blocks
        found += part
    assert found == list(range(24))


def test_a_file_that_is_renamed_or_moved_keeps_its_position(recording, path, tmp_path):
    first, second = recording.begin(), None
    recording.block()
    second = recording.begin()
    recording.block()
    run(path, recording.folder.parent)
    second.rename(recording.folder / "zz.avro")  # before all that have names of ours
    recording.block()
    assert run(path, recording.folder.parent) == ([6, 7, 8], [])
    shutil.move(recording.folder, tmp_path / "elsewhere")
    recording.folder = tmp_path / "elsewhere"
    recording.block()
    recording.begin()
    recording.block()
    assert run(path, tmp_path / "elsewhere") == ([9, 10, 11, 12, 13, 14], [])
    assert run(path, tmp_path / "elsewhere") == ([], [])
    assert first.name in {entry.name for entry in (tmp_path / "elsewhere").iterdir()}


def test_a_file_that_is_gone_before_its_end_is_told_once(recording, path):
    first = recording.begin()
    recording.block()
    recording.block()
    recording.begin()
    recording.block()
    end = first.stat().st_size
    run(path, recording.folder.parent, blocks=1)
    (known,) = load(path).files.values()
    (entry,) = known.values()
    assert 0 < entry.block < end
    first.unlink()
    found, gaps = run(path, recording.folder.parent)
    assert found == [6, 7, 8]
    assert gaps == [
        f"{first.name}: gone, and what was to be sent from byte {entry.block} on; "
        "its datums of channel rig are missing"
    ]
    assert run(path, recording.folder.parent) == ([], [])
    assert len(load(path).files["rig"]) == 1


def test_old_files_that_were_sent_may_go(recording, path):
    paths = []
    for _ in range(3):
        paths.append(recording.begin())
        recording.block()
    recording.end()
    run(path, recording.folder.parent)
    assert len(load(path).files["rig"]) == 3
    for each in paths[:2]:
        each.unlink()
    recording.begin()
    recording.block()
    assert run(path, recording.folder.parent) == ([9, 10, 11], [])
    assert len(load(path).files["rig"]) == 2
    recording.end()
    paths[2].unlink()  # sent to its end, and closed: known without one behind it
    assert run(path, recording.folder.parent) == ([], [])


def test_an_older_file_that_comes_late_is_read_and_the_others_not_again(recording, path, tmp_path):
    first = recording.begin()
    recording.block()
    recording.begin()
    recording.block()
    first.rename(tmp_path / "away.avro")
    assert run(path, recording.folder.parent)[0] == [3, 4, 5]
    (tmp_path / "away.avro").rename(first)
    recording.block()
    assert run(path, recording.folder.parent) == ([0, 1, 2, 6, 7, 8], [])
    assert run(path, recording.folder.parent) == ([], [])


def test_a_file_without_a_block_holds_nobody_up(recording, path):
    recording.begin()
    recording.block()
    recording.begin()
    recording.block()
    whole = recording.files[0].path.read_bytes()
    with State(path) as state:
        header = Reader(recording.folder, stop=Stop())
        begin = next(iter(header)).block.offset
        (recording.folder / "empty.avro").write_bytes(whole[:begin])
        assert state.start(recording_files(recording.folder)) == {}
    run(path, recording.folder.parent)
    with State(path) as state:
        files = recording_files(recording.folder)
        assert files["rig"][0].name == "empty.avro"
        assert state.start(files)["rig"].file == recording.files[1].path.name


def test_one_file_alone_says_nothing_of_the_others(recording, path):
    recording.begin()
    recording.block()
    recording.block()
    second = recording.begin()
    recording.block()
    root = recording.folder.parent
    assert run(path, root, blocks=1)[0] == [0, 1, 2]
    assert run(path, second) == ([6, 7, 8], [])
    assert run(path, root) == ([3, 4, 5], [])


def test_another_source_leaves_the_positions_of_the_first_alone(recording, path, tmp_path):
    recording.begin()
    recording.block()
    other = Recording(tmp_path / "other")
    other.next = 100
    other.begin()
    other.block()
    assert run(path, recording.folder.parent)[0] == [0, 1, 2]
    assert run(path, tmp_path / "other") == ([100, 101, 102], [])
    recording.block()
    other.block()
    assert run(path, recording.folder.parent, tmp_path / "other") == ([3, 4, 5, 103, 104, 105], [])
    assert run(path, recording.folder.parent) == ([], [])
    other.end()


def test_what_is_gone_of_another_source_is_not_missed(recording, path, tmp_path):
    recording.begin()
    recording.block()
    other = Recording(tmp_path / "other")
    other.begin()
    other.block()
    run(path, tmp_path / "other")
    other.end()
    shutil.rmtree(tmp_path / "other")
    assert run(path, recording.folder.parent) == ([0, 1, 2], [])
    assert len(load(path).files["rig"]) == 2


def test_a_copy_of_a_file_is_a_file_of_its_own(recording, path):
    recording.begin()
    recording.block()
    run(path, recording.folder.parent)
    shutil.copy(recording.files[0].path, recording.folder / "zz.avro")  # comes first
    recording.block()
    assert run(path, recording.folder.parent)[0] == [0, 1, 2, 3, 4, 5]
    assert run(path, recording.folder.parent) == ([], [])


def test_a_file_that_became_shorter_begins_anew_and_that_is_told(recording, path, caplog):
    recording.begin()
    recording.block()
    size = recording.files[0].size
    recording.block()
    recording.end()
    run(path, recording.folder.parent)
    os.truncate(recording.files[0].path, size)
    assert run(path, recording.folder.parent) == ([0, 1, 2], [])
    assert "is shorter than what was sent of it" in caplog.text
    assert run(path, recording.folder.parent) == ([], [])


def test_a_torn_end_is_the_end_once_there_is_another_file(recording, path):
    first = recording.begin()
    recording.block()
    recording.end()
    with first.open("ab") as file:
        file.write(b"\x06\x20torn")
    assert run(path, recording.folder.parent)[0] == [0, 1, 2]
    recording.begin()
    recording.block()
    assert run(path, recording.folder.parent) == ([3, 4, 5], [])
    first.unlink()
    assert run(path, recording.folder.parent) == ([], [])


def test_a_file_that_is_read_again_does_not_go_back(recording, path):
    file = recording.begin()
    recording.block()
    begins = [each.block.offset for each in Reader(recording.folder, stop=Stop())]
    recording.block()
    end = file.stat().st_size
    recording.end()
    with State(path) as state:
        state.moved([Place("rig", file, Position(file.name, end), 5)])
        state.moved([Place("rig", file, Position(file.name, begins[0]), 2)])
    (entry,) = load(path).files["rig"].values()
    assert (entry.block, entry.time_ns, entry.size) == (end, 5, end)


def test_channels_are_compared_without_case(recording, path):
    recording.begin()
    recording.block()
    with State(path) as state:
        state.moved([Place("RIG", recording.files[0].path, Position("x.avro", 77))])
        assert state.start(recording_files(recording.folder))["rig"].block == 77


# -- the file itself -----------------------------------------------------------------------------------------


def test_it_is_for_its_owner_alone_and_beside_it_is_nothing_but_its_lock(path):
    with State(path, target="https://x/") as state:
        state.server["batch"] = "proven"
        state.preparer = {"version": 1}
        state.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(each.name for each in path.parent.iterdir()) == ["server.json", "server.json.lock"]
    assert stat.S_IMODE((path.parent / "server.json.lock").stat().st_mode) == 0o600
    saved = load(path)
    assert (saved.target, saved.server, saved.preparer) == ("https://x/", {"batch": "proven"}, {"version": 1})


def test_one_run_at_a_time(path):
    with State(path):
        with pytest.raises(Busy, match="another run sends to this server") as refused:
            State(path)
        assert refused.value.where == str(path)
        with State(path.with_name("other.json")):
            pass
    State(path).close()


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_wide_umask_makes_it_no_wider(path):
    with umask(0), State(path) as state:
        state.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


GOOD = {
    "format": "speeddata hxpush state",
    "version": 1,
    "target": "",
    "server": {},
    "preparer": {},
    "files": {
        "rig": {"00": {"channel": "rig", "path": "/a", "block": 1, "datum": 0, "time_ns": 1, "size": None}}
    },
}


def changed(**more):
    return json.dumps(GOOD | more).encode()


def with_entry(**more):
    return changed(files={"rig": {"00": GOOD["files"]["rig"]["00"] | more}})


def test_the_good_one_is_read(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(changed())
    assert load(path).files["rig"]["00"].block == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        changed()[:-40],
        b"null",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b"{}",
        changed(format="x"),
        changed(server=[]),
        changed(server={"batch": 1}),
        changed(preparer=None),
        changed(files={"rig": []}),
        changed(files={"rig": {"00": {}}}),
        with_entry(block=-1),
        with_entry(block=1.5),
        with_entry(block=True),
        with_entry(block=2**64),
        with_entry(path="relative"),
        with_entry(path="/a\0b"),
        with_entry(size="7"),
        changed().replace(b'"time_ns": 1', b'"time_ns": NaN'),
    ],
)
def test_what_is_no_state_is_refused_with_the_file_and_the_cure(path, data):
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with pytest.raises(DataError, match="no state of hxpush, or damaged") as refused:
        State(path)
    assert refused.value.where == str(path)
    assert "move it away" in refused.value.mend
    assert path.read_bytes() == data
    with pytest.raises(DataError):  # and nobody is kept out by the lock
        State(path)


def test_that_of_another_version_is_refused(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(changed(version=2))
    with pytest.raises(DataError, match="another version"):
        load(path)


def test_where_it_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot write") as refused:
        State(tmp_path / "file" / "server.json")
    assert "--state" in refused.value.mend


def test_it_is_neither_read_nor_locked_through_a_pipe_or_a_link(path, tmp_path):
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(HostError):
        load(path)
    os.unlink(path)
    os.symlink(tmp_path / "elsewhere", path.with_name("server.json.lock"))
    with pytest.raises(HostError):
        State(path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/speeddata/hxpush"),
        ({"HOME": "/h"}, "/h/.local/state/speeddata/hxpush"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/speeddata/hxpush"),
    ],
)
def test_it_is_where_xdg_says(environ, expected):
    assert directory(environ) == Path(expected)
    assert directory(environ, Path("given")) == Path("given")


KILLED = """
import sys
from pathlib import Path
from speeddata.haystack.positions import Place, State
from speeddata.recording.catalogue import Position
with State(Path(sys.argv[1])) as state:
    count = state.preparer.get("count", 0)
    print(count, flush=True)
    while True:
        count += 1
        state.preparer = {"count": count, "filling": "x" * 100_000}
        state.moved([Place("rig", Path("/nowhere/rig.avro"), Position("rig.avro", count))])
        print(count, flush=True)
"""


def test_kill_9_at_any_moment_leaves_the_old_state_or_the_new_one(path, environment):
    least = 0
    for turn in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        assert int(process.stdout.readline()) >= least
        seen = int(process.stdout.readline())
        deadline = time.monotonic() + 0.0007 * turn  # another moment each time
        while time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        process.wait()
        seen = max([seen, *(int(line) for line in rest[:-1] if line)])
        saved = load(path)
        assert saved is not None
        ((entry,),) = (known.values() for known in saved.files.values())
        assert seen <= entry.block == saved.preparer["count"] <= seen + 1
        least = seen

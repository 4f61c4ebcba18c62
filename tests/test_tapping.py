"""`speeddata.tap`: a channel as it happens, in Python."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from by_hand import LOOPBACK, NOON, RIG_TEXT, Bench, Source, rig

import speeddata
from speeddata.errors import PeerError, UsageError


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


@pytest.fixture
def source(free_port, channel_name):
    """A source that sends straight to the port that is tapped."""
    source = Source(channel_name, free_port())
    yield source
    source.sock.close()


def where(source):
    return f"{LOOPBACK}:{source.to[1]}"


def taken(loop, count):
    found = []
    for samples in loop:
        found += samples.time.tolist()
        if len(found) >= count:
            return found
    return found


def test_a_loop_gives_samples_as_they_arrive_and_leaving_it_ends_the_reception(bench, channel_name):
    relay = bench.relay("--no-record")
    source, said = bench.begun(channel_name, relay.port)
    before = threading.active_count()
    live = speeddata.tap(channel_name)
    loop = iter(live)
    first = threading.Thread(target=_until_heard, args=(bench, source, said["full"]))
    first.start()
    samples = next(loop)
    first.join()
    assert (samples.name, live.name, samples.units["volts"]) == (channel_name, channel_name, "V")
    assert samples["volts"].tolist() == ((samples.time - NOON) / 8).tolist()
    assert live.schema == samples.schema
    loop.close()
    assert threading.active_count() == before
    assert live.shortfalls == ()


def _until_heard(bench, source, group):
    """Send until a member of the group that joined with us has had it, and a little more."""
    member = bench.member(group)
    for number in range(200):
        source.send(rig([number]))
        assert len(member.take(1)) == 1


def test_as_a_context_it_is_open_from_the_beginning_and_between_two_loops(source):
    before = threading.active_count()
    with speeddata.tap(where(source), signals="v*") as live:
        source.announce()
        source.send(rig(range(5)))
        assert taken(live, 5) == [NOON + n for n in range(5)]
        source.send(rig(range(5, 9)))
        for samples in live:
            assert list(samples) == ["time", "volts"]
            break
        assert live.name == source.name or samples.name
    assert threading.active_count() == before
    live.close()


def test_a_break_without_a_context_leaves_nothing_running(source, tmp_path):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    before = threading.active_count()
    ready = threading.Event()

    def send():
        while not ready.wait(0.005):
            source.say(*rig([3]))

    sender = threading.Thread(target=send)
    sender.start()
    for samples in speeddata.tap(where(source), schema=tmp_path / "rig.avsc"):
        assert samples["volts"][0] == 3 / 8
        break
    ready.set()
    sender.join()
    assert threading.active_count() == before


def test_a_duration_ends_it(source, tmp_path):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    assert list(speeddata.tap(where(source), schema=tmp_path / "rig.avsc", duration="100ms")) == []


def test_ctrl_c_ends_it_as_everywhere_in_python(source, environment, tmp_path):
    program = (
        "import sys, speeddata\n"
        "with speeddata.tap(sys.argv[1]) as live:\n"
        "    print('open', flush=True)\n"
        "    try:\n"
        "        for samples in live: print(samples.count, flush=True)\n"
        "    except KeyboardInterrupt: print('left', flush=True)\n"
        "print('closed')"
    )
    tapping = subprocess.Popen(
        [sys.executable, "-c", program, where(source)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert tapping.stdout.readline() == "open\n"
        source.announce()
        source.send(rig([1]))
        assert tapping.stdout.readline() == "1\n"
        tapping.send_signal(signal.SIGINT)
        assert tapping.communicate(timeout=20)[0] == "left\nclosed\n"
        assert tapping.returncode == 0
    finally:
        tapping.kill()
        tapping.wait()


def test_what_makes_no_sense_is_refused(source, channel_name, tmp_path):
    with pytest.raises(UsageError, match="no duration"):
        speeddata.tap("rig", duration="soon")
    with pytest.raises(UsageError, match=r"nowhere\.avsc"):
        speeddata.tap(where(source), schema="nowhere.avsc")
    with pytest.raises(PeerError, match="no relay announced it"):
        list(speeddata.tap(channel_name))
    with speeddata.tap(where(source), signals=["vults"]) as live:
        source.announce()
        source.send(rig([1]))
        with pytest.raises(UsageError, match=r"did you mean volts\?"):
            list(live)

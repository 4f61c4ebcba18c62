"""What the stripchart watches: channels that come, go and change, from relays, files and pipes."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import resource
import socket
import threading
import time

import fastavro
import pytest
from by_hand import (
    BULK_TEXT,
    DISCOVERY,
    LOOPBACK,
    NOON,
    RIG_TEXT,
    Bench,
    Source,
    announcement,
    bulk,
    encoded,
    rig,
)

from speeddata import watching
from speeddata.avro import schema as schemas
from speeddata.errors import DataError, HostError, UsageError
from speeddata.interrupts import Stop
from speeddata.sources import Wanted
from speeddata.thinning import Thinning
from speeddata.watching import Watch
from speeddata.wire import livechannels
from speeddata.wire.discovery import Discovery


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


class Watched:
    """A watch, and all that it said of each channel so far."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.news = []

    def taken(self):
        self.news += self.watch.take()
        return self.news

    def data(self, name):
        """The datums of a channel, end to end."""
        return b"".join(b.data for news in self.taken() if news.channel == name for b in news.batches)

    def schemas(self, name):
        """The schemas of a channel, in the order they came."""
        found = [news.schema for news in self.taken() if news.channel == name]
        return [each for n, each in enumerate(found) if not n or found[n - 1] is not each]

    def state(self, name):
        states = [each for each in self.watch.channels() if each.name == name]
        assert len(states) < 2
        return states[0] if states else None


@pytest.fixture
def watch():
    """`watch(*sources, **options)`: an open watch."""
    with contextlib.ExitStack() as stack:

        def start(*sources, thin=False, **options):
            made = Watch(sources, Wanted(on=[LOOPBACK], **options), Stop(), thin=thin)
            return Watched(stack.enter_context(made))

        yield start


class Relay:
    """A relay by hand: announces channels on the discovery group, and serves them from one port."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((LOOPBACK, 0))
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        self.address = self.sock.getsockname()

    def announce(self, name, full, schema_text=RIG_TEXT, role="relay", **said) -> None:
        said = {"channel": name, "session": "x", "role": role, "full": f"{full[0]}:{full[1]}", **said}
        self.sock.sendto(announcement(schema_text, **said), DISCOVERY)

    def send(self, datums, where) -> None:
        for datum in datums:
            self.sock.sendto(datum, where)


@pytest.fixture
def by_hand():
    """`by_hand()`: a `Relay`, closed when the test ends."""
    made = []

    def make():
        made.append(Relay())
        return made[-1]

    yield make
    for relay in made:
        relay.sock.close()


def written(path, schema_text, rows, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {f"speeddata.{key}": value for key, value in metadata.items()}
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, metadata=named, sync_interval=400)
    return path


def rows(numbers):
    return [{"time": NOON + n, "volts": n / 8, "note": "x" * (n % 7)} for n in numbers]


# -- live channels ----------------------------------------------------------------------------------------


def test_every_channel_that_a_relay_serves_appears_with_its_datums_and_counts(
    bench, watch, wait_for, channel_name
):
    relay = bench.relay()
    first, second = f"{channel_name}_a", f"{channel_name}_b"
    one, said = bench.begun(first, relay.port)
    watched = watch()
    wait_for(lambda: watched.schemas(first))
    wait_for(lambda: watched.state(first).endpoint == said["full"])
    one.send(rig(range(100)))
    two, _ = bench.begun(second, relay.port, schema_text=BULK_TEXT)  # appears later
    wait_for(lambda: watched.schemas(second))
    two.send(bulk(range(5), 9))
    wait_for(lambda: watched.data(first) == b"".join(rig(range(100))))
    wait_for(lambda: watched.data(second) == b"".join(bulk(range(5), 9)))
    assert [each.text for each in watched.schemas(first)] == [RIG_TEXT]
    one.sent += 7  # lost on the way
    one.announce()
    wait_for(lambda: watched.state(first).lost == 7)
    state = watched.state(first)
    assert (state.state, state.received, state.rejected, state.dropped) == ("live", 100, 0, 0)
    assert (state.since_ns, state.source, state.problem) == (None, "", "")
    one.end()
    wait_for(lambda: watched.state(first).state == "end")
    assert abs(watched.state(first).since_ns - time.time_ns()) < 20 * 10**9


def test_of_channels_by_name_only_those_come_and_one_that_nobody_announces_is_waited_for(
    bench, watch, wait_for, channel_name
):
    watched = watch(channel_name.upper())
    state = watched.state(channel_name.upper())
    assert (state.state, state.source) == ("silent", channel_name.upper())
    assert "no relay announced it so far; see `speeddata ls`" in state.problem
    relay = bench.relay()
    bench.begun(f"{channel_name}_other", relay.port)
    source, _ = bench.begun(channel_name, relay.port)
    wait_for(lambda: watched.schemas(channel_name))
    source.send(rig(range(9)))
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(9))))
    (state,) = watched.watch.channels()
    assert (state.name, state.state, state.problem) == (channel_name, "live", "")


def test_an_announced_group_is_watched_by_its_endpoint(bench, watch, wait_for, channel_name):
    relay = bench.relay("-n", 4)
    source, said = bench.begun(channel_name, relay.port)
    watched = watch(said["decimated"])
    wait_for(lambda: watched.schemas(channel_name))
    source.send(rig(range(40)))
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(0, 40, 4))))
    assert watched.state(channel_name).endpoint == said["decimated"]


@pytest.mark.parametrize(
    ("method", "decimated", "thin", "group"),
    [
        ("minmax", False, False, "full"),
        ("minmax", False, True, "decimated"),
        ("pick", False, True, "full"),
        ("pick", True, False, "decimated"),
    ],
)
def test_the_decimated_group_is_taken_on_request_or_where_it_hides_no_spike(
    by_hand, watch, wait_for, free_port, channel_name, method, decimated, thin, group
):
    relay, port = by_hand(), free_port()
    groups = {"full": ("239.1.1.1", port), "decimated": ("239.1.1.2", port)}
    watched = watch(channel_name, decimated=decimated, thin=thin)
    relay.announce(
        channel_name,
        groups["full"],
        decimated=f"239.1.1.2:{port}",
        method=method,
        decimated_schema=BULK_TEXT,
    )
    wait_for(lambda: watched.state(channel_name).state == "live")
    relay.send(rig([1]), groups["full"])
    relay.send(bulk([1], 3), groups["decimated"])
    sent = {"full": (rig([1]), RIG_TEXT), "decimated": (bulk([1], 3), BULK_TEXT)}[group]
    wait_for(lambda: watched.data(channel_name))
    assert watched.data(channel_name) == sent[0][0]
    assert [each.text for each in watched.schemas(channel_name)] == [sent[1]]
    told = watched.state(channel_name).thinning
    assert told == (Thinning() if group == "full" else Thinning(told.factor, method))


def test_it_goes_on_when_the_relay_is_killed_and_comes_back(bench, watch, wait_for, channel_name):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    watched = watch()
    wait_for(lambda: watched.schemas(channel_name))
    source.send(rig(range(5)))
    wait_for(lambda: len(watched.data(channel_name)) == len(b"".join(rig(range(5)))))
    relay.kill()
    wait_for(lambda: watched.state(channel_name).state == "silent")
    assert watched.state(channel_name).since_ns <= time.time_ns()
    again = bench._spawn("relay", "--listen", f"{LOOPBACK}:{relay.port}")
    bench.listening(again, relay.port)

    def live():
        source.announce()
        return watched.state(channel_name).state == "live"

    wait_for(live)
    source.send(rig(range(5, 8)))
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(8))))
    assert len(watched.schemas(channel_name)) == 1
    assert watched.state(channel_name).endpoint == said["full"]


def test_a_relay_that_serves_it_from_another_group_is_followed(
    by_hand, watch, wait_for, free_port, channel_name
):
    first, second = by_hand(), by_hand()
    there, elsewhere, far = (("239.1.1.1", free_port()) for _ in range(3))
    watched = watch()
    first.announce(channel_name, there)
    wait_for(lambda: watched.state(channel_name))
    first.announce(channel_name, elsewhere)
    wait_for(lambda: watched.state(channel_name).endpoint == f"239.1.1.1:{elsewhere[1]}")
    first.send(rig([1]), elsewhere)
    wait_for(lambda: watched.data(channel_name) == rig([1])[0])
    first.announce(channel_name, elsewhere, state="end")
    wait_for(lambda: watched.state(channel_name).state == "end")
    second.announce(channel_name, far)
    wait_for(lambda: watched.state(channel_name).state == "live")
    second.send(rig([2]), far)
    wait_for(lambda: watched.data(channel_name) == b"".join(rig([1, 2])))


def test_a_restarted_source_with_another_schema_is_news_under_that(bench, watch, wait_for, channel_name):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    watched = watch()
    wait_for(lambda: watched.schemas(channel_name))
    source.send(rig(range(3)))
    source.end()
    other, _ = bench.begun(channel_name, relay.port, schema_text=BULK_TEXT)
    other.send(bulk(range(2), 5))
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(3)) + bulk(range(2), 5)))
    assert [each.text for each in watched.schemas(channel_name)] == [RIG_TEXT, BULK_TEXT]
    assert watched.state(channel_name).state == "live"


def test_two_relays_that_serve_a_name_are_told(by_hand, watch, wait_for, free_port, channel_name):
    relays = by_hand(), by_hand()
    groups = [("239.1.1.1", free_port()) for _ in relays]
    everything, named = watch(), watch(channel_name)

    def contested():
        for relay, group in zip(relays, groups, strict=True):
            relay.announce(channel_name, group)
        state = everything.state(channel_name)
        return state and "two relays serve it" in state.problem and named.watch.failure

    wait_for(contested)
    problem = everything.state(channel_name).problem
    for relay, group in zip(relays, groups, strict=True):
        assert f"{LOOPBACK}:{relay.address[1]} ({group[0]}:{group[1]})" in problem
    assert problem.endswith("; name one by its endpoint")
    assert isinstance(named.watch.failure, UsageError)
    assert everything.watch.failure is None


def test_a_source_that_serves_a_group_itself_gives_way_to_a_relay(
    by_hand, watch, wait_for, free_port, channel_name
):
    source, relay = by_hand(), by_hand()
    there, here = (("239.1.1.1", free_port()) for _ in range(2))
    watched = watch()
    source.announce(channel_name, there, role="source")
    wait_for(lambda: watched.state(channel_name))
    relay.announce(channel_name, here)
    wait_for(lambda: watched.state(channel_name).endpoint == f"239.1.1.1:{here[1]}")
    source.announce(channel_name, there, role="source")
    relay.send(rig([1]), here)
    wait_for(lambda: watched.data(channel_name) == rig([1])[0])
    assert watched.state(channel_name).problem == ""


# -- what is hostile, or too much ---------------------------------------------------------------------------


def test_a_hostile_schema_is_refused_and_told_and_a_good_one_heals_it(
    by_hand, watch, wait_for, free_port, channel_name
):
    relay, group = by_hand(), ("239.1.1.1", free_port())
    deep = '{"type":"array","items":' * 2000 + '"int"' + "}" * 2000
    watched = watch()
    relay.announce(channel_name, group, schema_text=deep)
    wait_for(lambda: watched.state(channel_name) and watched.state(channel_name).problem)
    told = watched.state(channel_name).problem
    assert told.startswith(f"announced by {LOOPBACK}:{relay.address[1]}: ")
    relay.announce(channel_name, group)
    wait_for(lambda: watched.schemas(channel_name))
    wait_for(lambda: watched.state(channel_name).problem == "")
    relay.announce(channel_name, group, schema_text="[]")
    wait_for(lambda: watched.state(channel_name).problem)
    relay.announce(channel_name, group)
    wait_for(lambda: watched.state(channel_name).problem == "")
    relay.send(rig([3]), group)
    wait_for(lambda: watched.data(channel_name) == rig([3])[0])


def test_datums_that_do_not_decode_pass_with_their_boundaries_for_the_decoder_to_judge(
    by_hand, watch, wait_for, free_port, channel_name
):
    relay, group = by_hand(), ("239.1.1.1", free_port())
    watched = watch()
    relay.announce(channel_name, group)
    wait_for(lambda: watched.schemas(channel_name))
    sent = [b"\xff", *rig([1]), b"", rig([2])[0] + b"more", *rig([3])]
    relay.send(sent, group)
    wait_for(lambda: watched.data(channel_name) == b"".join(sent))
    batches = [b for news in watched.news if news.channel == channel_name for b in news.batches]
    datums = [b.data[start:end] for b in batches for start, end in itertools.pairwise(b.offsets.tolist())]
    assert datums == sent


def test_nobody_makes_us_listen_at_a_port_of_our_own(by_hand, watch, wait_for, free_port, channel_name):
    relay, port = by_hand(), free_port()
    watched = watch()
    relay.announce(f"{channel_name}_evil", (LOOPBACK, port))
    relay.announce(f"{channel_name}_odd", DISCOVERY)
    relay.announce(channel_name, ("239.1.1.1", port))
    wait_for(lambda: watched.state(channel_name))
    assert watched.state(f"{channel_name}_evil") is watched.state(f"{channel_name}_odd") is None


def test_two_hundred_channels_are_watched_at_once(by_hand, watch, wait_for, free_port, channel_name):
    relay, group = by_hand(), ("239.1.1.1", free_port())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    names = [f"{channel_name}_{n}" for n in range(200)]
    ports = [free_port() for _ in names]
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, hard))  # as a system may have it
    try:
        watched = watch(*names)
        for name, port in zip(names, ports, strict=True):
            relay.announce(name, (group[0], port))
        wait_for(lambda: all(each.state == "live" for each in watched.watch.channels()))
        for n, port in enumerate(ports):
            relay.send(rig([n]), (group[0], port))
        wait_for(lambda: sum(len(news.batches) for news in watched.taken()) == len(names))
        for n, name in enumerate(names):
            assert watched.data(name) == rig([n])[0]
    finally:
        watched.watch.__exit__()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_flood_of_names_is_bounded_and_leaves_room_for_those_that_speak(
    by_hand, watch, wait_for, monkeypatch, caplog, free_port, channel_name
):
    class OwnWords(Discovery):
        """Does not hear the other tests, which may run at the same time."""

        def receive(self):
            return [word for word in super().receive() if word[0].channel.startswith(channel_name)]

    monkeypatch.setattr(livechannels, "Discovery", OwnWords)
    monkeypatch.setattr(livechannels, "CHANNEL_LIMIT", 6)
    flood, relay, group = by_hand(), by_hand(), ("239.1.1.1", free_port())
    watched = watch()
    relay.announce(channel_name, group)
    wait_for(lambda: watched.state(channel_name))
    relay.send(rig([1]), group)
    wait_for(lambda: watched.data(channel_name))
    relay.announce(channel_name, group, state="end")  # it spoke, so that it stays
    wait_for(lambda: watched.state(channel_name).state == "end")
    for n in range(100):
        flood.announce(f"{channel_name}_{n}", ("239.1.1.4", 20000 + n), state="end")
    flood.announce(f"{channel_name}_last", ("239.1.1.4", 20001))
    wait_for(lambda: watched.state(f"{channel_name}_last"))
    assert len(watched.watch.channels()) == 6
    for n in range(20):
        flood.announce(f"{channel_name}_live{n}", ("239.1.1.4", 20000 + n))
    wait_for(lambda: "more than 6 channels are announced" in caplog.text)
    assert caplog.text.count("more than 6") == 1
    assert len(watched.watch.channels()) == 6
    assert watched.state(channel_name).state == "end"


def test_who_takes_nothing_misses_the_oldest_and_the_count_is_told(
    by_hand, watch, wait_for, monkeypatch, free_port, channel_name
):
    monkeypatch.setattr("speeddata.inbox._CHANNEL_BYTES", 20_000)
    relay, group = by_hand(), ("239.1.1.1", free_port())
    watched = watch(channel_name)
    relay.announce(channel_name, group)
    wait_for(lambda: watched.state(channel_name).state == "live")
    datums = bulk(range(200), 1000)
    relay.announce(channel_name, group, schema_text=BULK_TEXT)
    wait_for(lambda: watched.watch.take())
    (inside,) = watched.watch._inbox._all
    for n in range(0, 200, 5):  # each on its own: one batch is never divided
        relay.send(datums[n : n + 5], group)
        wait_for(lambda n=n: inside.dropped + sum(each.count for each in inside.pending) == n + 5)
    relay.send(datums[-1:], group)
    wait_for(lambda: watched.state(channel_name).dropped >= 50)
    wait_for(lambda: inside.dropped + sum(each.count for each in inside.pending) == 201)
    dropped = watched.state(channel_name).dropped
    assert watched.data(channel_name) == b"".join([*datums, datums[-1]][dropped:])


def test_a_watch_that_is_left_leaves_no_thread_and_no_socket(watch, wait_for, free_port, tmp_path):
    before = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    written(tmp_path / "rig.avro", RIG_TEXT, rows(range(5)), channel="rig")
    sources = ["rig", f"{LOOPBACK}:{free_port()}", str(tmp_path / "rig.avro")]
    with Watch(sources, Wanted(on=[LOOPBACK], follow=True), Stop()) as watch:
        wait_for(watch.take)
    assert set(threading.enumerate()) <= before[0]
    del watch
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before[1]


# -- endpoints, files and pipes ----------------------------------------------------------------------------


def test_a_port_that_a_source_sends_straight_to_is_watched_under_its_name(
    watch, wait_for, free_port, channel_name
):
    port = free_port()
    place = f"{LOOPBACK}:{port}"
    watched = watch(place)
    assert (watched.state(place).state, watched.state(place).source) == ("silent", place)
    source = Source(channel_name, port)
    source.announce()
    source.send(rig(range(4)))
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(4))))
    state = watched.state(channel_name)
    assert (state.state, state.received, state.endpoint) == ("live", 4, place)
    wait_for(lambda: watched.state(channel_name).state == "silent")
    source.sock.close()


def test_bare_datums_are_watched_with_a_schema(watch, wait_for, free_port):
    port = free_port()
    watched = watch(f"{LOOPBACK}:{port}", schema=schemas.parse(RIG_TEXT))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bare:
        bare.sendto(rig([1])[0], (LOOPBACK, port))
    wait_for(lambda: watched.data(f"{LOOPBACK}:{port}") == rig([1])[0])


@pytest.mark.parametrize(
    ("source", "wrong", "why"),
    [
        ("no such name", UsageError, "is no SOURCE"),
        ("/nowhere/", HostError, "cannot read"),
        ("./", DataError, "holds no recording"),
        ("127.0.0.1:99999", UsageError, "no port"),
    ],
)
def test_a_source_that_means_nothing_is_refused_at_once(tmp_path, monkeypatch, source, wrong, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(wrong, match=why):
        Watch([source], Wanted(on=[LOOPBACK]), Stop())


def test_a_port_in_use_is_refused_and_leaves_nothing_behind(watch, free_port, wait_for):
    place = f"{LOOPBACK}:{free_port()}"
    watch(place)
    count = threading.active_count()
    with (
        pytest.raises(HostError, match="port in use"),
        Watch(["rig", place], Wanted(on=[LOOPBACK]), Stop()),
    ):
        pass
    wait_for(lambda: threading.active_count() == count)


def test_a_recording_is_read_from_near_its_end(watch, wait_for, monkeypatch, tmp_path):
    monkeypatch.setattr(watching, "_TAIL_BYTES", 10)
    home = tmp_path / "rec/rig"
    written(home / "rig_20251203T120000.000000000Z.avro", RIG_TEXT, rows(range(30)), channel="rig")
    written(home / "rig_20251203T120030.000000000Z.avro", RIG_TEXT, rows(range(30, 60)), channel="rig")
    written(tmp_path / "rec/engine.avro", RIG_TEXT, rows(range(5)), channel="engine")
    watched = watch(f"{tmp_path}/rec/")
    assert [each.name for each in watched.schemas("rig")] == ["rig"]  # at once
    wait_for(lambda: [each.state for each in watched.watch.channels()] == ["file", "file"])
    assert watched.data("rig") == b"".join(rig(range(30, 60)))
    assert watched.data("engine") == b"".join(rig(range(5)))
    assert watched.state("rig").source == f"{tmp_path}/rec/"


def test_a_growing_recording_goes_on_and_tells_when_it_stands_still(
    bench, watch, wait_for, channel_name, tmp_path
):
    relay = bench.relay("-o", tmp_path / "rec")
    source, _ = bench.begun(channel_name, relay.port)
    source.send(rig(range(10)))
    home = tmp_path / "rec" / channel_name
    wait_for(lambda: home.is_dir() and any(path.suffix == ".avro" for path in home.iterdir()))
    watched = watch(f"{tmp_path}/rec/", follow=True)
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(10))))
    assert watched.state(channel_name).state == "live"
    source.send(rig(range(10, 13)))
    wait_for(lambda: watched.data(channel_name) == b"".join(rig(range(13))))
    wait_for(lambda: watched.state(channel_name).state == "silent")
    other, _ = bench.begun(f"{channel_name}_new", relay.port)
    other.send(rig([0]))
    wait_for(lambda: watched.data(f"{channel_name}_new") == rig([0])[0])


def test_a_growing_recording_that_stands_still_says_since_when_and_not_since_we_look(
    watch, wait_for, tmp_path
):
    path = written(tmp_path / "rec/rig.avro", RIG_TEXT, rows(range(5)), channel="rig")
    at_ns = time.time_ns() - 3600 * 10**9
    os.utime(path, ns=(at_ns, at_ns))
    watched = watch(f"{tmp_path}/rec/", follow=True)
    wait_for(lambda: watched.data("rig") == b"".join(rig(range(5))))
    wait_for(lambda: watched.state("rig").state != "reading")
    assert (watched.state("rig").state, watched.state("rig").since_ns) == ("silent", at_ns)


def test_a_pipe_is_read_to_its_end_however_late_it_is_taken(watch, wait_for, monkeypatch, tmp_path):
    monkeypatch.setattr("speeddata.inbox._CHANNEL_BYTES", 20_000)
    path = written(tmp_path / "rig.avro", RIG_TEXT, rows(range(5000)), channel="rig")
    before = os.dup(0)
    with path.open("rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        watched = watch("-")
        wait_for(lambda: watched.watch._inbox._all[0].bytes > 20_000)
        wait_for(lambda: watched.data("rig") == b"".join(rig(range(5000))))
        wait_for(lambda: watched.state("rig").state == "end")
        assert (watched.state("rig").dropped, watched.state("rig").received) == (0, 5000)
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_a_pipe_that_is_no_container_is_told(watch, wait_for, tmp_path):
    (tmp_path / "no").write_bytes(b"no container")
    before = os.dup(0)
    with (tmp_path / "no").open("rb") as file:
        os.dup2(file.fileno(), 0)
    try:
        watched = watch("-")
        wait_for(lambda: watched.watch.failure)
        assert isinstance(watched.watch.failure, DataError)
        wait_for(lambda: "not an Avro container" in watched.state("-").problem)
        assert watched.state("-").state == "end"
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_one_name_from_two_sources_stays_two_channels(watch, wait_for, tmp_path):
    for home in ("a", "b"):
        written(tmp_path / home / "rig.avro", RIG_TEXT, rows([len(home)]), channel="rig")
    watched = watch(f"{tmp_path}/a/", f"{tmp_path}/b/")
    assert [each.name for each in watched.watch.channels()] == ["rig", f"rig ({tmp_path}/b/)"]
    wait_for(lambda: all(each.state == "file" for each in watched.watch.channels()))


def test_waiting_ends_when_something_comes_and_else_in_time(watch, free_port):
    port = free_port()
    watched = watch(f"{LOOPBACK}:{port}", schema=schemas.parse(RIG_TEXT))
    watched.watch.take()
    assert not watched.watch.wait(0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bare:
        bare.sendto(encoded(RIG_TEXT, rows([1])[0]), (LOOPBACK, port))
    assert watched.watch.wait(20)
    (news,) = watched.watch.take()
    assert news.batches[0].offsets.tolist() == [0, len(rig([1])[0])]

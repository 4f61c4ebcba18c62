"""The relay as its users meet it: real processes, real sockets, fastavro and avro as judges."""

from __future__ import annotations

import io
import json
import os
import secrets
import signal as posix_signal
import socket
import time

import avro.io
import avro.schema
import fastavro
import pytest
from by_hand import (
    BULK_TEXT,
    LOOPBACK,
    RIG_TEXT,
    Bench,
    bulk,
    endpoint,
    has_ipv6,
    ledger,
    metadata,
    recorded,
    recordings,
    records,
    rig,
    unused_port,
)

from speeddata.names import derived_port


@pytest.fixture
def free_port():
    return unused_port


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


def stopped(relay):
    """Stop *relay*; all is well and nothing was said."""
    assert relay.terminate() == 0
    assert relay.stderr.rest() == b""


# -- the main job -----------------------------------------------------------------------------------------


def test_what_is_sent_is_recorded_and_served_again_byte_for_byte(bench, channel_name, tmp_path):
    relay = bench.relay("-n", "7", "-o", "rec")
    source, said = bench.begun(channel_name, relay.port)
    full, thin = bench.member(said["full"]), bench.member(said["decimated"])
    datums = rig(range(500)) + rig(range(500, 900), note="all of one size")
    source.send(datums)
    assert full.take(900) == datums
    assert thin.take(129) == datums[::7]
    source.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    stopped(relay)
    (path,) = recordings(tmp_path / "rec", channel_name)
    assert recorded(path) == b"".join(datums)
    assert (full.waiting(), thin.waiting()) == ([], [])
    header = metadata(path)
    assert header["avro.schema"] == RIG_TEXT
    assert header["avro.codec"] == "null"
    assert header["speeddata.channel"] == channel_name
    assert header["speeddata.session"] == source.session
    assert header["speeddata.role"] == "recording"
    assert ledger(tmp_path / "rec", channel_name, "file")["recorded"] == 900


def test_a_receiver_that_knows_only_the_announcement_finds_and_decodes_both_groups(bench, channel_name):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    schema = fastavro.parse_schema(json.loads(said["avro.schema"]))
    full, thin = bench.member(said["full"]), bench.member(said["decimated"])
    source.send(rig(range(20)))

    def volts(member, count):
        datums = [fastavro.schemaless_reader(io.BytesIO(each), schema, None) for each in member.take(count)]
        return [datum["volts"] * 8 for datum in datums]

    assert volts(full, 20) == list(range(20))
    assert volts(thin, 4) == list(range(0, 20, int(said["factor"])))
    assert (said["factor"], said["method"], said["state"]) == ("5", "pick", "live")
    assert endpoint(said["full"])[0] == "239.1.1.1"
    assert endpoint(said["decimated"])[0] == "239.1.1.2"


def test_what_speeddata_send_saves_is_what_the_relay_records(bench, run, channel_name, tmp_path):
    relay = bench.relay()
    to = f"{LOOPBACK}:{relay.port}"
    status = run(
        "send", "--demo", "--name", channel_name, "--rate", 20000, "-c", 6000, "--to", to, "--save", "s.avro"
    )
    assert status == (0, "", "")
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"], said["rejected"]) == ("6000", "0", "0")
    stopped(relay)
    assert recorded(*recordings(tmp_path / "data", channel_name)) == recorded(tmp_path / "s.avro")


def test_a_status_line_a_second_counts_everything(bench, channel_name):
    relay = bench.relay("--json")
    source, _ = bench.begun(channel_name, relay.port)
    source.send(rig(range(100)))
    while (line := json.loads(relay.stdout.line()))["recorded"] < 100:
        pass
    assert line.pop("rate_hz") >= 0
    assert line == {
        "channel": channel_name,
        "state": "live",
        "received": 100,
        "served": 100,
        "recorded": 100,
        "lost": 0,
        "lost_kernel": 0,
        "lost_disk": 0,
        "rejected": 0,
    }
    stopped(relay)


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_relay_that_is_stopped_takes_in_what_waits_closes_its_file_and_says_goodbye(
    bench, channel_name, tmp_path, signal
):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    member = bench.member(said["full"])
    datums = rig(range(300))
    source.send(datums[:200])
    assert member.take(200) == datums[:200]
    os.kill(relay.pid, posix_signal.SIGSTOP)
    source.send(datums[200:])  # wait at its socket when the signal comes
    os.kill(relay.pid, getattr(posix_signal, signal))
    os.kill(relay.pid, posix_signal.SIGCONT)
    assert relay.wait() == 0
    assert relay.stderr.rest() == relay.stdout.rest() == b""
    assert bench.discovery.hear(channel_name, lambda said: said["state"] == "end", ask=False)["lost"] == "0"
    assert member.take(100) == datums[200:]
    (path,) = recordings(tmp_path / "data", channel_name)
    assert recorded(path) == b"".join(datums)
    assert ledger(tmp_path / "data", channel_name, "file")["recorded"] == 300


def test_no_record_serves_and_writes_nothing(bench, channel_name, tmp_path):
    relay = bench.relay("--no-record")
    source, said = bench.begun(channel_name, relay.port)
    full, thin = bench.member(said["full"]), bench.member(said["decimated"])
    source.send(rig(range(100)))
    assert full.take(100) == rig(range(100))
    assert thin.take(20) == rig(range(0, 100, 5))
    stopped(relay)
    assert list(tmp_path.iterdir()) == []


# -- senders and receivers that know nothing --------------------------------------------------------------


def by_apache(numbers):
    """Datums of RIG_TEXT as the Apache library makes them."""
    writer = avro.io.DatumWriter(avro.schema.parse(RIG_TEXT))
    datums = []
    for number in numbers:
        stream = io.BytesIO()
        # beyond what this library's datetime can hold, nanoseconds go in as the plain long that they are
        writer.write({"time": number, "volts": number / 8, "note": "bare"}, avro.io.BinaryEncoder(stream))
        datums.append(stream.getvalue())
    return datums


def test_a_bare_sender_records_identically_through_a_fixed_channel(
    bench, spawn, free_port, channel_name, tmp_path
):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    port = free_port()
    relay = spawn("relay", f"{channel_name}={LOOPBACK}:{port},rig.avsc")
    bench.listening(relay, port)
    datums = by_apache(range(250))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datum in datums:
            sock.sendto(datum, (LOOPBACK, port))
        bench.discovery.received(channel_name, 250)
    stopped(relay)
    (path,) = recordings(tmp_path / "data", channel_name)
    assert recorded(path) == b"".join(datums)
    assert [record["volts"] for record in records(path)] == [number / 8 for number in range(250)]


def test_groups_fixed_in_speeddata_toml_reach_receivers_that_know_nothing(
    bench, spawn, free_port, channel_name, tmp_path
):
    port, full_port, thin_port = free_port(), free_port(), free_port()
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    (tmp_path / "speeddata.toml").write_text(
        f'[channels.{channel_name}]\nlisten = "{LOOPBACK}:{port}"\nschema = "rig.avsc"\nfactor = 3\n'
        f'full = "239.1.1.1:{full_port}"\ndecimated = "239.1.1.2:{thin_port}"\n'
    )
    full, thin = bench.member(("239.1.1.1", full_port)), bench.member(("239.1.1.2", thin_port))
    relay = spawn("relay")
    bench.listening(relay, port)
    bench.source(channel_name, port).say(*rig(range(30)))
    assert full.take(30) == rig(range(30))
    assert thin.take(10) == rig(range(0, 30, 3))
    said = bench.discovery.received(channel_name, 30)
    assert (said["full"], said["decimated"]) == (f"239.1.1.1:{full_port}", f"239.1.1.2:{thin_port}")
    stopped(relay)
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(30)))


def test_a_port_for_one_channel_gives_an_announced_source_its_own_name(
    bench, spawn, free_port, channel_name, tmp_path
):
    port = free_port()
    relay = spawn("relay", f"{channel_name}={LOOPBACK}:{port}")
    bench.listening(relay, port)
    source = bench.source("called_otherwise", port)
    source.announce()
    assert bench.discovery.hear(channel_name)["session"] == source.session
    source.send(rig(range(10)))
    source.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    stopped(relay)
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(10)))


# -- loss -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 123_456])
def test_loss_is_counted_exactly_also_by_a_relay_that_starts_in_mid_stream(
    bench, channel_name, tmp_path, before
):
    relay = bench.relay()
    source = bench.source(channel_name, relay.port, sent=before)
    source.say(*rig(range(3)))  # before the first announcement that the relay hears: recorded, not missed
    source.announce()
    source.send(rig(range(3, 50)))
    source.sent += 17  # which never leave
    source.send(rig(range(67, 100)))
    source.announce()
    said = bench.discovery.received(channel_name, 83)
    assert (said["received"], said["lost"]) == ("83", "17")
    source.sent += 5
    source.end()
    assert bench.discovery.hear(channel_name, lambda said: said["state"] == "end")["lost"] == "22"
    assert relay.terminate() == 0
    data = tmp_path / "data"
    assert recorded(*recordings(data, channel_name)) == b"".join(rig([*range(50), *range(67, 100)]))
    assert ledger(data, channel_name, "file")["lost"] == 22
    assert ledger(data, channel_name, "loss")["lost"] == 22


def test_what_the_kernel_drops_is_counted_exactly_and_laid_at_its_door(bench, channel_name):
    relay = bench.relay("--no-record")
    source, _ = bench.begun(channel_name, relay.port, schema_text=BULK_TEXT)
    os.kill(relay.pid, posix_signal.SIGSTOP)
    (datum,) = bulk([1], 60_000)
    source.send([datum] * 3000)  # more than the largest receive buffer holds
    os.kill(relay.pid, posix_signal.SIGCONT)

    def settled(said):
        source.announce()  # heard only once there is room for it
        return int(said["lost_kernel"]) > 0

    said = bench.discovery.hear(channel_name, settled)
    assert int(said["received"]) + int(said["lost"]) == 3000
    assert said["lost_kernel"] == said["lost"]


def test_a_loss_adds_up_over_sessions(bench, channel_name):
    relay = bench.relay()
    for number in (1, 2):
        source, _ = bench.begun(channel_name, relay.port)
        source.send(rig(range(10)))
        source.sent += 4
        source.end()
        said = bench.discovery.received(channel_name, 10 * number)
        assert said["lost"] == str(4 * number)


# -- sources that come again ------------------------------------------------------------------------------


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_sources_of_this_machine_are_heard_by_ipv6_and_ipv4_where_it_listens_on_all_addresses(
    bench, spawn, channel_name, tmp_path, free_port
):
    port = free_port()
    relay = spawn("relay", "--listen", f"[::]:{port}")
    for version, to in ((6, f"[::1]:{port}"), (4, f"{LOOPBACK}:{port}")):
        name = f"{channel_name}_{version}"
        source = spawn(
            "send", "--demo", "--name", name, "--rate", "500", "--to", to, "--save", f"{version}.avro"
        )
        bench.discovery.received(name, 50)
        assert source.terminate() == 0
        bench.discovery.hear(name, lambda said: said["state"] == "end" and said["lost"] == "0")
    stopped(relay)
    for version in (6, 4):
        (file,) = recordings(tmp_path / "data", f"{channel_name}_{version}")
        sent = recorded(tmp_path / f"{version}.avro")
        assert recorded(file) == sent[-len(recorded(file)) :]


def test_a_source_that_restarts_begins_a_new_file_and_loses_nothing(
    bench, spawn, run, channel_name, tmp_path
):
    relay = bench.relay()
    args = ("send", "--demo", "--name", channel_name, "--rate", "500", "--to", f"{LOOPBACK}:{relay.port}")
    first = spawn(*args, "--save", "first.avro")
    bench.discovery.received(channel_name, 50)
    assert first.terminate() == 0
    assert run(*args, "--save", "second.avro", "-c", 300) == (0, "", "")
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end" and int(said["received"]) >= 300)
    stopped(relay)
    one, two = recordings(tmp_path / "data", channel_name)
    assert recorded(one) == recorded(tmp_path / "first.avro")
    assert recorded(two) == recorded(tmp_path / "second.avro")
    assert metadata(one)["speeddata.session"] != metadata(two)["speeddata.session"]


def test_a_source_that_restarts_after_kill_9_loses_nothing_of_what_it_sends_afterwards(
    bench, spawn, channel_name, tmp_path
):
    relay = bench.relay()
    args = ("send", "--demo", "--name", channel_name, "--rate", "500", "--to", f"{LOOPBACK}:{relay.port}")
    first = spawn(*args)
    former = bench.discovery.received(channel_name, 50)["session"]
    first.kill()
    second = spawn(*args, "--save", "second.avro")  # refused until the first one has been silent for 3 s
    bench.discovery.hear(channel_name, lambda said: said["session"] != former)
    assert second.terminate() == 0
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert said["lost"] == "0"
    assert relay.terminate() == 0
    _, two = recordings(tmp_path / "data", channel_name)
    assert recorded(two) == recorded(tmp_path / "second.avro")
    assert len(records(two)) > 1000


def test_names_are_compared_without_case_and_share_one_directory(bench, channel_name, tmp_path):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    source.send(rig(range(10)))
    other = bench.source(channel_name.upper(), relay.port)
    other.announce()
    other.say(*rig(range(100, 110)))
    assert f"refused: {LOOPBACK}:{source.address[1]} has this name" in relay.stderr.line()
    source.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    later, again = bench.begun(channel_name.title(), relay.port)
    later.send(rig(range(10, 20)))
    later.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end" and said["received"] == "20")
    assert again["full"] == said["full"]
    assert relay.terminate() == 0
    files = recordings(tmp_path / "data", channel_name)
    assert [recorded(path) for path in files] == [b"".join(rig(range(10))), b"".join(rig(range(10, 20)))]
    assert [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()] == [channel_name]


# -- discovery --------------------------------------------------------------------------------------------


def test_questions_are_answered_at_once_but_at_most_ten_times_a_second(bench, channel_name):
    relay = bench.relay()
    bench.begun(channel_name, relay.port)
    answers = 0
    began = time.monotonic()
    while time.monotonic() < began + 1.5:
        bench.discovery.ask()
        for datagram, _ in bench.discovery.datagrams(0.002):
            answers += channel_name.encode() in datagram and b"relay" in datagram
    assert 8 <= answers <= 19  # fifteen answers, the announcement of each second, and the edges


def test_a_relay_announces_its_channels_every_second_unasked(bench, channel_name):
    relay = bench.relay()
    bench.begun(channel_name, relay.port)
    for _ in range(3):
        bench.discovery.waiting()
        bench.discovery.hear(channel_name, ask=False, deadline_s=1.5)


def test_everything_that_a_relay_sends_to_groups_leaves_from_one_port(bench, channel_name):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    members = bench.member(said["full"]), bench.member(said["decimated"])
    source.send(rig(range(1)))
    assert {f"{a[0]}:{a[1]}" for each in members for _, a in each.datagrams(0.2)} == {said["from"]}


# -- endpoints --------------------------------------------------------------------------------------------


def colliding_names():
    """Two names that no other test uses, of one derived port."""
    first = f"test_{secrets.token_hex(6)}"
    while derived_port(other := f"test_{secrets.token_hex(6)}") != derived_port(first):
        pass
    return first, other


def test_no_two_channels_share_a_port_and_each_keeps_its_own_over_runs(bench):
    one, other = colliding_names()
    relay = bench.relay()
    endpoints = {}
    for name in (one, other):
        source, said = bench.begun(name, relay.port)
        source.send(rig([0]))
        endpoints[name] = said["full"]
    assert endpoint(endpoints[one])[1] == derived_port(one)
    assert endpoints[one] != endpoints[other]
    stopped(relay)
    relay = bench.relay()
    again = {name: bench.begun(name, relay.port)[1]["full"] for name in (other, one)}
    assert again == endpoints


def test_two_relays_that_serve_one_name_never_share_a_group_and_port(
    bench, spawn, channel_name, tmp_path, free_port
):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    served, relays, ports = [], [], [free_port(), free_port()]
    for port in ports:
        relays.append(spawn("relay", f"{channel_name}={LOOPBACK}:{port},rig.avsc", "-o", f"rec{port}"))
        bench.listening(relays[-1], port)
        said = bench.discovery.hear(channel_name, lambda said: said["session"] not in {s for s, _ in served})
        served.append((said["session"], said["full"]))
    (_, first), (_, second) = served
    assert first == f"239.1.1.1:{derived_port(channel_name)}"
    assert second != first
    members = [bench.member(full) for full in (first, second)]
    for number, port in enumerate(ports):
        bench.source(channel_name, port).say(*rig(range(number, number + 3)))
    assert [member.take(3) for member in members] == [rig(range(3)), rig(range(1, 4))]
    for relay in relays:
        stopped(relay)


def test_a_listening_port_is_never_served_on(bench, spawn, channel_name, tmp_path):
    port = derived_port(channel_name)
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    relay = spawn("relay", f"{channel_name}={LOOPBACK}:{port},rig.avsc")
    bench.listening(relay, port)
    assert endpoint(bench.discovery.hear(channel_name)["full"])[1] == port + 1


# -- slow readers -----------------------------------------------------------------------------------------


def test_a_stalled_tap_or_member_never_delays_anybody(bench, spawn, channel_name, tmp_path):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    bench.member(said["full"], buffer_bytes=4096)  # never read
    tap = spawn("tap", channel_name, "-f", "json")
    while not tap.stdout._buffer:
        source.send(rig([0]))
        tap.stdout._more(time.monotonic() + 0.05)
    os.kill(tap.pid, posix_signal.SIGSTOP)
    member = bench.member(said["full"])
    before = source.sent
    slowest = 0.0
    datums = rig(range(4000), note="much" * 200)
    for first in range(0, 4000, 100):
        began = time.monotonic()
        source.send(datums[first : first + 100])
        assert member.take(100) == datums[first : first + 100]
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
    tap.kill()
    source.end()
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"]) == (str(before + 4000), "0")
    stopped(relay)
    assert recorded(*recordings(tmp_path / "data", channel_name)).endswith(b"".join(datums))


# -- who is heard -----------------------------------------------------------------------------------------


def test_a_source_outside_allow_is_not_heard_which_is_said_once(bench, channel_name, tmp_path):
    relay = bench.relay("--allow", "127.0.0.1/32")
    stranger = bench.source(channel_name, relay.port, host="127.0.0.2")
    for _ in range(5):
        stranger.announce()
        stranger.send(rig(range(100, 110)))
    source, _ = bench.begun(channel_name, relay.port)
    source.send(rig(range(10)))
    bench.discovery.received(channel_name, 10)
    assert relay.terminate() == 0
    assert relay.stderr.rest().decode().splitlines() == [
        "speeddata: 127.0.0.2: not heard; name its network with --allow"
    ]
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(10)))


def test_the_output_of_a_relay_may_be_cut_short(bench, channel_name):
    relay = bench.relay("--json")
    bench.begun(channel_name, relay.port)
    relay.stdout.line()
    relay.process.stdout.close()
    assert relay.wait() == 0
    assert relay.stderr.rest() == b""


# -- groups as sources and relays of relays ---------------------------------------------------------------


def test_a_source_that_sends_to_a_group_is_recorded_from_there(
    bench, spawn, run, free_port, channel_name, tmp_path
):
    group = f"239.1.1.9:{free_port()}"
    relay = bench.relay(f"{channel_name}={group}")
    demo = ("--demo", "--name", "named_otherwise", "--rate", 3000, "-c", 3000)
    assert run("send", *demo, "--to", group, "--save", "s.avro") == (0, "", "")
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"]) == ("3000", "0")
    stopped(relay)
    assert recorded(*recordings(tmp_path / "data", channel_name)) == recorded(tmp_path / "s.avro")


def relayed(bench, spawn, *channels):
    """A second relay that listens to the full groups of *channels*, each (its name there, announcement)."""
    relay = spawn("relay", *(f"{name}={said['full']}" for name, said in channels), "-o", "second")
    for name, said in channels:
        bench.discovery.hear(name, lambda heard, first=said: heard["full"] != first["full"])
    return relay


def test_a_relay_of_a_relay_records_the_same(bench, spawn, channel_name, tmp_path):
    names = [channel_name, channel_name + "_b"]
    relay = bench.relay()
    begun = [bench.begun(name, relay.port) for name in names]
    copies = [name + "_copy" for name in names]
    second = relayed(bench, spawn, *zip(copies, (said for _, said in begun), strict=True))
    datums = {name: rig(range(n, n + 700)) for n, name in enumerate(names)}
    for (source, _), name in zip(begun, names, strict=True):
        source.send(datums[name])
    for (source, _), copy in zip(begun, copies, strict=True):
        bench.discovery.received(copy, 700)
        source.end()
        said = bench.discovery.hear(copy, lambda said: said["state"] == "end")
        assert (said["received"], said["lost"]) == ("700", "0")
        assert endpoint(said["full"]) != endpoint(said["decimated"])
    stopped(relay)
    stopped(second)
    for name, copy in zip(names, copies, strict=True):
        assert recorded(*recordings(tmp_path / "data", name)) == b"".join(datums[name])
        assert recorded(*recordings(tmp_path / "second", copy)) == b"".join(datums[name])


def test_a_relay_of_a_relay_counts_what_is_lost_between_them_however_fast(
    bench, spawn, run, channel_name, tmp_path
):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    copy = channel_name + "_copy"
    second = relayed(bench, spawn, (copy, said))
    source.end()
    bench.discovery.hear(copy, lambda said: said["state"] == "end")
    demo = ("--demo", "--name", channel_name, "--rate", 20_000, "-c", 30_000)
    assert run("send", *demo, "--to", f"{LOOPBACK}:{relay.port}", "--save", "s.avro") == (0, "", "")
    bench.discovery.received(copy, 1)
    said = bench.discovery.hear(copy, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"]) == ("30000", "0")
    source, _ = bench.begun(channel_name, relay.port)
    bench.discovery.hear(copy, lambda said: said["state"] == "live")
    source.send(rig(range(10)))
    bench.discovery.received(copy, 30_010)
    os.kill(second.pid, posix_signal.SIGSTOP)
    (datum,) = rig([0], note="n" * 60_000)
    for _ in range(30):  # more than the largest receive buffer holds
        source.send([datum] * 100)
        bench.discovery.hear(channel_name, lambda said: int(said["received"]) >= 30_010 + source.sent - 10)
    os.kill(second.pid, posix_signal.SIGCONT)
    bench.discovery.hear(copy, lambda said: int(said["lost"]) > 0)
    source.end()
    said = bench.discovery.hear(copy, lambda said: said["state"] == "end")
    assert int(said["received"]) + int(said["lost"]) == 33_010
    stopped(relay)
    assert second.terminate() == 0
    assert recorded(recordings(tmp_path / "second", copy)[0]) == recorded(tmp_path / "s.avro")


def test_a_relay_of_a_relay_goes_on_when_the_first_one_restarts(bench, spawn, channel_name, tmp_path):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    copy = channel_name + "_copy"
    second = relayed(bench, spawn, (copy, said))
    source.send(rig(range(10)))
    bench.discovery.received(copy, 10)
    stopped(relay)
    bench.discovery.hear(copy, lambda said: said["state"] == "end")
    relay = bench.relay()
    source.to = (LOOPBACK, relay.port)
    source.announce()
    bench.discovery.hear(copy, lambda said: said["state"] == "live")
    source.send(rig(range(10, 20)))
    bench.discovery.received(copy, 20)
    stopped(second)
    files = recordings(tmp_path / "second", copy)
    assert [recorded(path) for path in files] == [b"".join(rig(range(10))), b"".join(rig(range(10, 20)))]

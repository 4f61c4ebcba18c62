"""A channel inside a relay: the endpoints it is given, and what it counts; real sockets, a real recorder."""

from __future__ import annotations

import contextlib
import io
import json
import socket

import fastavro
import numpy as np
import pytest
from by_hand import LOOPBACK, NOON, RIG_TEXT, Member, recorded, recordings, rig

from speeddata.avro import schema
from speeddata.errors import HostError
from speeddata.names import Endpoint, derived_port
from speeddata.recording.recorder import Recorder
from speeddata.relay.hearing import address_text
from speeddata.relay.serving import FixedChannel, Outlets, Port, ServedChannel
from speeddata.wire import announcement, interfaces, sockets
from speeddata.wire.datagrams import Receiver, Sender
from speeddata.wire.sessions import SILENCE_NS, Session

RIG = schema.parse(RIG_TEXT)
PLAIN = fastavro.parse_schema(RIG.plain)
HERE = (LOOPBACK, 5000)
SECOND = 1_000_000_000


# -- Outlets ----------------------------------------------------------------------------------------------


def ports(outlets, *names):
    return [outlets.endpoints(name)[0].port for name in names]


def test_a_channel_gets_the_port_of_its_name_in_both_groups():
    full, thin = Outlets({}, []).endpoints("rig")
    assert (full.host, thin.host) == ("239.1.1.1", "239.1.1.2")
    assert full.port == thin.port == derived_port("rig")


def test_a_port_that_is_taken_is_passed_over():
    port = derived_port("rig")
    outlets = Outlets({}, [Endpoint(LOOPBACK, port), Endpoint("239.1.1.9", port + 1)])
    outlets.avoid(Endpoint("239.1.1.1", port + 2))
    assert ports(outlets, "rig", "RIG") == [port + 3, port + 4]


def test_the_ports_go_round():
    outlets = Outlets({"rig": 29_999}, [Endpoint(LOOPBACK, 29_999)])
    assert ports(outlets, "rig") == [20_000]


def test_a_remembered_port_goes_before_the_derived_one_whatever_the_case_of_the_name():
    outlets = Outlets({"Rig": 20_007}, [])
    assert outlets.port("rIG") == 20_007
    assert ports(outlets, "rig") == [20_007]


def test_a_port_that_is_released_may_serve_another_but_is_remembered():
    outlets = Outlets({"rig": 20_007, "other": 20_007}, [])
    full, _ = outlets.endpoints("rig")
    assert ports(outlets, "other") == [20_008]
    outlets.release(full)
    assert ports(outlets, "rig") == [20_007]


def test_endless_announcements_of_others_leave_ports_free():
    outlets = Outlets({}, [])
    for port in range(20_000, 30_000):
        outlets.avoid(Endpoint("239.1.1.1", port))
    assert ports(outlets, "rig") == [derived_port("rig")]
    assert ports(Outlets({"rig": 29_999}, []), "rig") == [29_999]


def test_endless_names_are_not_all_remembered():
    outlets = Outlets({}, [])
    for number in range(6000):
        outlets.release(outlets.endpoints(f"n{number}")[0])
    assert outlets.port("n5999") is not None
    assert sum(outlets.port(f"n{number}") is not None for number in range(6000)) < 5000


def test_an_address_of_ipv6_is_told_in_brackets():
    assert address_text(("::1", 5000)) == address_text(("::1", 5000, "rig")) == "[::1]:5000"
    assert address_text(("127.0.0.1", 5000)) == "127.0.0.1:5000"


def test_no_port_left_is_said():
    outlets = Outlets({}, [Endpoint(LOOPBACK, port) for port in range(20_000, 30_000)])
    with pytest.raises(HostError, match="no free port"):
        outlets.endpoints("rig")


# -- ServedChannel ----------------------------------------------------------------------------------------


@pytest.fixture
def sender():
    sender = Sender(sockets.group_sockets(interfaces.named([LOOPBACK]), ttl=1))
    yield sender
    sender.close()


@pytest.fixture
def served(sender, free_port, channel_name):
    """`served(recorder, factor=...)`: a channel that bare datums have begun, on groups of its own."""

    def make(recorder=None, *, factor=5, session=None, method="pick", schema=RIG):
        full, thin = Endpoint("239.1.1.1", free_port()), Endpoint("239.1.1.2", free_port())
        channel = ServedChannel(channel_name, full, thin, factor, sender, recorder, method)
        channel.begin(schema, "session", session, 0)
        return channel

    return make


def give(channel, datums, now_ns=0):
    bounds = np.cumsum([0, *map(len, datums)])
    channel.take(b"".join(datums), bounds.astype(np.int64), HERE, now_ns)


@pytest.mark.parametrize("factor", [1, 3, 7, 1000])
@pytest.mark.parametrize("step", [1, 2, 30])
def test_the_thin_group_gets_every_nth_datum_however_they_arrive(served, factor, step):
    channel = served(factor=factor)
    datums = rig(range(60))
    with (
        contextlib.closing(Member(*channel.full.address).sock) as full,
        contextlib.closing(Member(*channel.decimated.address).sock) as thin,
    ):
        for first in range(0, 60, step):
            give(channel, datums[first : first + step])
        assert [full.recv(1 << 16) for _ in range(60)] == datums
        assert [thin.recv(1 << 16) for _ in datums[::factor]] == datums[::factor]
        with pytest.raises(BlockingIOError):
            thin.recv(1)
    assert (channel.received, channel.served) == (60, 60)


def test_a_new_session_begins_to_count_its_windows_anew(served):
    channel = served(factor=5)
    with contextlib.closing(Member(*channel.decimated.address).sock) as thin:
        give(channel, rig(range(3)))
        channel.begin(RIG, "another", None, 0)
        give(channel, rig(range(10, 13)))
        assert [thin.recv(1 << 16) for _ in range(2)] == rig([0, 10])


def test_a_window_ends_with_its_session_and_datums_that_are_none_have_no_part_in_it(served):
    channel = served(factor=5, method="mean")
    with contextlib.closing(Member(*channel.decimated.address).sock) as thin:
        give(channel, [b"", *rig(range(3)), b"\xff" * 40])
        give(channel, [rig([7])[0] + b"x", *rig(range(4, 8))])
        channel.begin(RIG, "another", None, 0)
        give(channel, rig(range(20, 23)))
        channel.end()
        give(channel, rig(range(40, 45)))
        means = [fastavro.schemaless_reader(io.BytesIO(thin.recv(1 << 16)), PLAIN, None) for _ in range(4)]
        with pytest.raises(BlockingIOError):
            thin.recv(1)
    # 0 1 2 4 5, then 6 7; 20 to 22; 40 to 44
    assert [mean["volts"] * 8 for mean in means] == [12 / 5, 13 / 2, 21, 42]
    assert [mean["time"] - NOON for mean in means] == [0, 6, 20, 40]
    assert means[1]["note"] == ""


def test_a_source_that_begins_to_announce_itself_begins_a_window(served):
    channel = served(factor=5, method="minmax")
    with contextlib.closing(Member(*channel.decimated.address).sock) as thin:
        give(channel, rig(range(2)))
        channel.counted_by(Session("rig", "one", RIG_TEXT, HERE, 0))
        give(channel, rig(range(10, 15), note="same"))
        found = [fastavro.schemaless_reader(io.BytesIO(thin.recv(1 << 16)), PLAIN, None) for _ in range(4)]
    assert [row["volts"] * 8 for row in found] == [0, 1, 10, 14]


def test_a_method_that_changes_the_schema_says_so(served):
    counts = schema.parse(RIG_TEXT.replace('"double"', '"int"'))
    for method, changed in (("pick", None), ("minmax", None), ("mean", "double"), ("rms", "double")):
        said = served(method=method, schema=counts).announcement(0)
        assert said.schema_text == counts.text
        assert said.fields["method"] == method
        text = said.fields.get("decimated_schema")
        assert (text and json.loads(text)["fields"][1]) == (
            changed and {"name": "volts", "type": "double", "unit": "V"}
        )
        assert "decimated_schema" not in served(method=method).announcement(0).fields


def test_a_schema_for_which_an_announcement_has_no_room_twice_is_picked_from(served, caplog):
    fields = [{"name": f"s{n}", "type": "int", "doc": "x" * 100} for n in range(300)]
    channel = served(
        method="mean", schema=schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields}))
    )
    said = channel.announcement(0)
    assert said.fields["method"] == channel.method == "pick"
    assert announcement.encode(said)
    assert "has no room" in caplog.text
    channel.begin(RIG, "another", None, 0)
    assert channel.method == "mean"


def test_what_it_counts_is_what_is_recorded(served, tmp_path, channel_name):
    with Recorder(tmp_path) as recorder:
        channel = served(recorder)
        give(channel, [*rig(range(20)), b"no datum"])
        channel.end()
    status = channel.status(0)
    assert (status.received, status.recorded, status.rejected, status.lost_disk) == (21, 20, 1, 0)
    assert recorded(*recordings(tmp_path, channel_name)) == b"".join(rig(range(20)))


def test_loss_adds_up_over_sessions_and_is_never_less_than_what_the_kernel_dropped(served):
    first = Session("rig", "one", RIG_TEXT, HERE, 0)
    channel = served(session=first)
    first.announced(10, 0)
    assert channel.lost == 10
    channel.begin(RIG, "two", second := Session("rig", "two", RIG_TEXT, HERE, 0), 0)
    assert channel.lost == 10
    second.announced(3, 0)
    assert channel.lost == 13
    channel.end()
    assert channel.lost == 13
    channel.lost_kernel = 20
    assert channel.status(0).lost == 20


def test_the_rate_is_that_of_the_last_second(served):
    channel = served()
    give(channel, rig(range(50)), SECOND)
    channel.measure(SECOND)
    assert channel.status(SECOND).rate_hz == 50.0
    give(channel, rig(range(10)), 2 * SECOND)
    channel.measure(2 * SECOND + SECOND)
    assert channel.status(3 * SECOND).rate_hz == 5.0


def test_what_was_held_for_a_new_channel_is_no_rate(served):
    channel = served()
    channel.begin(RIG, "two", None, SECOND)
    give(channel, rig(range(50)), SECOND)
    channel.caught_up(SECOND)
    give(channel, rig(range(50, 57)), SECOND)
    channel.measure(SECOND + SECOND // 100)
    assert channel.status(SECOND + SECOND // 100).rate_hz == 0.0
    channel.measure(2 * SECOND)
    assert channel.status(2 * SECOND).rate_hz == 7.0


def test_what_was_held_for_a_new_channel_is_written_at_once(served, tmp_path, wait_for):
    with Recorder(tmp_path) as recorder:  # nobody calls its `tick`: a block that is open stays open
        channel = served(recorder)
        give(channel, rig(range(50)))
        channel.caught_up(0)
        wait_for(lambda: channel.status(0).recorded == 50)
        give(channel, rig(range(50, 60)))
        (path,) = recordings(tmp_path, channel.name)
        assert recorded(path) == b"".join(rig(range(50)))
    assert recorded(path) == b"".join(rig(range(60)))


def test_a_channel_is_live_then_silent_and_when_its_session_is_over_at_its_end(served):
    session = Session("rig", "one", RIG_TEXT, HERE, 0)
    channel = served(session=session)
    give(channel, rig([0]), 100)
    assert channel.state(100 + SILENCE_NS) == "live"
    assert channel.state(101 + SILENCE_NS) == "silent"
    session.announced(1, SILENCE_NS)  # its input is silent, the source is not
    assert channel.state(2 * SILENCE_NS) == "live"
    channel.end()
    assert channel.state(0) == "end"
    channel.begin(RIG, "two", None, 2 * SILENCE_NS)
    give(channel, rig([0]), 2 * SILENCE_NS)
    assert channel.state(2 * SILENCE_NS) == "live"


def test_its_announcement_says_all_that_a_receiver_needs(served):
    channel = served(factor=4)
    give(channel, rig(range(6)))
    said = channel.announcement(0, state="end")
    assert (said.role, said.channel, said.session) == ("relay", channel.name, "session")
    assert said.schema_text == RIG_TEXT
    assert said.fields == {
        "full": str(channel.full),
        "decimated": str(channel.decimated),
        "factor": "4",
        "method": "pick",
        "received": "6",
        "lost": "0",
        "lost_kernel": "0",
        "lost_disk": "0",
        "rejected": "0",
        "rate_hz": "0.0",
        "state": "end",
    }


# -- Port -------------------------------------------------------------------------------------------------


@pytest.fixture
def overrun(free_port):
    """`overrun(fixed)`: a port at which the kernel has dropped some of 1,000 datums, and how many came."""
    receivers = []

    def make(fixed):
        endpoint = Endpoint(LOOPBACK, free_port())
        receiver = Receiver(sockets.listen(endpoint, interfaces=[], buffer_bytes=16 << 10))
        receivers.append(receiver)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(1000):
                sock.sendto(b"x" * 500, endpoint.address)
        came = sum(len(arrival.offsets) - 1 for arrival in receiver.receive())
        return Port(endpoint, receiver, fixed), came

    yield make
    for receiver in receivers:
        receiver.close()


def test_what_the_kernel_drops_at_a_port_for_one_channel_is_that_channels_loss(overrun, served):
    channel = served()
    port, came = overrun(FixedChannel(channel.name, schema=RIG))
    for _ in range(2):  # told once, however often it is read
        port.read_drops([channel])
    assert 0 < channel.lost_kernel == channel.lost <= 1000 - came


def test_what_it_drops_at_a_shared_port_is_laid_to_channels_that_miss_something(overrun, served):
    missing = Session("rig", "one", RIG_TEXT, HERE, 0)
    channel, other = served(session=missing), served()
    port, _ = overrun(None)
    both = [channel, other]
    port.read_drops(both)
    assert (channel.lost_kernel, other.lost_kernel) == (0, 0)  # nobody is known to miss anything yet
    missing.announced(5, 0)
    port.read_drops(both)
    assert (channel.lost_kernel, channel.lost, other.lost_kernel) == (5, 5, 0)


def test_one_socket_is_another_speaker_at_each_port_for_one_channel(overrun):
    speakers = {overrun(fixed)[0].speaker(HERE) for fixed in (None, FixedChannel("a"), FixedChannel("b"))}
    assert len(speakers) == 3

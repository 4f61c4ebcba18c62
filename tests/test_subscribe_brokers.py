"""`subscribe` with NATS and Kafka as people type it: set, add, run, listen, renew a key, stop."""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import struct
import subprocess
import termios
import threading

import pytest
from brokers import kafka_broker, nats_server
from subscribe_by_hand import subscribe

assert subscribe is not None  # a fixture

SWIFT = "?x.session.timeout.ms=6000"  # the broker of the tests lets a group be joined after half of it


@pytest.fixture(params=["nats", "kafka"])
def broker(request, tmp_path):
    """The connection string of a server of the test's own."""
    pytest.importorskip({"nats": "nats", "kafka": "confluent_kafka"}[request.param])
    if request.param == "nats":
        with nats_server(tmp_path / "nats") as server:
            yield f"nats://127.0.0.1:{server.port}/SPEED"
    else:
        with kafka_broker(tmp_path) as server:
            yield f"kafka://127.0.0.1:{server.port}/speed{SWIFT}"


@pytest.fixture
def nats(tmp_path):
    pytest.importorskip("nats", reason="nats-py is not installed")
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def producing(subscribe):
    """`producing("--customer", "plant")`: numbers, one after the other, until the test ends or calls it."""
    over, feeders = threading.Event(), []

    def start(*args):
        running = subscribe.start("produce", *args, stdin=subprocess.PIPE)

        def feed():
            number = 0
            while not over.wait(0.002):
                running.stdin.write(b"%d\n" % number)
                running.stdin.flush()
                number += 1
            running.stdin.close()

        feeders.append(threading.Thread(target=feed))
        feeders[-1].start()
        running.stdout.line()  # the first one is there

        def end():
            over.set()
            assert running.wait() == 0
            return 1 + len(running.stdout.rest().split())

        return end

    yield start
    over.set()
    for feeder in feeders:
        feeder.join()


def test_set_from_a_pipe_add_run_and_listen_shared(subscribe, broker):
    subscribe.record(10)
    subscribe.ok("set", "--customer", "plant", input=f"{broker}\n")
    subscribe.ok("add", "--customer", "plant", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--customer", "plant", "--once")
    args = ("listen", "--customer", "plant", "--mode", "shared", "--name", "team", "--points")
    values = [json.loads(line)["value"] for line in subscribe.ok(*args).splitlines()]
    assert values == [float(number) for number in range(10)]
    assert subscribe.ok(*args) == ""  # the team has read it


def test_two_that_share_have_each_message_once(subscribe, broker):
    subscribe.ok("set", "--customer", "plant", input=broker)
    args = ("listen", "--customer", "plant", "--mode", "shared", "--payload-only", "--follow", "--more", "5")
    both = [subscribe.start(*args) for _ in range(2)]
    for key in range(8):  # which spreads them over partitions
        numbers = "".join(f"{key}{n}\n" for n in range(10))
        subscribe.ok("produce", "--customer", "plant", "--key", str(key), input=numbers)
    got, ready = [], threading.Event()

    def read(one):
        with contextlib.suppress(AssertionError):  # it has ended
            while True:
                got.append(one.stdout.line())
                if len(got) >= 80:
                    ready.set()

    readers = [threading.Thread(target=read, args=(one,), daemon=True) for one in both]
    for reader in readers:
        reader.start()
    assert ready.wait(60)
    for one in both:
        assert one.interrupt() == 0
    for reader in readers:
        reader.join(20)
    assert sorted(got) == sorted(f"{key}{n}" for key in range(8) for n in range(10))


def test_without_follow_it_ends_although_others_go_on_sending(subscribe, broker, producing):
    subscribe.ok("set", "--customer", "plant", input=broker)
    subscribe.ok("produce", "--customer", "plant", input="".join(f"a{n}\n" for n in range(30)))
    end = producing("--customer", "plant")
    mode = "shared" if broker.startswith("kafka") else "exclusive"  # one that left is missed for some seconds
    args = ("listen", "--customer", "plant", "--payload-only", "--mode", mode)
    first = subscribe.ok(*args).split()
    assert first[:30] == [f"a{n}" for n in range(30)]
    second = subscribe.ok(*args).split()  # and goes on behind it
    count = end()
    third = subscribe.ok(*args).split()
    assert first + second + third == [f"a{n}" for n in range(30)] + [str(n) for n in range(count)]


def test_with_the_embedded_log_it_ends_although_others_go_on_sending(subscribe, producing):
    end = producing()
    first = subscribe.ok("listen", "--payload-only").split()
    count = end()
    assert first + subscribe.ok("listen", "--payload-only").split() == [str(n) for n in range(count)]


def test_whoever_follows_reads_on_with_a_key_that_was_renewed_meanwhile(subscribe, tmp_path):
    pytest.importorskip("nats", reason="nats-py is not installed")
    users = "authorization: {{ user: plant, password: {} }}"
    with nats_server(tmp_path / "nats", users.format("first")) as server:
        text = f"nats://plant:{{}}@127.0.0.1:{server.port}/SPEED"
        subscribe.ok("set", "--customer", "plant", input=text.format("first"))
        subscribe.ok("produce", "--customer", "plant", input="1\n")
        place = ("--dedup", "1h", "--checkpoint", "place")
        running = subscribe.start("listen", "--customer", "plant", "--payload-only", "--follow", *place)
        assert running.stdout.line() == "1"
        (tmp_path / "nats" / "nats.conf").write_text(users.format("second"))
        server.kill()
        server.start()
        denied = subscribe("listen", "--customer", "plant")
        assert denied[0] == 4
        assert "Authorization Violation; give the destination anew" in denied[2]
        assert "trying again" in running.stderr.line()
        subscribe.ok("set", "--customer", "plant", input=text.format("second"))
        subscribe.ok("produce", "--customer", "plant", input="2\n")
        assert running.stdout.line() == "2"
        assert running.interrupt() == 0
        assert "second" not in (tmp_path / "place").read_text()


def test_whoever_follows_ends_where_the_customers_messages_go_elsewhere(subscribe, nats):
    text = f"nats://127.0.0.1:{nats.port}/"
    subscribe.ok("set", "--customer", "plant", input=f"{text}SPEED")
    subscribe.ok("produce", "--customer", "plant", input="1\n")
    running = subscribe.start("listen", "--customer", "plant", "--payload-only", "--follow")
    assert running.stdout.line() == "1"
    subscribe.ok("set", "--customer", "plant", input=f"{text}OTHER?subject=other.{{customer}}.{{channel}}")
    nats.kill()
    assert running.wait() == 2
    assert "the messages go elsewhere by now; start it anew" in running.stderr.rest().decode()


def unread(pipe):
    """Bytes that are still in it."""
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return count


@pytest.mark.parametrize("verb", ["produce", "listen", "run"])
def test_a_frozen_server_does_not_keep_anybody_who_is_asked_to_end(subscribe, nats, verb, wait_for):
    subscribe.ok("set", "--customer", "plant", input=f"nats://127.0.0.1:{nats.port}/SPEED")
    subscribe.record(5)
    subscribe.ok("add", "--customer", "plant", "rig/volts", "--position", "beginning")
    subscribe.ok("produce", "--customer", "plant", input="1\n")
    if verb == "listen":
        # frozen while the command holds a message that has to be acknowledged
        command = "cat > /dev/null; touch began; while ! test -e go; do sleep 0.01; done"
        running = subscribe.start("listen", "--customer", "plant", "--follow", "--exec", command)
        wait_for((subscribe.directory / "began").exists)
        nats.freeze()
        (subscribe.directory / "go").touch()
    elif verb == "produce":
        running = subscribe.start("produce", "--customer", "plant", stdin=subprocess.PIPE)
        running.stdin.write(b"1\n")
        running.stdin.flush()
        assert running.stdout.line()
        nats.freeze()
        running.stdin.write(b"2\n")
        running.stdin.flush()
        wait_for(lambda: not unread(running.stdin))
    else:
        running = subscribe.start("run", "--customer", "plant")
        wait_for(lambda: subscribe.ls("plant")["lag_s"] == 0.0)
        nats.freeze()
        subscribe.record(5, first=5)
    try:
        status = running.terminate(5.0)  # a second or so, where the machine has nothing else to do
    finally:
        nats.thaw()
    assert status in ((143,) if verb == "produce" else (0, 143))


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("produce",), 143),
        (("listen",), 143),
        (("listen", "--follow"), 143),
        (("run", "--once"), 143),
        (("run",), 0),
    ],
)
def test_asked_to_end_before_a_server_has_said_anything(subscribe, args, status):
    pytest.importorskip("nats", reason="nats-py is not installed")
    subscribe.record(5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        subscribe.ok("set", "--customer", "plant", input=f"nats://127.0.0.1:{silent.getsockname()[1]}/SPEED")
        subscribe.ok("add", "--customer", "plant", "rig/volts", "--position", "beginning")
        running = subscribe.start(*args, "--customer", "plant", stdin=subprocess.PIPE)
        with silent.accept()[0]:
            assert running.terminate(5.0) == status
    assert running.stdout.rest() == b""
    assert running.stderr.rest().decode() in ("", "speeddata: interrupted with work undone\n")


def test_a_checkpoint_of_another_customer_is_refused(subscribe, nats):
    subscribe.ok("set", "--customer", "plant", input=f"nats://127.0.0.1:{nats.port}/SPEED")
    subscribe.ok("produce", "--customer", "plant", input="1\n")
    subscribe.ok("produce", input="1\n2\n")
    args = ("listen", "--payload-only", "--checkpoint", "place")
    assert subscribe.ok(*args, "--customer", "plant") == "1\n"
    status, out, err = subscribe(*args)
    assert (status, out) == (2, "")
    assert err.startswith("speeddata: place: is the checkpoint of 'listen' of plant at 127.0.0.1:")
    assert err.endswith("or move this one away\n")
    assert subscribe.ok(*args[:2]) == "1\n2\n"

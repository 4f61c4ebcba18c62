"""`subscribe produce`: lines become messages, each told by its sequence once it is there for good."""

from __future__ import annotations

import json
import subprocess

from brokers import unused_tcp_port
from subscribe_by_hand import subscribe

assert subscribe is not None  # a fixture


def test_lines_become_messages_and_their_sequences_are_told(subscribe):
    assert (
        subscribe.ok("produce", "--topic", "raw", "--key", "k", input='{"temp": 10}\n\nplain\r\nno end')
        == "1\n2\n3\n"
    )
    assert subscribe.ok("produce", "--topic", "raw", input="4\n") == "4\n"
    told = [json.loads(line) for line in subscribe.ok("listen", "--topic", "raw").splitlines()]
    assert [each["sequence"] for each in told] == ["1", "2", "3", "4"]
    assert [each["payload"] for each in told] == [{"temp": 10}, "plain", "no end", 4]
    assert [each["key"] for each in told] == ["k", "k", "k", ""]
    assert [each["topic"] for each in told] == ["raw"] * 4
    assert len({each["id"] for each in told}) == 4


def test_what_has_no_datapoints_is_told_where_these_are_wanted(subscribe):
    subscribe.ok("produce", "--topic", "raw", input="1\n2\n")
    told = "speeddata: message 1 has no datapoints, so --points leaves it out\n"
    assert subscribe("listen", "--topic", "raw", "--points") == (0, "", told)


def test_a_topic_is_the_customer_unless_it_is_named(subscribe):
    subscribe.ok("produce", input="1\n")
    assert json.loads(subscribe.ok("listen"))["topic"] == "default"


def test_many_lines_go_quickly_and_in_order(subscribe):
    assert subscribe.ok("produce", input="".join(f"{n}\n" for n in range(5000))).split()[-1] == "5000"
    assert subscribe.ok("listen", "--payload-only").split() == [str(n) for n in range(5000)]


def test_a_line_is_there_before_the_next_one_comes(subscribe):
    running = subscribe.start("produce", stdin=subprocess.PIPE)
    for number in (1, 2):
        running.stdin.write(b"x\n")
        running.stdin.flush()
        assert running.stdout.line() == str(number)
    assert running.interrupt() == 0  # also while it waits for a line


def test_a_line_without_an_end_is_refused(subscribe):
    status, out, err = subscribe("produce", input=b"1\n" + b"x" * (17 << 20))
    assert (status, out) == (3, "1\n")
    assert err == "speeddata: standard input: line 2: longer than 16777216 bytes\n"


def test_where_nobody_is_nothing_is_acknowledged(subscribe):
    port = unused_tcp_port()
    subscribe.ok("set", "--customer", "plant", input=f"nats://127.0.0.1:{port}/SPEED")
    status, out, err = subscribe("produce", "--customer", "plant", input="1\n")
    assert (status, out) == (4, "")
    assert err == f"speeddata: nats://127.0.0.1:{port}/SPEED: Connection refused\n"


def test_standard_output_is_no_place_to_send_to(subscribe):
    subscribe.ok("set", "--customer", "text", input="-")
    status, out, err = subscribe("produce", "--customer", "text", input="1\n")
    assert (status, out) == (2, "")
    assert err == "speeddata: customer text: is standard output, where nothing has to be sent to\n"

"""Messages as lines: nothing changed in them, whatever they are."""

from __future__ import annotations

import json

import pytest

from speeddata.subscription import presenting
from speeddata.subscription.engine import Received
from speeddata.subscription.presenting import items_of, line, shown, with_items

NOON_NS = 1_717_243_200_000_000_000
ID = "f69ec89b-494b-4e07-9da2-7c89489e3346"
# the format of the streaming API, as it is published
ENVELOPE = (
    '{"data":{"items":[{"id":"ID","datapoints":[{"time":"2018-11-30T10:00:00.000Z","value":124.5,"status":192},'
    '{"time":"2018-11-30T10:01:00.000Z","value":null,"status":0}]},{"id":"ID","datapoints":[{"time":'
    '"2018-11-30T10:00:00.000Z","value":"caf\u00e9","status":192}]}]},'
    '"schema":"equinor/plant/schemas/ingest/datapoints_v2"}'
)
ENVELOPE = ENVELOPE.replace('"ID"', f'"{ID}"').encode()


def received(body, **more):
    return Received(**{"sequence": "7", "id": "ab:1:0:2", "topic": "plant", "key": "rig", "body": body,
                       "time_ns": NOON_NS, **more})  # fmt: skip


@pytest.fixture(params=["orjson", "json"])
def library(request, monkeypatch):
    if request.param == "json":
        monkeypatch.setattr(presenting, "orjson", None)


def test_a_message_is_a_line_that_says_what_is_known_of_it(library):
    said = line(received(ENVELOPE), "message")
    assert said == (
        b'{"sequence":"7","id":"ab:1:0:2","topic":"plant","key":"rig","time":"2024-06-01T12:00:00.000000000Z",'
        b'"payload":' + ENVELOPE + b"}\n"
    )


def test_points_are_a_line_each(library):
    assert line(received(ENVELOPE), "points").decode().splitlines() == [
        f'{{"id":"{ID}","time":"2018-11-30T10:00:00.000Z","value":124.5,"status":192}}',
        f'{{"id":"{ID}","time":"2018-11-30T10:01:00.000Z","value":null,"status":0}}',
        f'{{"id":"{ID}","time":"2018-11-30T10:00:00.000Z","value":"caf\u00e9","status":192}}',
    ]


def test_a_point_of_another_form_is_told_in_ours(library):
    body = b'{"data":{"items":[{"datapoints":[{"status":0,"more":1,"time":"t"},{}]}]}}'
    assert line(received(body), "points") == (
        b'{"id":null,"time":"t","value":null,"status":0}\n{"id":null,"time":null,"value":null,"status":null}\n'
    )


@pytest.mark.parametrize("value", ["9223372036854775807", "123456789012345678901234567890", "0.1", "1e-7"])
def test_a_number_stays_what_it_is(library, value):
    body = b'{"data":{"items":[{"id":"x","datapoints":[{"time":"t","value":%s,"status":192}]}]}}'
    (told,) = line(received(body % value.encode()), "points").splitlines()
    assert json.loads(told)["value"] == json.loads(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"temp 10",
        b'{"a":',
        b"NaN",
        b'{"value":NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        "[1]".encode("utf-16"),
    ],
)
def test_what_is_no_json_is_its_text(library, body):
    told = json.loads(line(received(body), "message"))
    assert told["payload"] == body.decode("utf-8", "replace")
    assert line(received(body), "points") == b""


@pytest.mark.parametrize("body", [b"null", b" null ", b"0", b'""', b'"\\ud800"', b'{"a": 1,\r\n "b": [2]}'])
def test_what_is_json_is_a_part_of_the_line(library, body):
    said = line(received(body), "message")
    assert said.count(b"\n") == 1
    assert json.loads(said)["payload"] == json.loads(body)


def test_a_payload_is_what_was_sent_on_one_line(library):
    assert line(received(b"\x1b[31m 1\r\n2"), "payload") == b"\x1b[31m 1  2\n"
    assert line(received(ENVELOPE), "payload") == ENVELOPE + b"\n"


@pytest.mark.parametrize(
    "body",
    [b"[]", b"3", b'{"data":3}', b'{"data":{"items":{}}}',
     b'{"data":{"items":[3,{"id":1},{"datapoints":3}]}}',
     b'{"data":{"items":[{"datapoints":[4]}]}}'],
)  # fmt: skip
def test_what_is_no_envelope_has_no_points(library, body):
    assert line(received(body), "points") == b""


def test_items_are_taken_out_and_exchanged_and_all_else_stays(library):
    items = items_of(ENVELOPE)
    assert [item["id"] for item in items] == [ID, ID]
    fewer = with_items(ENVELOPE, items[1:])
    expected = json.loads(ENVELOPE)
    del expected["data"]["items"][0]
    assert json.loads(fewer) == expected
    assert with_items(ENVELOPE, items) == ENVELOPE


def test_on_a_terminal_nothing_steers_it():
    evil = '{"a":"\u202e\x9b31m\U000e0001"}\t\x1b]0;\x07 caf\u00e9 \U0001f600\n'.encode()
    assert shown(evil).decode() == (
        '{"a":"\\u202e\\u009b31m\\udb40\\udc01"}\t\\u001b]0;\\u0007 caf\u00e9 \U0001f600\n'
    )
    assert shown(ENVELOPE + b"\n") == ENVELOPE + b"\n"


def nested(depth):
    """An envelope whose second datapoint goes *depth* deep."""
    deep = b"[" * depth + b"]" * depth
    points = b'[{"time":1,"value":2,"status":0},{"time":2,"value":' + deep + b',"status":0}]'
    return b'{"data":{"items":[{"id":"a","datapoints":' + points + b"}]}}"


@pytest.mark.parametrize("depth", [250, 260, 900, 960, 1000, 1020, 5000, 100_000])
def test_a_message_nested_as_deep_as_can_be_is_a_line_and_no_error(library, depth):
    body = nested(depth)
    assert line(received(body), "message").count(b"\n") == 1
    assert line(received(body), "payload") == body + b"\n"
    assert line(received(body), "points").count(b"\n") in (0, 2)
    if items := items_of(body):
        assert with_items(body, items) == body


def test_numbers_that_no_double_holds_are_null_in_datapoints(library):
    body = b'{"data":{"items":[{"id":"a","datapoints":[{"time":1e999,"value":-1e999,"status":0}]}]}}'
    assert line(received(body), "points") == b'{"id":"a","time":null,"value":null,"status":0}\n'
    assert line(received(body), "message").endswith(b',"payload":' + body + b"}\n")


@pytest.mark.parametrize("time_ns", [(2**63 - 1) * 10**6, -(10**20)])
def test_a_time_that_is_in_no_calendar_is_null(time_ns):
    assert json.loads(line(received(b"1", time_ns=time_ns), "message"))["time"] is None

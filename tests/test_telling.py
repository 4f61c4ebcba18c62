"""Findings as people and programs are told them, to the letter."""

from __future__ import annotations

import json

import pytest

from speeddata.avro import schema
from speeddata.findings import FileFindings, Findings, Place
from speeddata.steps import Gap, Summary
from speeddata.telling import lines, record

TANK = schema.parse(
    '{"type":"record","name":"tank","fields":['
    '{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},'
    '{"name":"level","type":["null","double"],"unit":"m","doc":"Above the floor."}]}'
)
NOON_MS = 1_764_763_200_000  # 2025-12-03T12:00:00Z


def steps(gaps=(), *, median=10, missing=0, back=0, repeated=0, count=None):
    places = tuple(Gap(after, after + step) for after, step in gaps)
    return Summary(median, len(places) if count is None else count, missing, places, back, repeated)


def whole(**more) -> Findings:
    """The findings on a second of a tank."""
    found = {
        **{"schema": TANK, "datums": 101, "blocks": 4, "steps": steps()},
        **{"least": NOON_MS * 10**6, "greatest": (NOON_MS + 1000) * 10**6},
        "files": [FileFindings("tank.avro", "tank", "null", size=2048, blocks=4, datums=101)],
    }
    return Findings("tank", **{**found, **more})


def told(found, sequence=None):
    """What people are told of *found* from the range on."""
    text = list(lines(found, sequence))
    return text[next(at for at, line in enumerate(text) if line.startswith("rate")) + 1 :]


def test_a_whole_channel_is_told_in_lines_that_begin_with_what_they_are_about():
    assert list(lines(whole(), None)) == [
        "channel     tank",
        f"schema      tank, fingerprint {TANK.fingerprint}",
        "signals     time   long            ms",
        "            level  double or null  m   Above the floor.",
        "files       1, 2.0 KiB, codec null",
        "datums      101 in 4 blocks",
        "range       2025-12-03T12:00:00.000000000Z to 2025-12-03T12:00:01.000000000Z (1 s)",
        "rate        100/s",
        "gaps        none (median step 10 ms)",
    ]


def test_one_of_a_kind_is_not_told_as_many():
    found = whole(datums=1, blocks=1, steps=steps([(NOON_MS, 20)], missing=1, back=1))
    text = list(lines(found, None))
    assert "datums      1 in 1 block" in text
    assert "gaps        1 (median step 10 ms), 1 sample missing, 1 step back" in text


def test_the_ten_longest_gaps_are_told_in_their_order_and_the_rest_as_a_number():
    gaps = [(NOON_MS + 1000 * n, 20 + n) for n in range(12)]
    text = told(whole(steps=steps(gaps, missing=1234, repeated=2, count=13)))
    assert text[0] == "gaps        13 (median step 10 ms), 1,234 samples missing, 2 repeated"
    assert text[1] == "            22 ms after 2025-12-03T12:00:02.000000000Z"
    assert text[10] == "            31 ms after 2025-12-03T12:00:11.000000000Z"
    assert text[11:] == ["            and 3 shorter ones"]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (15, "15 ms"),
        (2500, "2.5 s"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (12_345_678, "3 h 25 min"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_a_gap_is_as_long_as_people_say(milliseconds, text):
    assert told(whole(steps=steps([(NOON_MS, milliseconds)])))[1] == (
        f"            {text} after 2025-12-03T12:00:00.000000000Z"
    )


def test_a_sequence_counts_in_its_own_unit():
    found = whole(sequence=steps([(49, 11)], median=1, missing=10))
    assert told(found, "counter")[1:] == [
        "sequence    counter: 1 (median step 1), 10 samples missing",
        "            11 after 49",
    ]
    assert told(whole(sequence=steps(median=None)), "counter")[1:] == [
        "sequence    counter: nothing goes forward"
    ]


def test_what_is_torn_damaged_or_undecoded_is_told_with_its_place():
    found = whole(
        damage=[Place("tank.avro", 300, 40)],
        damaged_places=1,
        undecodable=[Place("tank.avro", 1000 + n, 50) for n in range(12)],
        undecodable_blocks=12,
        unreadable=["other.avro: not an Avro container"],
    )
    found.files[0].torn = 9
    text = told(found)
    assert text[1:4] == [
        "torn        tank.avro: the last 9 bytes, at byte 2039",
        "damaged     tank.avro: 40 bytes at byte 300",
        "undecoded   tank.avro: 50 bytes at byte 1000",
    ]
    assert text[12:] == [
        "undecoded   tank.avro: 50 bytes at byte 1009",
        "            and 2 more places",
        "unreadable  other.avro: not an Avro container",
    ]


def test_the_end_of_a_file_that_is_being_written_is_not_torn():
    found = whole()
    found.files[0].torn, found.files[0].writing = 9, True
    text = list(lines(found, None))
    assert "            tank.avro is being written" in text
    assert not any(line.startswith("torn") for line in text)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"received": 9, "lost": 0, "lost_kernel": 0, "lost_disk": 0, "rejected": 0}, "losses      none"),
        (
            {"received": 9, "lost": 4, "lost_kernel": 1, "lost_disk": 0, "rejected": 2},
            "losses      4 lost, 1 lost_kernel, 2 rejected",
        ),
    ],
)
def test_losses_are_told_by_their_kind(counts, text):
    assert told(whole(counts=counts))[-1] == text


def test_what_is_live_is_told_as_its_relay_says():
    said = {"state": "live", "rate_hz": "10.0", "full": "239.1.1.1:26000", "relay": "127.0.0.1:4000"}
    found = Findings("tank", TANK, announced=said)
    assert list(lines(found, None))[-1] == "live        live, 10.0/s by 127.0.0.1:4000  full 239.1.1.1:26000"
    assert "datums" not in record(found, None)


def test_nothing_that_was_found_steers_the_terminal():
    hostile = schema.parse(
        '{"type":"record","name":"r","fields":[{"name":"n","type":"int","unit":"\\u001b[2J","doc":"a\\nb"}]}'
    )
    found = Findings("\x1b[31m", hostile, unreadable=["\x07.avro: bad"])
    assert all(line.isprintable() for line in lines(found, None))


def test_programs_are_told_everything_in_one_line_of_json():
    found = whole(
        steps=steps([(NOON_MS, 20)], missing=1),
        sequence=steps(median=1),
        damage=[Place("tank.avro", 300, 40)],
    )
    found.damaged_places, found.damaged_bytes, found.files[0].torn = 1, 40, 9
    text = json.dumps(record(found, "counter"), allow_nan=False)
    assert "\n" not in text
    said = json.loads(text)
    assert (said["channel"], said["damaged"], said["time_unit"]) == ("tank", True, "ms")
    assert (said["since"], said["until"], said["rate"]) == (
        "2025-12-03T12:00:00.000000000Z",
        "2025-12-03T12:00:01.000000000Z",
        100,
    )
    assert said["damage"] == [{"file": "tank.avro", "offset": 300, "size": 40}]
    assert said["files"][0]["torn"] == {"offset": 2039, "size": 9}
    assert said["gaps"]["longest"] == [
        {
            "after": "2025-12-03T12:00:00.000000000Z",
            "before": "2025-12-03T12:00:00.020000000Z",
            "step": 20,
        }
    ]
    assert said["sequence"]["signal"] == "counter"


def test_an_abscissa_without_a_unit_is_a_number_and_a_time_beyond_the_calendar_too():
    angle = schema.parse('{"type":"record","name":"a","fields":[{"name":"angle","type":"double"}]}')
    found = Findings(
        "a", angle, datums=2, blocks=1, least=0.5, greatest=4.5, steps=steps([(0.5, 4.0)], median=0.5)
    )
    text = list(lines(found, None))
    assert text[-3:] == [
        "range       0.5 to 4.5",
        "gaps        1 (median step 0.5)",
        "            4 after 0.5",
    ]
    assert (record(found, None)["since"], record(found, None)["rate"]) == (0.5, None)
    assert record(whole(greatest=10**30), None)["until"] == 10**30


def test_a_step_beyond_all_time_is_told_as_it_is():
    clock = schema.parse(
        TANK.text.replace('"long","logicalType":"timestamp-millis"', '"double"'), time_unit="s"
    )
    (line,) = told(whole(schema=clock, steps=steps(median=1e301)))
    assert line == "gaps        none (median step 1e+301 s)"

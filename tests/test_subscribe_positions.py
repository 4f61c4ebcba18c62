"""`--position` and `--quality` of `subscribe`, and how far `ls` says that a customer is, by hand."""

from __future__ import annotations

import json

from hxpush_by_hand import NOON, TIME, VOLTS, S, record, samples
from subscribe_by_hand import subscribe

assert subscribe is not None  # a fixture


# -- how far it is -------------------------------------------------------------------------------------------


def test_what_no_run_has_begun_lags_from_its_first_sample_on(subscribe):
    path = subscribe.record(10)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    told = subscribe.ls()
    assert (told["lag_s"], told["lag_bytes"]) == (9.0, path.stat().st_size)
    assert told["positions"][0] | {"directory": None} == {
        **{"directory": None, "channel": "rig", "file": path.name, "block": 0, "time": None},
        **{"lag_s": 9.0, "lag_bytes": path.stat().st_size},
    }
    subscribe.ok("run", "--once")
    more = subscribe.record(5, channel="pump")
    subscribe.ok("add", "pump/*", "--position", "beginning")
    told = subscribe.ls()
    assert (told["lag_s"], told["lag_bytes"]) == (4.0, more.stat().st_size)


def test_what_is_wanted_from_now_on_does_not_lag_before_it_comes(subscribe):
    subscribe.record(10)
    subscribe.ok("add", "rig/volts")
    told = subscribe.ls()
    assert (told["lag_s"], told["lag_bytes"]) == (0.0, 0)
    subscribe.record(10, channel="pump")
    assert [each["channel"] for each in subscribe.ls()["positions"]] == ["rig"]


def test_the_recording_in_which_nobody_was_yet_can_be_named(subscribe):
    subscribe.record(10)
    (subscribe.directory / "data").rename(subscribe.directory / "elsewhere")
    subscribe.ok("add", "rig/volts", "--position", "beginning", "--from", "elsewhere")
    assert subscribe.ls()["lag_s"] is None
    told = json.loads(subscribe.ok("ls", "--json", "--from", "elsewhere"))
    assert told["lag_s"] == 9.0
    subscribe.ok("run", "elsewhere", "--once")
    subscribe.record(5)  # another recording, which nothing is delivered from
    assert subscribe.ls()["lag_s"] == 0.0


def test_a_recording_that_is_none_is_told(subscribe):
    subscribe.record(1)
    subscribe.ok("add", "rig/volts")
    status, out, err = subscribe("ls", "--json", "--from", "nowhere")
    assert (status, json.loads(out)["lag_s"]) == (0, None)
    assert err == "speeddata: nowhere: is no directory; name the recording of a relay with --from\n"


# -- a position that is set ----------------------------------------------------------------------------------


def numbers(subscribe, *args):
    points = [json.loads(each) for each in subscribe.ok("listen", "--points", *args).splitlines()]
    return [each["value"] for each in points]


def test_a_position_sets_back_what_is_delivered_already(subscribe):
    subscribe.record(5)
    path = subscribe.record(5, first=5)
    subscribe.ok("set", input="-")
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    first = subscribe.ok("run", "--once").splitlines()
    assert len(first) == 2
    assert subscribe.ok("run", "--once") == ""
    status, out, err = subscribe("add", "rig/volts", "--position", "2024-06-01T12:00:05Z", "-v")
    assert (status, out) == (0, "")
    assert "rig: goes back, and sends again what was sent since then" in err
    told = subscribe.ls()
    assert told["subscriptions"][0]["since"] == "2024-06-01T12:00:05.000000000Z"
    assert (told["lag_s"], told["lag_bytes"]) == (4.0, path.stat().st_size)
    assert subscribe.ok("run", "--once").splitlines() == first[1:]  # the same message, with the same id


def test_a_resend_is_known_by_its_ids(subscribe):
    subscribe.record(5)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--once")
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    assert json.loads(subscribe("run", "--once", "--json")[1])["messages"] == 1
    assert numbers(subscribe) == [0, 1, 2, 3, 4]  # the log has it once


def test_a_signal_more_sends_the_past_of_its_channel_and_samples_tell_what_was_there(subscribe):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--once")
    subscribe.ok("add", "rig/note", "--position", "beginning")
    assert [each["since"] for each in subscribe.ls()["subscriptions"]] == [None, None]
    subscribe.ok("run", "--once")
    assert numbers(subscribe) == [0, 1, 2, 0, 1, 2, "n0", "n1", "n2"]
    assert numbers(subscribe, "--name", "two", "--dedup", "10m") == [0, 1, 2, "n0", "n1", "n2"]


def test_a_position_that_is_later_leaves_out_what_waits_and_says_so(subscribe):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--once")
    subscribe.record(3, first=3)
    subscribe.record(3, first=6)
    status, _, err = subscribe("add", "rig/volts", "--position", "2024-06-01T12:00:06Z")
    assert (status, err) == (
        0,
        "speeddata: rig: goes on later than it was; what lies between is never sent\n",
    )
    subscribe.ok("run", "--once")
    assert numbers(subscribe) == [0, 1, 2, 6, 7, 8]


def test_a_channel_whose_unit_of_time_only_run_knows_keeps_its_position_and_that_is_told(subscribe):
    record(subscribe.directory / "data", "rig", [{"name": "time", "type": "long"}, VOLTS], samples(3))
    told = (
        "speeddata: rig: its schema tells no unit of time, without which nothing of it is sent; "
        "tell it by `run --time-unit`\n"
    )
    assert subscribe("add", "rig/volts", "--position", "beginning") == (0, "", told)
    subscribe.ok("run", "--once", "--time-unit", "ns")
    assert numbers(subscribe) == [0, 1, 2]
    stays = (
        "speeddata: rig: its schema tells no unit of time, so its position stays; "
        "let `run --position` with --time-unit set it\n"
    )
    assert subscribe("add", "rig/volts", "--position", "beginning") == (0, "", stays + told)
    subscribe.ok("run", "--once", "--time-unit", "ns", "--position", "beginning")
    assert subscribe.ls()["datapoints"] == 6  # sent again; the log drops what has the same id


def test_a_recording_that_is_away_keeps_its_position_and_that_is_told(subscribe):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--once")
    (subscribe.directory / "data").rename(subscribe.directory / "away")
    told = f"speeddata: {subscribe.directory / 'data'}: is not there now; positions in it stay as they are\n"
    assert subscribe("add", "rig/volts", "--position", "beginning") == (0, "", told)
    assert subscribe("add", "pump/volts", "--position", "beginning") == (0, "", "")


def test_without_a_position_what_is_there_stays_where_it_is(subscribe):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--once")
    subscribe.record(3, first=3)
    subscribe.ok("add", "rig/volts")
    assert subscribe.ls()["subscriptions"][0]["since"] is None
    subscribe.ok("run", "--once")
    assert numbers(subscribe) == [0, 1, 2, 3, 4, 5]


def test_no_position_is_set_under_a_run(subscribe, wait_for):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    running = subscribe.start("run")
    wait_for(lambda: subscribe.ls()["datapoints"] == 3)
    status, out, err = subscribe("add", "rig/*", "--position", "beginning")
    assert (status, out, err) == (
        1,
        "",
        "speeddata: --position: a run is delivering rig to default, so that no position can be set; "
        "stop the run, set it, and start the run again\n",
    )
    assert [each["signal"] for each in subscribe.ls()["subscriptions"]] == ["rig/volts"]
    subscribe.record(3, channel="pump")
    subscribe.ok("add", "pump/volts", "--position", "beginning")  # of which nothing was delivered
    wait_for(lambda: subscribe.ls()["datapoints"] == 6)
    assert running.terminate() == 0


# -- what is told --------------------------------------------------------------------------------------------


def test_a_signal_for_the_status_that_no_channel_has_is_told_once(subscribe):
    for channel in ("rig", "pump"):
        subscribe.record(3, channel=channel)
        subscribe.record(3, first=3, channel=channel)
    subscribe.ok("add", "*/*", "--position", "beginning")
    status, _, err = subscribe("run", "--once", "--quality", "state")
    told = "no channel that is wanted has such a signal yet; every status is that of a good value"
    assert (status, err) == (0, f"speeddata: default: --quality state: {told}\n")


def test_a_signal_for_the_status_that_one_channel_has_is_as_it_should_be(subscribe):
    subscribe.record(3)
    rows = [{"time": NOON + n * S, "volts": float(n), "state": 64} for n in range(3)]
    record(subscribe.directory / "data", "pump", [TIME, VOLTS, {"name": "state", "type": "int"}], rows)
    subscribe.ok("add", "*/volts", "--position", "beginning")
    subscribe.ok("run", "--once", "--quality", "state")
    points = [json.loads(each) for each in subscribe.ok("listen", "--points").splitlines()]
    assert sorted({each["status"] for each in points}) == [64, 192]

"""`subscribe set`, `add`, `rm`, `ls` and `ids`: what they keep, what they show, and what they never show."""

from __future__ import annotations

import json
import os
import stat

import pytest
from subscribe_by_hand import NOTE_ID, VOLTS_ID, subscribe

assert subscribe is not None  # a fixture

SECRET = "c2VjcmV0LWtleQ=="
EVENT_HUB = (
    "Endpoint=sb://plant.example.com/;SharedAccessKeyName=send;"
    f"SharedAccessKey={SECRET};EntityPath=speed"
)  # fmt: skip


def everything_of(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


# -- set -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["standard input", "file"])
def test_a_connection_string_is_kept_for_its_owner_alone(subscribe, how):
    if how == "file":
        (subscribe.directory / "hub.txt").write_text(EVENT_HUB)
        subscribe.ok("set", "--customer", "cloud", "--from-file", "hub.txt")
        (subscribe.directory / "hub.txt").unlink()
    else:
        subscribe.ok("set", "--customer", "cloud", input=EVENT_HUB + "\n")
    (kept,) = [path for path in everything_of(subscribe.directory) if SECRET.encode() in path.read_bytes()]
    assert kept == subscribe.config / "speeddata" / "destinations" / "cloud"
    assert kept.read_text() == EVENT_HUB + "\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_it_is_shown_without_its_secret(subscribe):
    status, out, err = subscribe("set", "--customer", "cloud", "-v", input=EVENT_HUB)
    assert (status, out) == (0, "")
    shown = "Endpoint=sb://plant.example.com/;SharedAccessKeyName=send;SharedAccessKey=***;EntityPath=speed"
    assert shown in err
    assert subscribe.ls("cloud")["destination"] == shown
    assert SECRET not in err + subscribe.ok("ls") + subscribe.ok("ls", "--json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (EVENT_HUB.replace("EntityPath", "Entity"), "Entity"),
        (f"nats://me:{SECRET}@plant.example.com/SPEED", "insecure=1"),
        (f"ftp://me:{SECRET}@127.0.0.1/SPEED", "sqlite:PATH"),
        ("", "no connection string"),
        (b"\xff\xfe", " text"),
    ],
)
def test_a_string_that_is_none_is_refused_without_being_repeated(subscribe, text, told):
    status, out, err = subscribe("set", "--customer", "cloud", input=text)
    assert (status, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert SECRET not in err
    assert everything_of(subscribe.config) == []


def test_a_string_that_is_given_as_an_argument_is_refused_and_not_repeated(subscribe):
    status, out, err = subscribe("set", "--customer", "x", "nats://u:SECRETPW@127.0.0.1/S")
    assert (status, out) == (2, "")
    assert "pipe it in" in err
    assert "SECRETPW" not in err


def test_others_must_not_read_it(subscribe):
    subscribe.ok("set", "--customer", "cloud", input=EVENT_HUB)
    path = subscribe.config / "speeddata" / "destinations" / "cloud"
    path.chmod(0o640)
    for verb in ("run", "listen", "produce"):
        status, _, err = subscribe(verb, "--customer", "cloud", input="x\n")
        assert (status, err) == (
            2,
            f"speeddata: {path}: others can read the connection string; chmod 600 {path}\n",
        )


def test_a_credential_of_the_service_comes_first(subscribe):
    credentials = subscribe.directory / "credentials"
    credentials.mkdir()
    (credentials / "plant").write_text("sqlite:service.db\n")
    subscribe.ok("produce", "--customer", "plant", input="1\n", CREDENTIALS_DIRECTORY=str(credentials))
    assert (subscribe.directory / "service.db").exists()
    status, _, err = subscribe("produce", "--customer", "plant", input="1\n")
    assert (status, err) == (
        2,
        "speeddata: plant: has no destination; pipe its connection string into "
        "`speeddata subscribe set --customer plant`\n",
    )


# -- add and rm ----------------------------------------------------------------------------------------------


def patterns(subscribe, customer="default"):
    return [each["signal"] for each in subscribe.ls(customer)["subscriptions"]]


def test_signals_are_added_as_words_lines_and_the_list_of_the_streaming_api(subscribe):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts")
    subscribe.ok("add", "-", input="RIG/note\n\n  rig/*  \n")
    seed = '[ { "id": "%s" },\n { "id": "EBE027BD-38D1-40EE-ADEB-3E275B073D5D" } ]' % VOLTS_ID  # noqa: UP031
    subscribe.ok("add", "-", input=seed)
    assert patterns(subscribe) == [
        *("rig/volts", "rig/note", "rig/*", VOLTS_ID, "ebe027bd-38d1-40ee-adeb-3e275b073d5d"),
    ]
    assert "1 subscription was there before" in subscribe("add", "-v", "rig/volts")[2]


def test_adding_tells_how_much_that_is(subscribe):
    subscribe.record(11)
    status, _, err = subscribe("add", "-v", "rig/*")
    assert (status, "2 signals, 2/s of datapoints, some 0.00015 MB/s" in err) == (0, True)


@pytest.mark.parametrize(
    ("args", "input", "told"),
    [
        ([], "", "no SIGNAL; name one, such as rig/sine_wave or 'rig/*', or - for a list"),
        (["-"], "[]", "no SIGNAL; name one, such as rig/sine_wave or 'rig/*', or - for a list"),
        (["-"], "[1, 2]", 'standard input: is no list of ids; write lines, or [{"id": "..."}]'),
        (
            ["-"],
            '[{"id": "x"}, // ...\n]',
            'standard input: is no list of ids; write lines, or [{"id": "..."}]',
        ),
        (["-"], b"\xff", 'standard input: is no list of ids; write lines, or [{"id": "..."}]'),
        (["-"], "[" * 100_000, 'standard input: is no list of ids; write lines, or [{"id": "..."}]'),
        (
            ["rig/a", "rig.b"],
            "",
            "'rig.b' is neither a signal nor an id; write CHANNEL/SIGNAL, a glob such as 'rig/*', or an id",
        ),
    ],
)
def test_what_is_no_signal_adds_nothing(subscribe, args, input, told):
    assert subscribe("add", *args, input=input) == (2, "", f"speeddata: {told}\n")
    assert subscribe.ok("ls") == ""


def test_what_is_not_there_yet_is_subscribed_to_and_told(subscribe):
    subscribe.record(1)
    status, _, err = subscribe("add", "--customer", "plant", "pump/*")
    assert status == 0
    assert err.splitlines() == [
        "speeddata: data: has no such signal yet; it is subscribed to all the same",
        "speeddata: plant: has no destination; pipe its connection string into "
        "`speeddata subscribe set --customer plant`",
    ]
    told = subscribe.ls("plant")
    assert (told["destination"], told["state"], told["lag_s"]) == (None, "idle", None)
    assert "none yet" in subscribe.ok("ls")


def test_signals_are_removed_as_they_were_added(subscribe):
    subscribe.ok("add", "rig/volts", "rig/*", "--customer", "default")
    subscribe.ok("rm", "RIG/volts")
    assert patterns(subscribe) == ["rig/*"]
    assert subscribe("rm", "rig/volts") == (
        2,
        "",
        "speeddata: default: is not subscribed to rig/volts; see `speeddata subscribe ls`\n",
    )
    subscribe.ok("rm", "-", input="rig/*\n")
    assert patterns(subscribe) == []


def test_a_customer_is_forgotten_with_its_secret(subscribe):
    subscribe.ok("set", "--customer", "cloud", input=EVENT_HUB)
    subscribe.ok("rm", "--customer", "cloud", "--all")
    assert subscribe.ok("ls") == ""
    assert everything_of(subscribe.config) == []
    assert subscribe("rm", "--customer", "cloud", "--all")[0] == 2


def test_a_subscription_ends_after_its_ttl(subscribe, wait_for):
    subscribe.record(3)
    subscribe.ok("add", "rig/volts", "--position", "beginning", "--ttl", "1ms")
    subscribe.ok("add", "rig/note", "--position", "beginning", "--ttl", "1h")
    wait_for(lambda: [each["signal"] for each in subscribe.ls()["subscriptions"]] == ["rig/note"])
    told = "speeddata: default: the subscription to rig/volts has ended, as --ttl said\n"
    assert subscribe("run", "--once") == (0, "", told)
    assert [each["signal"] for each in subscribe.ls()["subscriptions"]] == ["rig/note"]
    assert subscribe.ls()["subscriptions"][0]["expires"] is not None
    points = subscribe.ok("listen", "--points").splitlines()
    assert [json.loads(each)["value"] for each in points] == ["n0", "n1", "n2"]


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "a" * 65])
def test_a_customer_cannot_be_a_path(subscribe, name):
    for verb in ("set", "run", "listen", "produce", "add"):
        args = [verb, "rig/volts"] if verb == "add" else [verb]
        status, _, err = subscribe(*args, "--customer", name, input="sqlite:x")
        assert (status, "is no name of a customer" in err) == (2, True), verb
    assert not (subscribe.config / "speeddata" / "x").exists()


# -- ls ------------------------------------------------------------------------------------------------------


def test_the_lag_goes_to_zero(subscribe):
    subscribe.record(10)
    subscribe.ok("add", "rig/*", "--position", "beginning")
    subscribe.ok("run", "--once")
    path = subscribe.record(10, first=10)
    told = subscribe.ls()
    assert (told["lag_s"], told["lag_bytes"]) == (10.0, path.stat().st_size)
    assert told["datapoints"] == 20
    subscribe.ok("run", "--once")
    told = subscribe.ls()
    assert (told["lag_s"], told["lag_bytes"], told["datapoints"]) == (0.0, 0, 40)
    assert subscribe.ok("ls").splitlines()[1].split()[6:12] == ["idle", "0.0", "s", "0", "B", "40"]


def test_a_channel_that_is_wanted_no_more_does_not_lag(subscribe):
    for channel in ("rig", "pump"):
        subscribe.record(10, channel=channel)
    subscribe.ok("add", "rig/*", "pump/*", "--position", "beginning")
    subscribe.ok("run", "--once")
    subscribe.ok("rm", "pump/*")
    subscribe.record(10, first=10, channel="pump")
    told = subscribe.ls()
    assert (told["lag_s"], told["lag_bytes"]) == (0.0, 0)


def test_nothing_is_shown_of_who_is_not_there(subscribe):
    assert subscribe.ok("ls", "--json") == ""
    for form in ([], ["--json"]):
        assert subscribe("ls", "--customer", "nobody", *form) == (
            2,
            "",
            "speeddata: nobody: is no customer; see `speeddata subscribe ls`\n",
        )


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("add", "rig/*", "--ttl", "0"), "--ttl: ends before it begins; leave it out, or write more"),
        (("add", "rig/*", "--position", "x"), "--position: 'x' is no moment; write "),
        (("rm", "--all", "--customer", "nobody"), "nobody: is no customer; see `speeddata subscribe ls`"),
        (("set", "--from-file", "gone.txt"), "gone.txt: No such file or directory"),
        (("set", "nats://u:p@127.0.0.1/X"), "subscribe set: takes no connection string as an argument"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(subscribe, args, line):
    status, out, err = subscribe(*args)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"speeddata: {line}")


def test_the_default_customer_has_the_log_of_this_machine(subscribe):
    subscribe.ok("add", "rig/*")
    assert subscribe.ls()["destination"] == "the log of this machine"


# -- ids -----------------------------------------------------------------------------------------------------


def test_ids_are_made_of_names(subscribe):
    subscribe.record(1)
    assert subscribe.ok("ids") == f"{VOLTS_ID}\trig/volts\tV\n{NOTE_ID}\trig/note\t\n"
    assert subscribe.ok("ids", "RIG/v*", "--from", str(subscribe.directory / "data")).count("\n") == 1
    assert subscribe.ok("ids", "rig/*", "--json") == (
        f'{{"id": "{VOLTS_ID}", "channel": "rig", "signal": "volts", "unit": "V"}}\n'
        f'{{"id": "{NOTE_ID}", "channel": "rig", "signal": "note", "unit": null}}\n'
    )


def test_an_id_from_elsewhere_takes_its_place_and_stays(subscribe):
    subscribe.record(3)
    own = "f69ec89b-494b-4e07-9da2-7c89489e3346"
    subscribe.ok("ids", "--set", f"rig/volts={own.upper()}")
    assert subscribe.ok("ids", "rig/volts") == f"{own}\trig/volts\tV\n"
    subscribe.ok("add", own, "--position", "beginning")
    subscribe.ok("run", "--once")
    points = [json.loads(each) for each in subscribe.ok("listen", "--points").splitlines()]
    assert points[0] == {"id": own, "time": "2024-06-01T12:00:00.000Z", "value": 0.0, "status": 192}
    assert len(points) == 3
    status, _, err = subscribe("ids", "--set", f"rig/note={own}")
    assert (status, own in err) == (2, True)


@pytest.mark.parametrize("text", ["rig/volts", "rig=2", "rig/volts=12", f"=/{VOLTS_ID}", f"volts={VOLTS_ID}"])
def test_what_gives_no_id_is_refused(subscribe, text):
    status, _, err = subscribe("ids", "--set", text, "--from", ".")
    assert (status, err) == (2, f"speeddata: --set: '{text}' gives no id; write CHANNEL/SIGNAL=UUID\n")


def test_ids_of_no_recording_say_so(subscribe):
    assert subscribe("ids") == (
        0,
        "",
        "speeddata: data: is no directory; name the recording of a relay with --from\n",
    )


def test_no_secret_is_in_any_list_of_processes(subscribe, wait_for):
    subscribe.record(1)
    subscribe.ok("set", "--customer", "cloud", input=EVENT_HUB.replace("plant.example.com", "127.0.0.1"))
    subscribe.ok("add", "--customer", "cloud", "rig/*", "--position", "beginning")
    running = subscribe.start("run", "--customer", "cloud", "-v")
    wait_for(lambda: subscribe.ls("cloud")["last_error"])
    for name in ("cmdline", "environ"):
        with open(f"/proc/{running.pid}/{name}", "rb") as file:
            assert SECRET.encode() not in file.read()
    assert running.terminate() == 0
    assert SECRET not in (running.stderr.rest() + running.stdout.rest()).decode()
    world = [path for path in everything_of(subscribe.state) if SECRET.encode() in path.read_bytes()]
    assert world == []
    assert SECRET not in subscribe.ok("ls", "--json")
    assert os.environ.get("XDG_STATE_HOME") != str(subscribe.state)

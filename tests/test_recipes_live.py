"""man/speeddata-recipes.md, taken out of the page and run: a Pi, hosts, a bridge, jq and Miller, stages."""

from __future__ import annotations

import json
import re

import h5py
import pytest
from by_hand import recordings, records
from hosts import host, needs, needs_root
from recipes import PAGE, ROOT, block, replaced

assert host is not None  # a fixture

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture
def rig(host):
    """A host whose relay records the channel of the page."""
    one = host()
    one.start(block("begin") + "wait")
    one.hear("rig", lambda said: int(said["received"]) > 200)
    return one


# --- Raspberry Pi -----------------------------------------------------------------------------------------


@needs_root
def test_a_small_host_sends_to_a_relay_elsewhere_and_writes_nothing(host, tmp_path):
    relays, small = host(), host()
    relays.link("eth0", "10.0.0.1", small, "eth0", "10.0.0.2")
    relays.start("speeddata relay -o rec")
    for name, begins in (("host.py", "import itertools"), ("host.avsc", '{"type": "record", "name": "host"')):
        (text,) = re.findall(rf"^```\w+\n({re.escape(begins)}.*?)^```$", README, re.DOTALL | re.MULTILINE)
        (tmp_path / name).write_text(text)
    before = {path.name for path in tmp_path.iterdir()}
    small.start(replaced(block("pi-send"), ("host.py", "host.py 0.05")))
    relays.hear("pi", lambda said: int(said["received"]) > 3)
    assert {path.name for path in tmp_path.iterdir()} - before <= {"rec"}


@needs_root
def test_a_thin_recording_keeps_the_extremes_of_what_is_served_in_full(host, tmp_path):
    one = host()
    one.start(block("pi-serve"))
    one.start("speeddata send --demo --name rig --rate 500")
    one.hear("rig")
    one.start(block("pi-thin"))
    slow = one.hear("rig.slow", lambda said: int(said["received"]) >= 4)
    full = one.hear("rig")
    assert int(slow["received"]) < int(full["received"]) / 50
    assert [path.name for path in (tmp_path / "rec").iterdir() if path.is_dir()] == ["rig.slow"]


# --- hosts ------------------------------------------------------------------------------------------------


@pytest.fixture
def hosts(host):
    """A host with a relay, and one on each of its two interfaces."""
    relays, first, second = host(), host(), host()
    relays.link("eth1", "10.0.1.1", first, "eth1", "10.0.1.2")
    relays.link("eth2", "10.0.2.1", second, "eth1", "10.0.2.2")
    return relays, first, second


PLAIN_MEMBER = """
import socket, struct
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("239.1.1.3", 25999))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.1.3") + bytes(4))
print("joined", flush=True)
print(len(sock.recv(65507)))
"""


@needs_root
def test_hosts_of_both_interfaces_hear_a_relay_and_its_own_host_too(hosts):
    relays, first, second = hosts
    relays.start(block("hosts-relay"))
    first.start(block("hosts-source"))
    relays.hear("rig")
    for each in (first, second):
        heading, line, *rows = each.run(block("hosts-reader")).splitlines()
        assert heading.split()[0] == "channel"
        assert line.split()[:2] == ["rig", "live"]
        assert [set(json.loads(row)) > {"time", "sine_wave"} for row in rows] == [True] * 3
        listed = each.run("speeddata ls --json").splitlines()  # without a word on interfaces
        assert [json.loads(row)["channel"] for row in listed] == ["rig"]
    assert len(relays.run("speeddata ls --json").splitlines()) == 1, "a relay is one by three interfaces, too"
    assert relays.run("speeddata tap rig -c 1 -f json")

    member = second.start(f"exec python -c '{PLAIN_MEMBER}'")
    assert "No such device" in member.communicate(timeout=20)[1]
    second.run(block("hosts-route"))
    assert second.lines(f"exec python -c '{PLAIN_MEMBER}'", 2)[0] == "joined\n"


@needs_root
def test_an_interface_that_is_not_named_hears_nothing(hosts):
    relays, first, second = hosts
    relays.start(replaced(block("hosts-relay"), (" -i eth2", "")))
    first.start(block("hosts-source"))
    relays.hear("rig")
    assert first.run("speeddata tap rig -c 1 -f json")
    deaf = second.start("speeddata tap rig -c 1")
    assert "no relay announced it" in deaf.communicate(timeout=20)[1]
    assert deaf.returncode == 4


# --- a bridge ---------------------------------------------------------------------------------------------


@needs_root
def test_a_bridge_thins_to_a_group_and_passes_on_in_full_to_another_network(host, tmp_path):
    here, far = host(), host()
    here.link("eth2", "10.0.2.1", far, "eth1", "10.0.2.2")
    here.start(block("begin") + "wait")
    here.hear("rig")
    here.start(block("bridge-thin"))
    here.start(block("bridge-full"))
    relay = block("bridge-relay")
    here.start(replaced(relay, ("-o far", "-o near")))
    far.start(relay)
    near = here.hear("rig.thin", lambda said: int(said["received"]) > 4)
    beyond = far.hear("rig.copy", lambda said: int(said["received"]) > 500)
    assert (near["lost"], beyond["lost"]) == ("0", "0")
    thin = [json.loads(line) for line in here.run(block("bridge-tap")).splitlines()]
    assert abs(thin[1]["counter"] - thin[0]["counter"]) < 100
    assert recordings(tmp_path / "far", "rig.copy")
    assert not (tmp_path / "far" / "rig.thin").exists(), "what goes by loopback stays there"


# --- jq and Miller ----------------------------------------------------------------------------------------


@needs_root
@needs("jq")
def test_an_alert_comes_once_for_each_change(rig):
    alerts = [json.loads(line) for line in rig.lines(block("alert"), 3)]
    assert [each["alert"] for each in alerts] in ([True, False, True], [False, True, False])
    for each in alerts:
        assert (0.7 < each["sine_wave"] < 0.72) if each["alert"] else (0.28 < each["sine_wave"] <= 0.3)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", each["time"])


@needs_root
@needs("mlr")
def test_statistics_of_each_second(rig, tmp_path):
    rig.hear("rig", lambda said: int(said["received"]) > 1600)
    heading, *rows = [line.split() for line in rig.run(block("statistics")).splitlines()]
    assert heading[:3] == ["second", "sine_wave_count", "sine_wave_min"]
    assert [row[1] for row in rows[1:-1]] == ["500"] * (len(rows) - 2) != []
    assert all(-1 <= float(row[2]) < float(row[5]) <= 1 for row in rows)
    (line,) = re.findall("`(speeddata decimate rec/.*?)`", PAGE)
    assert len(rig.run(line).splitlines()) >= 1 + len(rows)


@needs_root
@needs("mlr", "jq")
def test_values_are_joined_with_tables_as_they_come(rig, tmp_path):
    (tmp_path / "signals.csv").write_text(block("signals.csv"))
    (tmp_path / "words.json").write_text(block("words.json"))
    for line in rig.lines(block("enrich"), 4):
        row = json.loads(line)
        assert row["place"] == {"sine_wave": "bearing 1", "noise": "bearing 2"}[row["signal"]]
        assert row["over"] == (row["value"] > row["limit"])
    for line in rig.lines(block("enrich-jq"), 2):
        row = json.loads(line)
        assert row["state"] == {"rising": "pump on", "falling": "pump off"}[row["message"]]


# --- a stage ----------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize(("program", "line"), [("stage.py", "stage"), ("door.py", "door")])
def test_a_stage_of_lines_makes_a_channel_of_its_own(rig, tmp_path, program, line):
    texts = {"stage.py": block("stage.py"), "door.py": block("door.py")}
    (tmp_path / program).write_text(texts[program])
    (tmp_path / "power.avsc").write_text(block("power.avsc"))
    rig.start({"stage": block("stage"), "door": block("door")}[line])
    rig.hear("power", lambda said: int(said["received"]) > 300)
    squares = {
        row["time"]: row["sine_wave"] ** 2 / 50 for row in records(*recordings(tmp_path / "rec", "rig"))
    }
    watts = records(*recordings(tmp_path / "rec", "power"))
    assert watts
    for row in watts[:-200]:  # what was sent last may be recorded before that which it was made of
        assert row["power"] == pytest.approx(squares[row["time"]])


@needs_root
def test_a_stage_of_containers_fits_between_two_commands(rig, tmp_path):
    (tmp_path / "avrostage.py").write_text(block("avrostage.py"))
    (tmp_path / "power.avsc").write_text(block("power.avsc"))
    rig.run(replaced(block("avrostage"), ("-d 5", "-d 1")))
    with h5py.File(tmp_path / "power.h5") as file:
        assert set(file["power"]) == {"time", "power"}
        assert file["power/power"].attrs["units"] == "W"
        assert 0.019 < file["power/power"][:].max() <= 0.02

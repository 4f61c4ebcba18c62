"""`subscribe listen` as people and scripts run it: what it writes, what it acknowledges, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import sys

import pytest
from brokers import nats_server
from conftest import ROOT
from subscribe_by_hand import VOLTS_ID, subscribe

assert subscribe is not None  # a fixture

README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture
def ten(subscribe):
    """Ten messages, 0 to 9."""
    subscribe.ok("produce", input="".join(f"{n}\n" for n in range(10)))
    return subscribe


@pytest.fixture
def delivered(subscribe):
    """Ten samples of volts in the log."""
    subscribe.record(10)
    subscribe.ok("add", "rig/volts", "--position", "beginning")
    subscribe.ok("run", "--once")
    return subscribe


def payloads(subscribe, *args):
    return subscribe.ok("listen", "--payload-only", *args).split()


def numbers(first, end):
    return [str(n) for n in range(first, end)]


# -- what is written -----------------------------------------------------------------------------------------


def test_a_payload_is_the_envelope_of_the_streaming_api(delivered):
    out = delivered.ok("listen", "--payload-only")
    assert out.startswith(
        f'{{"data":{{"items":[{{"id":"{VOLTS_ID}","datapoints":['
        '{"time":"2024-06-01T12:00:00.000Z","value":0.0,"status":192},'
        '{"time":"2024-06-01T12:00:01.000Z","value":1.0,"status":192},'
    )
    assert out.endswith(']}]},"schema":"equinor/plant/schemas/ingest/datapoints_v2"}\n')


def test_points_are_lines(delivered):
    assert delivered.ok("listen", "--points").splitlines()[9] == (
        f'{{"id":"{VOLTS_ID}","time":"2024-06-01T12:00:09.000Z","value":9.0,"status":192}}'
    )


def test_a_message_says_which_it_is(delivered):
    (path,) = (delivered.directory / "data" / "rig").glob("*.avro")
    told = json.loads(delivered.ok("listen"))
    assert (told["sequence"], told["topic"], told["key"]) == ("1", "default", "rig")
    sync, block, part, rev = told["id"].split(":")
    assert bytes.fromhex(sync) == path.read_bytes()[-16:]
    assert (part, rev.isdigit()) == ("0", True)
    assert int(block) < path.stat().st_size


def test_points_and_payload_exclude_each_other(subscribe):
    status, _, err = subscribe("listen", "--points", "--payload-only")
    assert (status, err.count("\n")) == (2, 1)


# -- positions -----------------------------------------------------------------------------------------------


def test_a_name_goes_on_behind_what_it_read(ten):
    assert payloads(ten, "--name", "a", "-c", "4") == numbers(0, 4)
    assert payloads(ten, "--name", "a", "--more", "2") == numbers(4, 10)
    assert payloads(ten, "--name", "a") == []
    assert payloads(ten, "--name", "b") == numbers(0, 10)


@pytest.mark.parametrize(
    ("position", "first"),
    [("beginning", 0), ("end", 10), ("sequence:8", 7), ("-1h", 0), ("now", 10), ("unread", 5)],
)
def test_a_position_is_where_it_begins(ten, position, first):
    payloads(ten, "-c", "5")
    assert payloads(ten, "--position", position) == numbers(first, 10)


@pytest.mark.parametrize("position", ["sequence:", "sequence:x", "tomorrow", ""])
def test_a_position_that_is_none_is_refused(ten, position):
    assert ten("listen", "--position", position)[:2] == (2, "")


def test_the_log_says_that_it_has_no_shared_consumers(ten):
    assert ten("listen", "--mode", "shared") == (
        2,
        "",
        "speeddata: the embedded log has no shared consumers; use NATS or Kafka for them\n",
    )


def test_a_name_is_one_listeners_at_a_time(ten):
    first = ten.start("listen", "--follow", "--payload-only")
    assert first.stdout.lines(10) == numbers(0, 10)
    status, out, err = ten("listen")
    assert (status, out) == (4, "")
    assert "another consumer is 'listen'; stop it, or give this one a name of its own" in err


# -- ends ----------------------------------------------------------------------------------------------------


def test_following_ends_by_ctrl_c_by_time_and_by_count_which_is_no_failure(ten):
    running = ten.start("listen", "--follow", "--payload-only")
    assert running.stdout.lines(10) == numbers(0, 10)
    ten.ok("produce", input="10\n")
    assert running.stdout.line() == "10"
    assert running.interrupt() == 0
    assert ten.start("listen", "--follow", "-d", "100ms").wait() == 0
    ten.ok("produce", input="11\n")
    assert payloads(ten, "--follow", "-c", "1") == ["11"]


def test_a_reader_that_leaves_ends_it_also_while_nothing_comes(ten):
    status, out, err = ten.shell("speeddata subscribe listen --follow --payload-only | head -3")
    assert (status, out.split(), err) == (0, numbers(0, 3), "")
    running = ten.start("listen", "--follow", "--payload-only", "--name", "b")
    assert running.stdout.lines(10) == numbers(0, 10)
    running.process.stdout.close()
    assert running.wait() == 0
    assert payloads(ten, "--name", "b") == []


def test_a_customer_without_a_destination_is_refused(subscribe):
    assert subscribe("listen", "--customer", "plant") == (
        2,
        "",
        "speeddata: plant: has no destination; pipe its connection string into "
        "`speeddata subscribe set --customer plant`\n",
    )


def test_a_library_that_is_missing_is_named_with_its_cure(subscribe):
    blocked = subscribe.directory / "blocked" / "nats"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ImportError('blocked')\n")
    subscribe.ok("set", input="nats://127.0.0.1:4222/SPEED")
    running = subscribe.start("listen", env={"PYTHONPATH": f"{blocked.parent}{os.pathsep}{ROOT}"})
    assert running.wait() == 2
    assert running.stderr.rest().decode() == (
        "speeddata: nats://127.0.0.1:4222/SPEED: "
        "needs nats, which is not installed; pip install 'speeddata[nats]'\n"
    )


def test_lines_of_a_run_are_listened_to_through_a_pipe(subscribe):
    subscribe.record(3)
    subscribe.ok("set", "--customer", "text", input="-")
    subscribe.ok("add", "--customer", "text", "rig/volts", "--position", "beginning")
    status, out, err = subscribe.shell(
        "speeddata subscribe run --customer text --once | speeddata subscribe listen --customer text --points"
    )
    assert (status, err) == (0, "")
    assert [json.loads(line)["value"] for line in out.splitlines()] == [0.0, 1.0, 2.0]


# -- --exec --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_read_process_produce_and_acknowledge_in_a_line_of_shell(subscribe):
    subscribe.ok("produce", "--topic", "raw", input='{"temp": 10}\n{"temp": 11}\n')
    status, out, err = subscribe.shell(
        "speeddata subscribe listen --topic raw --name norm --payload-only "
        "--exec \"jq -c '.processed=true' | speeddata subscribe produce --topic refined\""
    )
    assert (status, out.split(), err) == (0, ["3", "4"], "")
    assert subscribe.ok("listen", "--topic", "refined", "--payload-only").splitlines() == [
        '{"temp":10,"processed":true}',
        '{"temp":11,"processed":true}',
    ]


def test_what_a_command_refuses_it_gets_again_and_what_it_never_took_the_next_one(ten):
    command = "cat >> got; test -e ok || { touch ok; exit 3; }"
    status, out, err = ten("listen", "--payload-only", "-c", "5", "--exec", command)
    assert (status, out) == (0, "")
    assert re.fullmatch(r"speeddata: --exec: the command ended with status 3; again in 0\.\d s\n", err)
    assert (ten.directory / "got").read_text().split() == numbers(0, 5) * 2
    running = ten.start("listen", "--payload-only", "--exec", "false")
    assert "ended with status 1" in running.stderr.line()
    assert running.terminate() == 143
    assert payloads(ten) == numbers(5, 10)


def test_ctrl_c_lets_a_command_finish_what_it_has(ten):
    command = "cat > got.new; echo began; while ! test -e go; do sleep 0.01; done; mv got.new got"
    running = ten.start("listen", "--follow", "--payload-only", "--exec", command)
    assert running.stdout.line() == "began"
    os.killpg(running.pid, 2)  # as a terminal does it
    (ten.directory / "go").touch()
    assert running.wait() == 0
    assert (ten.directory / "got").read_text().split() == numbers(0, 10)
    assert payloads(ten) == []


# -- duplicates ----------------------------------------------------------------------------------------------


def test_duplicates_are_left_out_over_restarts_by_id_and_by_datapoint(delivered):
    args = ("listen", "--points", "--dedup", "1h", "--checkpoint", "place", "--name", "a")
    assert delivered.ok(*args).count("\n") == 10
    again = delivered.ok("listen", "--payload-only", "--name", "b")
    delivered.ok("produce", input=again)  # the same datapoints under another id
    delivered.record(2, first=10)
    delivered.ok("run", "--once")
    values = [json.loads(line)["value"] for line in delivered.ok(*args).splitlines()]
    assert values == [10.0, 11.0]
    assert delivered.ok(*args, "--position", "beginning") == ""
    assert json.loads((delivered.directory / "place").read_text())["sequence"] == "3"


def test_a_checkpoint_leaves_out_nothing_of_another_pipe(subscribe):
    subscribe.ok("set", "--customer", "text", input="-")
    for _ in range(2):
        out = subscribe.ok(
            "listen", "--customer", "text", "--payload-only", "--checkpoint", "place", input="1\n2\n"
        )
        assert out == "1\n2\n"


def test_a_checkpoint_is_the_place_where_the_engine_forgot_it(ten):
    assert payloads(ten, "--checkpoint", "place", "-c", "4") == numbers(0, 4)
    with contextlib.closing(sqlite3.connect(ten.state / "speeddata" / "hub.db")) as connection, connection:
        connection.execute("DELETE FROM consumer")
    assert payloads(ten, "--checkpoint", "place") == numbers(4, 10)


def test_a_checkpoint_of_a_log_that_was_made_anew_hides_nothing_of_it(ten):
    assert payloads(ten, "--checkpoint", "place") == numbers(0, 10)
    for path in (ten.state / "speeddata").glob("hub.db*"):
        path.unlink()
    ten.ok("produce", input="a\nb\n")
    assert payloads(ten, "--checkpoint", "place") == ["a", "b"]


def test_a_checkpoint_is_one_consumers(ten):
    assert payloads(ten, "--checkpoint", "place", "-c", "4") == numbers(0, 4)
    status, out, err = ten("listen", "--checkpoint", "place", "--name", "other")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "place: is the checkpoint of 'listen' of default at " in err
    (ten.directory / "place").write_text("{")
    status, out, err = ten("listen", "--checkpoint", "place")
    assert (status, out) == (3, "")
    assert err == "speeddata: place: is no checkpoint, or damaged; to begin anew, move it away\n"


# -- the whole way -------------------------------------------------------------------------------------------


def test_a_server_that_was_killed_is_waited_for_by_both_ends_and_nothing_is_missing(
    subscribe, wait_for, tmp_path
):
    pytest.importorskip("nats", reason="nats-py is not installed")
    with nats_server(tmp_path / "nats") as server:
        subscribe.ok("set", "--customer", "plant", input=f"nats://127.0.0.1:{server.port}/SPEED\n")
        subscribe.record(5)
        subscribe.ok("add", "--customer", "plant", "rig/volts", "--position", "beginning")
        subscribe.ok("run", "--customer", "plant", "--once")
        running = subscribe.start("run", "--customer", "plant")
        listening = subscribe.start("listen", "--customer", "plant", "--follow", "--points", "--dedup", "1h")
        assert len(listening.stdout.lines(5)) == 5
        server.kill()
        subscribe.record(5, first=5)
        wait_for(lambda: subscribe.ls("plant")["state"] == "unreachable")
        assert subscribe.ls("plant")["lag_s"] == 5.0
        server.start()
        wait_for(lambda: subscribe.ls("plant")["lag_s"] == 0.0)
        values = [json.loads(line)["value"] for line in listening.stdout.lines(5)]
        assert values == [5.0, 6.0, 7.0, 8.0, 9.0]
        assert (running.interrupt(), listening.interrupt()) == (0, 0)


def test_a_fresh_machine_needs_nothing_but_the_line_of_the_readme(subscribe, free_port, channel_name):
    port = free_port()
    script = f"""
        speeddata relay --listen 127.0.0.1:{port} -o data & RELAY=$!
        speeddata send --demo --name {channel_name} --rate 200 --to 127.0.0.1:{port} 2> /dev/null & SEND=$!
        speeddata subscribe add '{channel_name}/*' 2> /dev/null; speeddata subscribe run 2> /dev/null & RUN=$!
        speeddata subscribe listen --name me --follow --points | head
        kill $SEND $RUN $RELAY; wait $SEND $RUN $RELAY
    """
    status, out, err = subscribe.shell(script)
    assert (status, err) == (0, "")
    points = [json.loads(line) for line in out.splitlines()]
    assert len(points) == 10
    assert all(list(point) == ["id", "time", "value", "status"] for point in points)


def test_the_python_of_the_readme_makes_a_table_of_what_was_delivered(delivered):
    pytest.importorskip("pandas", reason="pandas is not installed")
    section = README.partition("\n## Signals for another system\n")[2].partition("\n## ")[0]
    (program,) = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    (delivered.directory / "frames.py").write_text(program)
    status, out, err = delivered.shell(
        f"speeddata subscribe listen --payload-only | {sys.executable} frames.py"
    )
    assert (status, err) == (0, "")
    assert out.startswith(VOLTS_ID)
    assert "2024-06-01 12:00:09+00:00    9.0     192" in out


def test_points_come_quickly(subscribe):
    point = '{"time":"2024-06-01T12:00:00.000Z","value":0.1234567890123,"status":192}'
    body = '{"data":{"items":[{"id":"%s","datapoints":[%s]}]}}\n' % (VOLTS_ID, ",".join([point] * 1000))  # noqa: UP031
    subscribe.ok("produce", input=body * 100)
    before = os.times().children_user
    assert subscribe.ok("listen", "--points").count("\n") == 100_000
    assert (
        os.times().children_user - before < 2.0
    )  # 50,000 a second at the very least; some 500,000 as a rule

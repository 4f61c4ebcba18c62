"""The file of a listener's place: whole after any kill, its stream's alone, and no older one is refused."""

from __future__ import annotations

import json
import time

import pytest
from test_subscription_listening import HOUR_NS, PAYLOAD, Scripted, envelope, message, out

from speeddata.errors import DataError, HostError, UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.checkpoints import Checkpoint, Whose
from speeddata.subscription.dedup import Dedup
from speeddata.subscription.destinations import Destination
from speeddata.subscription.listening import Wish, listen

assert out is not None  # a fixture

MINE = Whose(("127.0.0.1:4222",), "SPEED", "plant", "me")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "check"


def remembering(kept):
    """What a listener remembers that begins with *kept*."""
    dedup = Dedup(HOUR_NS)
    if kept.dedup:
        dedup.restore(kept.dedup)
    for news in kept.later:
        dedup.learn(news)
    return dedup


def test_it_remembers_over_restarts(out, path):
    for lots in (
        [[message(1, envelope(1))]],
        [[message(2, envelope(1, 2))], [message(3, envelope(2), id="id2")]],
    ):
        kept = Checkpoint(path)
        listen(Scripted(*lots), Wish("points"), Stop(), into=out, dedup=remembering(kept), checkpoint=kept)
    assert [json.loads(each)["value"] for each in out.lines()] == [1, 2]
    assert Checkpoint(path).sequence == "3"
    assert sorted(p.name for p in path.parent.iterdir()) == ["check", "out"]


class Killed(BaseException):
    """Nothing of ours comes after it."""


@pytest.mark.parametrize("torn", [b"", b'{"sequence":"9"', b"{"])
def test_a_kill_at_the_next_step_forgets_nothing(out, path, monkeypatch, torn):
    kept = Checkpoint(path)
    inlet = Scripted(*([message(number)] for number in range(1, 6)), Killed())
    whole, saved = Checkpoint.save, []

    def save(self, dedup):
        if len(saved) < 1:  # the first one: what follows is killed before the next
            saved.append(whole(self, dedup))

    monkeypatch.setattr(Checkpoint, "save", save)
    monkeypatch.setattr("speeddata.subscription.checkpoints._SAVE_S", 3600.0)
    with pytest.raises(Killed):
        listen(inlet, PAYLOAD, Stop(), into=out, dedup=Dedup(HOUR_NS), checkpoint=kept)
    monkeypatch.undo()
    with path.open("ab") as file:
        file.write(torn)  # a kill within the next line
    kept = Checkpoint(path)
    assert (kept.sequence, len(kept.later)) == ("5", 5)
    again = Scripted([message(number, id=f"id{number - 5}") for number in range(6, 12)])
    assert listen(again, PAYLOAD, Stop(), into=out, dedup=remembering(kept), checkpoint=kept) == 1
    assert out.lines() == ["1", "2", "3", "4", "5", "11"]
    assert len(path.read_bytes().splitlines()) == 1


def test_what_has_no_id_is_remembered_by_its_datapoints():
    dedup, other = Dedup(HOUR_NS), Dedup(HOUR_NS)
    looks = [dedup.look("a", [], 1), dedup.look("", json.loads(envelope(1))["data"]["items"], 1)]
    for look in looks:
        dedup.done(look)
    other.learn(json.loads(json.dumps(dedup.news(looks))))
    assert other.look("a", [], 2).again
    assert other.look("", json.loads(envelope(1, 2))["data"]["items"], 2).dropped == 1
    with pytest.raises(DataError, match="no memory of what was read"):
        other.learn({"now_ns": 1, "messages": [1], "points": []})


def test_a_memory_without_a_listener_for_it_stays(out, path):
    kept = Checkpoint(path)
    listen(Scripted([message(1)]), PAYLOAD, Stop(), into=out, dedup=Dedup(HOUR_NS), checkpoint=kept)
    kept = Checkpoint(path)
    kept.later.append({"now_ns": 1, "messages": ["z"], "points": []})
    listen(Scripted([message(2)]), PAYLOAD, Stop(), into=out, checkpoint=kept)
    dedup = remembering(Checkpoint(path))
    assert dedup.look("id1", [], 1).again
    assert dedup.look("z", [], 1).again


def test_much_is_not_written_at_every_step(out, path, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, dedup: saved.append(self.sequence))
    kept = Checkpoint(path)
    path.touch()
    kept._saved = time.monotonic()
    lots = [[message(number)] for number in range(200)]
    listen(Scripted(*lots), PAYLOAD, Stop(), into=out, dedup=Dedup(HOUR_NS), checkpoint=kept)
    assert len(saved) < 10
    assert saved[-1] == "199"
    saved.clear()  # a place alone is little
    listen(Scripted([message(1)], [message(2)]), PAYLOAD, Stop(), into=out, checkpoint=kept)
    assert saved[1:] == ["1", "2"]


def test_what_is_appended_does_not_grow_without_end(path, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.checkpoints._SAVE_S", 3600.0)
    monkeypatch.setattr("speeddata.subscription.checkpoints._APPEND_BYTES", 1000)
    kept, dedup = Checkpoint(path), Dedup(HOUR_NS)
    kept.save(dedup)
    for number in range(200):
        kept.moved(message(number), dedup, dedup.news([]))
        assert path.stat().st_size < 2000
    kept.close()
    assert Checkpoint(path).sequence == "199"


def test_what_a_stream_that_was_made_anew_has_is_not_taken_for_read(out, path):
    old, new = message(5), message(1)
    kept = Checkpoint(path)
    listen(Scripted([old]), PAYLOAD, Stop(), into=out, checkpoint=kept)
    newer = type(new)(**{**{name: getattr(new, name) for name in new.__slots__}, "time_ns": old.time_ns + 1})
    kept = Checkpoint(path)
    assert listen(Scripted([newer, old]), PAYLOAD, Stop(), into=out, checkpoint=kept, behind=5) == 1
    assert out.lines() == ["5", "1"]


# -- whose it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        Whose(("127.0.0.1:4223",), "SPEED", "plant", "me"),
        Whose(("127.0.0.1:4222",), "OTHER", "plant", "me"),
        Whose(("127.0.0.1:4222",), "SPEED", "mill", "me"),
        Whose(("127.0.0.1:4222",), "SPEED", "plant", "you"),
    ],
)
def test_one_of_another_stream_or_consumer_is_refused(path, other):
    kept = Checkpoint(path)
    kept.belongs(MINE)
    kept.save(None)
    with pytest.raises(UsageError) as told:
        Checkpoint(path).belongs(other)
    assert str(told.value) == (
        f"{path}: is the checkpoint of 'me' of plant at 127.0.0.1:4222/SPEED; "
        f"name another file for {other}, or move this one away"
    )
    more = Whose(("127.0.0.2:4222", "127.0.0.1:4222"), "SPEED", "plant", "me")
    Checkpoint(path).belongs(more)  # the same, with a server more


def test_it_knows_its_stream_by_what_does_not_change(tmp_path):
    def of(text):
        return Whose.of(Destination.parse(text), "plant", "me")

    assert of("nats://127.0.0.1:4222/S").same(of("nats://user:s3cret@127.0.0.1/S"))
    assert "s3cret" not in repr(of("nats://user:s3cret@127.0.0.1/S"))
    hub = "Endpoint=sb://a.b.net/;SharedAccessKeyName=n;SharedAccessKey={};EntityPath=hub"
    assert of(hub.format("old")).same(of(hub.format("new")))
    assert "old" not in repr(of(hub.format("old")))
    assert not of("kafka://127.0.0.1/a").same(of("kafka://127.0.0.1/b"))
    assert not of(f"sqlite:{tmp_path}/a.db").same(of(f"sqlite:{tmp_path}/b.db"))


def test_one_of_an_older_program_is_read_and_belongs_to_who_comes(path):
    path.write_text('{"version":1,"sequence":"7","dedup":{}}')
    kept = Checkpoint(path)
    kept.belongs(MINE)
    assert (kept.sequence, kept.time_ns) == ("7", 0)
    kept.save(None)
    with pytest.raises(UsageError):
        Checkpoint(path).belongs(Whose(("a",), "b", "c", "d"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"version": 2, "sequence": "1", "dedup": {}}',
        '{"version": 1, "sequence": 1, "dedup": {}}',
        '{"version": 1, "sequence": "1", "dedup": {}, "of": {}}',
        '{"version": 1, "sequence": "1", "dedup": {}}\n{"sequence":"2"}\n',
        '{"version": 1, "sequence": "1", "dedup": {}}\n{\n',
        "[" * 100_000,
    ],
)
def test_one_that_is_none_is_told(path, text):
    path.write_text(text)
    with pytest.raises(DataError, match="is no checkpoint, or damaged; to begin anew, move it away"):
        Checkpoint(path)


def test_one_that_cannot_be_is_told_before_anything_left(out, tmp_path):
    inlet = Scripted([message(1)])
    with pytest.raises(HostError, match="check: cannot write: No such file or directory"):
        listen(inlet, PAYLOAD, Stop(), into=out, checkpoint=Checkpoint(tmp_path / "no" / "check"))
    assert (out.lines(), inlet.asked) == ([], [])

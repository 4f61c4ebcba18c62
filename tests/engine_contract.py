"""What every engine promises: the suite that each of them inherits.

A test file of an engine has a class of its own, and the fixture `engine`:

    class TestOurEngine(EngineContract):
        @pytest.fixture
        def engine(self, tmp_path): return Engine("sqlite:...")
"""

from __future__ import annotations

import json
import threading
import time

import pytest
from engine_harness import (
    KILOBYTES_900,
    NOON_NS,
    ROOT,
    WITHIN_S,
    Consumer,
    Engine,
    eventually,
    numbers,
    stopped_within,
    take,
    texts,
    tried,
    until_the_end,
)

from speeddata.subscription.engine import Busy, Inlet, Message, Position, TooLarge, Unsupported

__all__ = [
    "KILOBYTES_900",
    "NOON_NS",
    "ROOT",
    "WITHIN_S",
    "Consumer",
    "Engine",
    "EngineContract",
    "eventually",
    "numbers",
    "stopped_within",
    "take",
    "texts",
    "tried",
    "until_the_end",
]


class EngineContract:
    """The tests; each takes the fixture `engine`, an `Engine`."""

    # -- sending ------------------------------------------------------------------------------------------

    def test_messages_arrive_in_the_order_of_sending_whole(self, engine):
        with engine.outlet() as outlet:
            for first in range(0, 300, 100):
                outlet.send(engine.messages(first, first + 100))
            outlet.send([])
        with engine.inlet() as inlet:
            received = take(inlet, 300)
        assert texts(received) == numbers(0, 300)
        assert [one.id for one in received] == [f"id-{n}" for n in range(300)]
        assert {(one.topic, one.key) for one in received} == {(engine.topic, "rig")}
        assert len({one.sequence for one in received}) == 300

    def test_the_sequence_that_sending_tells_is_the_one_handed_out(self, engine):
        sent = engine.send(0, 5)
        with engine.inlet() as inlet:
            received = [one.sequence for one in take(inlet, 5)]
        assert sent in (received, [""] * 5)

    def test_the_time_is_when_the_engine_took_it(self, engine):
        before = time.time_ns()
        engine.send(0, 1)
        after = time.time_ns()
        with engine.inlet() as inlet:
            (received,) = take(inlet, 1)
        millisecond = 10**6  # some engines keep no more
        assert before - millisecond <= received.time_ns <= after + millisecond

    def test_text_of_all_scripts_and_any_key_pass(self, engine):
        body = json.dumps({"é": "日本 \N{GRINNING FACE}\n", "n": None}, ensure_ascii=False)
        with engine.outlet() as outlet:
            outlet.send([engine.message(body, id="a:0:1", key="Rig-2.x_y"), engine.message("{}", id="b:0:1")])
        with engine.inlet() as inlet:
            first, second = take(inlet, 2)
        assert (first.body.decode(), first.key, first.id) == (body, "Rig-2.x_y", "a:0:1")
        assert second.body == b"{}"

    def test_an_id_that_is_sent_again_does_no_harm(self, engine):
        with engine.outlet() as outlet:
            outlet.send(engine.messages(0, 10))
            outlet.send(engine.messages(5, 15))
        engine.send(0, 15)  # after a crash, say
        if engine.drops:
            engine.send(15, 16)
            assert engine.bodies("me", 16) == numbers(0, 16)
        with engine.inlet("other") as inlet:
            seen = dict.fromkeys(one.id for one in take(inlet, 16 if engine.drops else 35))
        assert list(seen)[:15] == [f"id-{n}" for n in range(15)]

    def test_messages_without_an_id_are_all_kept(self, engine):
        some = [Message("", engine.topic, "rig", text.encode(), NOON_NS) for text in ("a", "b", "a")]
        with engine.outlet() as outlet:
            outlet.send(some)
        with engine.inlet() as inlet:
            received = take(inlet, 3)
        assert [(one.id, one.body) for one in received] == [("", b"a"), ("", b"b"), ("", b"a")]

    def test_bodies_of_900_kilobytes_pass(self, engine):
        bodies = [str(number) * KILOBYTES_900 for number in range(8)]
        with engine.outlet() as outlet:
            outlet.send([engine.message(body, id=f"large:{body[0]}") for body in bodies])
        assert engine.bodies("me", 8) == bodies

    def test_one_that_is_too_large_is_told_and_those_before_it_were_taken(self, engine):
        some = [*engine.messages(0, 2), engine.message("x" * (engine.most_bytes + 1), id="huge")]
        with engine.outlet() as outlet:
            with pytest.raises(TooLarge) as told:
                outlet.send([*some, engine.message("after")])
            assert told.value.id == "huge"
            assert "\n" not in str(told.value)
            outlet.send([engine.message("after")])  # it is of use still
        assert engine.bodies("me", 3) == ["0", "1", "after"]

    def test_two_producers_keep_each_its_order(self, engine):
        def produce(who):
            with engine.outlet() as outlet:
                for number in range(40):
                    outlet.send([engine.message(f"{who}{number}", key=who)])

        threads = [threading.Thread(target=produce, args=(who,)) for who in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        received = engine.bodies("me", 80)
        for who in "ab":
            mine = [text for text in received if text.startswith(who)]
            assert mine == [f"{who}{n}" for n in range(40)]

    def test_topics_are_apart(self, engine):
        other = engine.topics()
        with engine.outlet() as outlet:
            outlet.send([engine.message("1"), engine.message("2", topic=other), engine.message("3")])
        assert engine.bodies("me", 2) == ["1", "3"]
        assert engine.bodies("me", 1, topic=other) == ["2"]

    # -- where a consumer begins --------------------------------------------------------------------------

    def test_unread_begins_with_all_there_is_and_goes_on_behind_what_was_acknowledged(self, engine):
        engine.send(0, 10)
        with engine.inlet() as inlet:
            received = take(inlet, 10)
            inlet.acknowledge(received[:4])
        assert engine.bodies("me", 6) == numbers(4, 10)
        assert engine.bodies("another", 10) == numbers(0, 10)

    def test_beginning_forgets_what_was_acknowledged(self, engine):
        engine.send(0, 5)
        with engine.inlet() as inlet:
            inlet.acknowledge(take(inlet, 5))
        with engine.inlet(position=Position("beginning")) as inlet:
            received = take(inlet, 5)
            assert texts(received) == numbers(0, 5)
            inlet.acknowledge(received[:2])
        assert engine.bodies("me", 3) == numbers(2, 5)

    def test_end_begins_with_what_comes(self, engine):
        engine.send(0, 5)
        with engine.inlet(position=Position("end")) as inlet:
            assert inlet.fetch(1, 0.0) == []
            engine.send(5, 8)
            assert texts(take(inlet, 3)) == numbers(5, 8)

    def test_since_begins_at_the_time_of_taking(self, engine):
        engine.send(0, 3)
        sent = time.time_ns()
        eventually(lambda: time.time_ns() > sent + 10**7)  # some engines keep milliseconds
        since = time.time_ns()
        engine.send(3, 6)
        assert engine.bodies("me", 3, position=Position("since", time_ns=since)) == numbers(3, 6)
        later = time.time_ns() + 3600 * 10**9
        with engine.inlet("later", position=Position("since", time_ns=later)) as inlet:
            assert inlet.fetch(10, 0.1) == []

    def test_sequence_begins_with_that_message(self, engine):
        engine.send(0, 6)
        with engine.inlet() as inlet:
            place = take(inlet, 6)[4].sequence
        assert engine.bodies("other", 2, position=Position("sequence", sequence=place)) == ["4", "5"]

    def test_an_empty_topic_gives_nothing_and_then_what_comes(self, engine):
        with engine.inlet() as inlet:
            begin = time.monotonic()
            assert inlet.fetch(5, 0.3) == []
            assert 0.25 <= time.monotonic() - begin < 3.0
            engine.send(0, 2)
            assert texts(take(inlet, 2)) == ["0", "1"]

    def test_the_wish_to_stop_ends_waiting(self, engine):
        with engine.inlet() as inlet:
            timer = threading.Timer(0.2, engine.stop.ask)
            timer.start()
            begin = time.monotonic()
            assert inlet.fetch(1, WITHIN_S) == []
            assert time.monotonic() - begin < WITHIN_S / 2

    # -- handing out --------------------------------------------------------------------------------------

    def test_no_more_are_handed_out_than_asked_for(self, engine):
        engine.send(0, 10)
        with engine.inlet() as inlet:
            found = []
            while len(found) < 10:
                some = inlet.fetch(3, WITHIN_S)
                assert 1 <= len(some) <= 3
                found += texts(some)
        assert found == numbers(0, 10)

    def test_what_was_given_back_comes_again_and_the_rest_goes_on(self, engine):
        engine.send(0, 4)
        with engine.inlet() as inlet:
            received = take(inlet, 2)
            inlet.acknowledge(received[:1])
            inlet.give_back(received[1:])
            again = take(inlet, 3)
            assert sorted(texts(again)) == numbers(1, 4)
            inlet.acknowledge(again)
        with engine.inlet() as inlet:
            assert inlet.fetch(1, 0.2) == []

    def test_what_was_not_acknowledged_comes_again_after_reopening(self, engine):
        engine.send(0, 6)
        with engine.inlet() as inlet:
            received = take(inlet, 6)
            inlet.acknowledge(received[:3])
        assert engine.bodies("me", 3) == numbers(3, 6)
        engine.send(6, 8)
        with engine.inlet() as inlet:
            received = take(inlet, 5)
            assert texts(received) == numbers(3, 8)
            inlet.acknowledge(received)
        with engine.inlet() as inlet:
            assert inlet.fetch(1, 0.2) == []

    def test_a_killed_consumers_messages_come_again(self, engine):
        engine.send(0, 10)
        with engine.consumer("me") as consumer:
            got = []
            eventually(lambda: got.extend(consumer.fetch(6 - len(got))) or len(got) >= 6)
            consumer.acknowledge(4)
            consumer.kill()
        with engine.inlet() as inlet:
            assert texts(take(inlet, 6, engine.settle_s)) == numbers(4, 10)

    def test_acknowledging_nothing_and_again_does_no_harm(self, engine):
        engine.send(0, 3)
        with engine.inlet() as inlet:
            inlet.acknowledge([])
            inlet.give_back([])
            received = take(inlet, 2)
            inlet.acknowledge(received)
            inlet.acknowledge(received)
            assert texts(take(inlet, 1)) == ["2"]

    # -- the end ------------------------------------------------------------------------------------------

    def test_what_was_there_at_the_beginning_ends_while_others_go_on_sending(self, engine):
        self._ends_while_others_go_on_sending(engine, "exclusive")

    def test_what_was_there_for_shared_consumers_ends_while_others_go_on_sending(self, engine):
        if not engine.shared:
            pytest.skip("no shared consumers")
        self._ends_while_others_go_on_sending(engine, "shared")

    def _ends_while_others_go_on_sending(self, engine, mode):
        engine.send(0, 30)
        begun, over = threading.Event(), threading.Event()
        with engine.inlet(mode=mode) as inlet:
            inlet.until_now()

            def go_on():
                number = 30
                with engine.outlet() as outlet:
                    while not over.is_set():
                        outlet.send([engine.message(str(number))])
                        number += 1
                        begun.set()

            sender = threading.Thread(target=go_on)
            sender.start()
            try:
                assert begun.wait(WITHIN_S)
                received = until_the_end(inlet)
                inlet.acknowledge(received)
                assert inlet.fetch(10, 0.2) == []
                assert inlet.ended
            finally:
                over.set()
                sender.join()
        assert texts(received)[:30] == numbers(0, 30)
        assert len(received) < 30 + engine.surplus
        rest = engine.bodies("me", 1, mode=mode)  # and nothing behind it is lost
        assert rest[:1] == numbers(len(received), len(received) + 1)

    def test_the_end_is_known_at_once_where_nothing_is_left(self, engine):
        with engine.inlet() as inlet:
            assert not inlet.ended
            inlet.until_now()
            assert until_the_end(inlet) == []
        engine.send(0, 5)
        with engine.inlet() as inlet:
            inlet.acknowledge(take(inlet, 5))
            inlet.until_now()
            assert until_the_end(inlet) == []
        engine.send(5, 7)
        with engine.inlet() as inlet:
            inlet.until_now()
            assert texts(until_the_end(inlet)) == ["5", "6"]

    def test_what_was_given_back_comes_before_the_end(self, engine):
        engine.send(0, 4)
        with engine.inlet() as inlet:
            inlet.until_now()
            received = take(inlet, 4)
            inlet.acknowledge(received[:2])
            inlet.give_back(received[2:])
            assert texts(until_the_end(inlet)) == ["2", "3"]

    def test_what_a_killed_consumer_had_comes_before_the_end(self, engine):
        engine.send(0, 10)
        with engine.consumer("me") as consumer:
            got: list[str] = []
            eventually(lambda: got.extend(consumer.fetch(6 - len(got))) or len(got) >= 6)
            consumer.acknowledge(2)
            consumer.kill()
        opened: list[Inlet] = []
        eventually(lambda: tried(engine, opened), engine.settle_s)
        with opened[0] as inlet:
            inlet.until_now()
            assert texts(until_the_end(inlet)) == numbers(2, 10)

    # -- sharing ------------------------------------------------------------------------------------------

    def test_a_second_exclusive_consumer_is_refused_until_the_first_is_gone(self, engine):
        if not engine.refuses:
            pytest.skip("the engine fences the first one instead")
        engine.send(0, 2)
        with engine.consumer("me") as consumer:
            with pytest.raises(Busy, match="me"):
                engine.inlet()
            with engine.inlet("another"):
                pass
            consumer.kill()
            opened: list[Inlet] = []
            eventually(lambda: tried(engine, opened), engine.settle_s)
        with opened[0] as inlet:
            assert texts(take(inlet, 2)) == ["0", "1"]

    def test_shared_consumers_have_each_message_once_or_are_refused_by_name(self, engine):
        if not engine.shared:
            with pytest.raises(Unsupported, match="shared"):
                engine.inlet(mode="shared")
            return
        with engine.consumer("team", "shared") as one, engine.consumer("team", "shared") as two:
            engine.send(0, 40)
            found: list[str] = []

            def fetched() -> bool:
                for consumer in (one, two):
                    some = consumer.fetch(5)
                    consumer.acknowledge(len(some))
                    found.extend(some)
                return len(found) >= 40

            eventually(fetched, engine.settle_s)
            assert sorted(found, key=int) == numbers(0, 40)

"""What a customer wants, as it changes; and what the ids of its messages depend on."""

from __future__ import annotations

import itertools
import json
import logging
from uuid import UUID

import pytest

from speeddata.avro.schema import parse
from speeddata.subscription import subscribed
from speeddata.subscription.registry import Registry
from speeddata.subscription.series import Series, series_id
from speeddata.subscription.subscribed import Subscribed

TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
NS = 10**9


def schema(*signals, time=TIME, time_unit=None):
    fields = [
        time,
        *({"name": each, "type": "double"} if isinstance(each, str) else each for each in signals),
    ]
    return parse(json.dumps({"type": "record", "name": "rig", "fields": fields}), time_unit=time_unit)


RIG = schema("volts", "amps", {"name": "good", "type": "int"})


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(subscribed, "_LOOK_S", 0.0)


@pytest.fixture
def registry(tmp_path):
    with Registry(tmp_path / "state" / "subscribe.db") as opened:
        yield opened


def names(served):
    return None if served is None else [each.signal for each in served.encoder.series]


def test_it_serves_what_fits_in_the_order_of_the_schema(registry):
    registry.add("plant", ["rig/amps", "RIG/volts"], 1, since_ns=None)
    plant = Subscribed(registry, "plant")
    assert names(plant.served("Rig", RIG)) == ["volts", "amps"]
    assert plant.served("pump", RIG) is None
    assert plant.served("rig", RIG) is plant.served("RIG", RIG)


def test_a_change_is_seen_at_the_next_look_and_only_a_change(registry, tmp_path):
    plant = Subscribed(registry, "plant")
    assert plant.served("rig", RIG) is None
    assert not plant.look()
    with Registry(tmp_path / "state" / "subscribe.db") as another:
        another.add("plant", ["rig/volts"], 1, since_ns=None)
        assert plant.served("rig", RIG) is None
        assert plant.look()
        assert names(plant.served("rig", RIG)) == ["volts"]
        another.add("other", ["rig/amps"], 1, since_ns=None)
        assert not plant.look()
        another.remove("plant", ["rig/volts"])
        assert plant.look()
    assert plant.served("rig", RIG) is None


def test_what_has_come_to_its_end_is_dropped(registry):
    registry.add("plant", ["rig/volts"], 1, since_ns=None)
    registry.add("plant", ["rig/amps"], 1, since_ns=None, expires_ns=2)
    assert names(Subscribed(registry, "plant").served("rig", RIG)) == ["volts"]


def test_it_looks_no_more_often_than_it_has_to(registry, monkeypatch):
    monkeypatch.setattr(subscribed, "_LOOK_S", 1000.0)
    plant = Subscribed(registry, "plant")
    registry.add("plant", ["rig/volts"], 1, since_ns=None)
    assert not plant.look()


def test_it_tells_since_when_each_subscription_wants_it(registry):
    registry.add("plant", ["rig/volts"], 5 * NS, since_ns=5 * NS)
    registry.add("plant", ["*/amps", "pump/*"], 6 * NS, since_ns=None)
    registry.add("plant", [str(series_id("rig", "good"))], 7 * NS, since_ns=7 * NS)
    plant = Subscribed(registry, "plant")
    assert [each.since_ns for each in plant.wants("rig", [schema("volts")])] == [5 * NS]
    assert [each.since_ns for each in plant.wants("rig", [schema("volts"), RIG])] == [5 * NS, None, 7 * NS]
    assert [each.since_ns for each in plant.wants("x", [schema("volts")])] == []


# -- revisions ----------------------------------------------------------------------------------------------


def test_the_revision_differs_with_whatever_makes_other_messages(registry):
    def served(customer, form=RIG, **options):
        return Subscribed(registry, customer, **options).served("rig", form).rev

    registry.add("plant", ["rig/volts"], 1, since_ns=None)
    registry.add("other", ["rig/volts"], 1, since_ns=None)
    number = {"name": "time", "type": "long"}
    revs = {
        "as it is": served("plant"),
        "another customer": served("other"),
        "us": served("plant", precision="us"),
        "ns": served("plant", precision="ns"),
        "quality": served("plant", quality="good"),
        "seconds": served("plant", schema("volts", time=number, time_unit="s")),
        "minutes": served("plant", schema("volts", time=number, time_unit="ms")),
    }
    registry.add("plant", ["rig/amps"], 2, since_ns=None)
    revs["more"] = served("plant")
    registry.remove("plant", ["rig/volts"])
    revs["another signal"] = served("plant")
    registry.import_ids([Series(UUID(int=7), "pump", "x")])
    assert served("plant") == revs["another signal"]  # of another channel
    for one, other in itertools.combinations(revs, 2):
        assert revs[one] != revs[other], (one, other)


def test_imported_ids_make_another_revision(registry):
    registry.add("plant", ["rig/volts"], 1, since_ns=None)
    plant = Subscribed(registry, "plant")
    registry.import_ids([Series(UUID(int=7), "rig", "volts")])
    before = UUID(int=7)
    assert plant.look()
    served = plant.served("rig", RIG)
    assert served.encoder.series[0].id == before
    registry.add("plain", ["pump/volts"], 1, since_ns=None)
    assert served.rev != Subscribed(registry, "plain").served("pump", RIG).rev


def test_the_revision_is_the_same_for_the_same_messages_however_they_were_asked_for(registry, tmp_path):
    registry.add("plant", ["rig/*"], 1, since_ns=None)
    first = Subscribed(registry, "plant").served("rig", RIG).rev
    registry.add("plant", ["pump/*"], 2, since_ns=None)
    assert Subscribed(registry, "plant").served("rig", RIG).rev == first
    with Registry(tmp_path / "another" / "subscribe.db") as another:
        for pattern in ("rig/good", "rig/amps", "rig/volts"):
            another.add("plant", [pattern], 3, since_ns=9)
        assert Subscribed(another, "plant").served("rig", RIG).rev == first
        assert Subscribed(another, "plant", quality="none").served("rig", RIG).rev == first


# -- what cannot be sent ------------------------------------------------------------------------------------


def test_what_is_wanted_and_cannot_be_sent_is_told_once(registry, caplog):
    form = schema("volts", {"name": "blob", "type": "bytes"}, {"name": "other", "type": "bytes"})
    registry.add("plant", ["rig/volts", "rig/blob"], 1, since_ns=None)
    plant = Subscribed(registry, "plant")
    with caplog.at_level(logging.WARNING, "speeddata"):
        for _ in range(3):
            plant.served("rig", form)
            plant.wants("rig", [form])
            registry.add("plant", [f"x/y{len(caplog.records)}"], 1, since_ns=None)
            plant.look()
    assert [each.getMessage() for each in caplog.records] == [
        "plant: rig/blob: is of type bytes; nothing of it is sent"
    ]


def test_a_channel_without_a_time_is_told_to_whom_wants_any_of_it(registry, caplog):
    form = schema("volts", time={"name": "n", "type": "long"})
    registry.add("plant", ["rig/volts"], 1, since_ns=None)
    registry.add("other", ["rig/amps"], 1, since_ns=None)
    with caplog.at_level(logging.WARNING, "speeddata"):
        for customer in ("plant", "other"):
            assert Subscribed(registry, customer).served("rig", form) is None
    (record,) = caplog.records
    assert "plant: rig/n: is the abscissa, but of no known unit of time" in record.getMessage()


def test_a_signal_that_can_say_no_status_is_told_and_not_asked(registry, caplog):
    form = schema("volts", {"name": "good", "type": "string"})
    registry.add("plant", ["rig/volts"], 1, since_ns=None)
    plant = Subscribed(registry, "plant", quality="good")
    with caplog.at_level(logging.WARNING, "speeddata"):
        assert plant.served("rig", form).encoder.quality is None
    assert "rig/good: is of type string, and says no status" in caplog.text
    assert plant.served("rig", RIG).encoder.quality == "good"


def test_forms_without_end_are_not_remembered(registry, monkeypatch):
    monkeypatch.setattr(subscribed, "_KNOWN", 5)
    registry.add("plant", ["rig/*"], 1, since_ns=None)
    plant = Subscribed(registry, "plant")
    for n in range(20):
        assert names(plant.served("rig", schema(f"s{n}"))) == [f"s{n}"]
    assert len(plant._served) <= 5

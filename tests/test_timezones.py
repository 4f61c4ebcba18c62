"""Time zones by their city, as Project Haystack names them."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta

import pytest

from speeddata.errors import HostError, UsageError
from speeddata.haystack import timezones

WINTER = datetime(2026, 1, 15)


@pytest.mark.parametrize(
    ("city", "hours"),
    [
        ("UTC", 0),
        ("New_York", -5),
        ("America/New_York", -5),
        ("Kolkata", 5.5),
        ("Indianapolis", -5),
        ("Louisville", -5),
        ("Ushuaia", -3),
        ("Port-au-Prince", -5),
        ("GMT+5", -5),
        ("GMT-14", 14),
        ("Etc/GMT+5", -5),
        ("GMT", 0),
        ("CET", 1),
    ],
)
def test_a_zone_is_found_by_its_city_or_its_key(city, hours):
    assert timezones.zone(city).utcoffset(WINTER) == timedelta(hours=hours)


def test_every_city_of_the_database_is_found_and_has_the_rules_of_its_key():
    keys = [key for key in zoneinfo.available_timezones() if key.count("/") and not key.startswith("System")]
    for key in keys:
        continent = key.partition("/")[0]
        if continent in ("US", "Canada", "Brazil", "Chile", "Mexico"):
            continue  # old names, whose last part is no city
        found = timezones.zone(timezones.city(key))
        for month in (1, 7):
            moment = datetime(2026, month, 15)
            assert found.utcoffset(moment) == zoneinfo.ZoneInfo(key).utcoffset(moment), key


@pytest.mark.parametrize(
    ("key", "city"),
    [
        ("America/New_York", "New_York"),
        ("America/Argentina/Ushuaia", "Ushuaia"),
        ("New_York", "New_York"),
        ("Etc/GMT+5", "GMT+5"),
        ("UTC", "UTC"),
        ("Etc/UTC", "UTC"),
    ],
)
def test_the_city_is_the_last_part_of_a_key(key, city):
    assert timezones.city(key) == city


def test_the_nearest_are_named():
    with pytest.raises(UsageError) as caught:
        timezones.zone("New_Yrok")
    assert str(caught.value).startswith("'New_Yrok' is no time zone; did you mean New_York")


@pytest.mark.parametrize(
    "hostile", ["", "America", "../../etc/passwd", "/etc/passwd", "a\n", "A" * 100_000, "\x1b[2J", "x,y"]
)
def test_no_name_opens_another_file(hostile):
    with pytest.raises(UsageError) as caught:
        timezones.zone(hostile)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


def test_a_machine_without_a_database_is_told_what_to_install(monkeypatch):
    def missing(key):
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    with pytest.raises(HostError, match="no database of time zones; pip install tzdata"):
        timezones.zone("Anywhere")
    assert timezones.zone("UTC").utcoffset(WINTER) == timedelta(0)

"""Time zones as Project Haystack names them: by their city alone.

See https://project-haystack.org/doc/docHaystack/TimeZones. No city is on two continents.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from datetime import UTC, tzinfo
from functools import lru_cache

from speeddata.errors import HostError, UsageError
from speeddata.legible import printable

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(/[A-Za-z][A-Za-z0-9_+\-]*){0,2}")
# Where the database has its cities. Etc is first: in it are GMT+5, whose sign is reversed, and UTC.
_CONTINENTS = (
    *("Etc", "Europe", "America", "Asia", "Africa", "Australia", "Pacific", "Atlantic", "Indian"),
    *("Antarctica", "Arctic", "America/Argentina", "America/Indiana", "America/Kentucky"),
    "America/North_Dakota",
)


@lru_cache(maxsize=64)
def zone(city: str) -> tzinfo:
    """The time zone of *city*, such as `New_York` or `GMT+5` (five hours behind UTC), or of an IANA key.

    Raises:
        UsageError: there is none; names the nearest.
        HostError: this machine has no database of time zones.
    """
    if city in ("UTC", "Etc/UTC"):
        return UTC
    if _KEY.fullmatch(city):
        keys = [city] if "/" in city else [*(f"{continent}/{city}" for continent in _CONTINENTS), city]
        for key in keys:
            if (found := _found(key)) is not None:
                return found
    raise _unknown(city)


def city(key: str) -> str:
    """The city of an IANA key: `America/New_York` -> `New_York`; a city stays one.

    Raises:
        UsageError: *key* cannot be the name of a time zone.
    """
    if not _KEY.fullmatch(key):
        raise _unknown(key)
    return key.rpartition("/")[2]


def _found(key: str) -> tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(key)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a directory, or no such file
        return None


def _unknown(city: str) -> UsageError | HostError:
    known = zoneinfo.available_timezones()
    if not known:
        return HostError("this machine has no database of time zones", mend="pip install tzdata")
    cities = {key.rpartition("/")[2] for key in known}
    near = difflib.get_close_matches(city.rpartition("/")[2][:40], sorted(cities), n=3, cutoff=0.5)
    mend = f"did you mean {' or '.join(near)}?" if near else "name its city, such as New_York"
    return UsageError(f"'{printable(city[:40])}' is no time zone", mend=mend)

"""What the tests of delivering share: points, tables, and the real client of a test server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from haystack_kinds import Num
from haystack_server import HaystackServer
from haystack_server import point as record

from speeddata.haystack.client import Client
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS, Cells, Point, Table
from speeddata.haystack.targets import Target
from speeddata.haystack.tiers import Tiers
from speeddata.interrupts import Stop

T0 = 1_764_763_200 * SECOND_NS


def point(id: str, **more: Any) -> Point:
    more = {"kind": "Number", "zone": "UTC", "precision_ns": MILLISECOND_NS} | more
    return Point(id=id, dis=id.upper(), channel="rig", signal=id, **more)


def table(ids: Sequence[str], rows: int = 3, first: int = 0, **more: Any) -> Table:
    """Each point has 0.0, 1.0 and so on, a second apart."""
    times = T0 + np.arange(first, first + rows, dtype=np.int64) * SECOND_NS
    values = np.arange(first, first + rows, dtype=np.float64)
    points = [point(id, **more) for id in ids]
    return Table(points[0].zone, times, tuple(Cells(each, values) for each in points))


def names(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def expected(rows: int, first: int = 0) -> list[tuple[int, float]]:
    """The history of a point of `table`."""
    return [(T0 + number * SECOND_NS, float(number)) for number in range(first, first + rows)]


def added(server: HaystackServer, ids: Sequence[str], **tags: Any) -> None:
    tags = {"hisTsPrecision": Num(1, "ms"), "hisMaxItems": Num(10**6)} | tags
    server.add(*(record(id, **tags) for id in ids))


@contextmanager
def client_of(server: Any, stop: Stop | None = None, **options: Any) -> Iterator[Client]:
    target = Target.parse(server.url, user=server.user)
    with Client(
        target, lambda: server.password, stop=stop or Stop(), **{"retry_s": 0.0, **options}
    ) as client:
        yield client


def tiers_of(
    client: Client, found: list[str] | None = None, form: str | None = "batch", **more: Any
) -> Tiers:
    found = [] if found is None else found
    return Tiers(client, form=form, found=found.append, stop=Stop(), **more)

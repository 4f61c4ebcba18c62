"""Which form of hisWrite a server takes: one call for any number of points, or a call for each.

Some servers know only the older form, and one answers the newer with success and forgets it. So the newer one
is proven once, by reading a sample back that was not there before, and what was found is remembered. That a
server takes the older form alone is believed for an hour: it may be a newer one by then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from speeddata.errors import PeerError
from speeddata.haystack.axon import expressions
from speeddata.haystack.batching import Call
from speeddata.haystack.client import BadRequest, Client, Refused, Unsupported
from speeddata.haystack.delivery import ids_of, of_the_user, only
from speeddata.haystack.hisgrid import batch_body, single_body
from speeddata.haystack.kinds import DateTime, Value
from speeddata.haystack.points import SECOND_NS, Table
from speeddata.haystack.refusals import Refusal, refusal_of
from speeddata.haystack.stamps import stamps
from speeddata.interrupts import Stop

Form = Literal["batch", "single"]

AGAIN_S = 3600.0  # after which a server that took one point a call is asked anew

_SOON_S = 60.0  # likewise, where nothing could be told of it
_CANDIDATES = 3
_LOOKS_S = (0.0, 0.3, 1.0)  # a server may answer before what it was told can be read
# The first versions whose hisWrite takes many points (release notes of Haxall 3.1.8).
_KNOWN = {"Haxall": (3, 1, 8), "SkySpark": (3, 1, 8)}
_TOO_FEW = Refusal("", "evalAll answered less than it was asked")

log = logging.getLogger("speeddata")


class _Sample(NamedTuple):
    point: str
    time_ns: int
    only: Table  # the one row with the one point


class Tiers:
    """Writes calls in the form that the server takes.

    Args:
        client: of the server.
        form: what was found before; None = not known.
        found: told what was found, to be remembered.
        stop: cuts short the waiting between two looks.
        not_finite: how NaN and infinities are written.
        eval_all: write by SkySpark's evalAll instead.

    Attributes:
        calls: that carried samples, so far.
    """

    def __init__(
        self,
        client: Client,
        *,
        form: Form | None,
        found: Callable[[Form], None],
        stop: Stop,
        not_finite: Literal["na", "keep"] = "na",
        eval_all: bool = False,
    ) -> None:
        self._client, self._form, self._found, self._stop = client, form, found, stop
        self._not_finite: Literal["na", "keep"] = not_finite
        self._eval_all = eval_all
        self._batch_works = False  # in this run
        self._known: bool | None = None
        self._again_s = time.monotonic() + AGAIN_S  # when the single form is doubted
        self.calls = 0

    def write(self, call: Call) -> Refusal | None:
        """Write *call*; return what was refused: where that names a point, what is left of it is written.

        Raises:
            TooLarge, BadRequest: the server takes no body of that size, or not this one.
            PeerError: it cannot be reached.
        """
        if self._eval_all:
            return self._evaluate(call)
        if self._form == "single" and time.monotonic() >= self._again_s:
            self._form = None
        if self._form == "single":
            return self._single(call)
        if self._form is None:
            return self._prove(call)
        if self._batch_works:
            return self._batch(call)
        return self._remembered(call)

    def _batch(self, call: Call) -> Refusal | None:
        refused: Refusal | None = None
        left = call
        while left:
            self.calls += 1
            refusal = self._client.his_write(batch_body(left, not_finite=self._not_finite))
            if refusal is None:
                break
            refused, ids = refusal, ids_of(left)
            if refusal.point not in ids or self._is_known():
                break
            # It is not known to go column by column: what is left of that point is written for sure, then.
            assert refusal.point is not None
            left = only(left, ids[: ids.index(refusal.point)])
        return refused

    def _single(self, call: Call) -> Refusal | None:
        written = False
        for point in ids_of(call):
            for table in only(call, [point]):
                if not table.samples:
                    continue
                self.calls += 1
                try:
                    refusal = self._client.his_write(single_body(table, not_finite=self._not_finite))
                except BadRequest as exc:
                    if not written:
                        raise
                    refusal = Refusal("HTTP 400", str(exc), point)
                if refusal is None:
                    written = True
                elif refusal.point == point or written:  # who has just written another one means this
                    return Refusal(refusal.kind, refusal.text, point)
                else:
                    return refusal
        return None

    def _evaluate(self, call: Call) -> Refusal | None:
        self.calls += 1
        refusals = [
            refusal_of(grid) for grid in self._client.eval_all(expressions(call, not_finite=self._not_finite))
        ]
        ids = [point for point in ids_of(call) if any(table.samples for table in only(call, [point]))]
        if len(refusals) == 1 and len(ids) > 1:  # the call as a whole
            return refusals[0] or _TOO_FEW
        for point, refusal in zip(ids, refusals, strict=False):
            if refusal is not None:
                return Refusal(refusal.kind, refusal.text, point)
        return None if len(refusals) == len(ids) else _TOO_FEW

    def _remembered(self, call: Call) -> Refusal | None:
        """The first call of a run in the form that an earlier one found; the server may be another by now."""
        refusal = self._tried(call)
        if refusal is None:
            self._batch_works = True
        elif refusal.point not in ids_of(call):
            return self._fall_back(call, refusal)
        return refusal

    def _prove(self, call: Call) -> Refusal | None:
        sample = self._witness(call)
        refusal = self._tried(call)
        if refusal is not None:
            if refusal.point in ids_of(call):
                return refusal  # that is an answer about points: the server knows them
            return self._fall_back(call, refusal)
        if sample is not None and self._appears(sample):
            self._settle("batch")
            return None
        if sample is None or self._is_known():  # all was there before, or is too old to be kept
            return self._unproven(call)
        if self._single((sample.only,)) is not None:  # what has just been taken in the other form
            return self._single(call)
        if self._appears(sample):
            return self._prove_again(call)
        # Neither can be read again: a server that keeps so much history only, or none.
        self._be_single(_SOON_S)  # in this run
        return self._single(call)

    def _prove_again(self, call: Call) -> Refusal | None:
        """One sample came by itself, and not with the others: a silent server, or it has just restarted?"""
        sample = self._witness(call)
        if sample is None:
            self._be_single(_SOON_S)
            return self._single(call)
        refusal = self._tried(call)
        if refusal is not None and refusal.point in ids_of(call):
            return refusal
        if refusal is None and self._appears(sample):
            self._settle("batch")
            return None
        self._settle("single")
        return self._single(call)

    def _witness(self, call: Call) -> _Sample | None:
        """A sample that is not on the server yet."""
        return next((each for each in _newest(call) if self._is_there(each) is False), None)

    def _unproven(self, call: Call) -> Refusal | None:
        if self._is_known():
            self._form, self._batch_works = "batch", True
            return None
        return self._single(call)

    def _tried(self, call: Call) -> Refusal | None:
        try:
            return self._batch(call)
        except (BadRequest, Unsupported) as exc:
            return Refusal("", str(exc), None)

    def _fall_back(self, call: Call, refusal: Refusal) -> Refusal | None:
        """Where a call was refused as a whole: is it the form, or a point? One is written both ways."""
        if of_the_user(refusal):
            return refusal
        for sample in _newest(call):
            try:
                if self._single((sample.only,)) is not None:
                    continue  # the point may be at fault
            except BadRequest:
                continue
            except Unsupported as exc:
                raise PeerError("takes no history", where=self._client.where, mend=str(exc)) from exc
            if self._tried((sample.only,)) is None:
                return refusal
            self._settle("single")
            return self._single(call)
        return refusal

    def _settle(self, form: Form) -> None:
        self._form, self._batch_works = form, form == "batch"
        if form == "single":
            log.info("%s takes one point a call", self._client.where)
            self._be_single(AGAIN_S)
            if self._stop.asked or self._is_known():  # no time to look twice; or it is not its nature
                return
        self._found(form)

    def _be_single(self, for_s: float) -> None:
        self._form, self._again_s = "single", time.monotonic() + for_s

    def _is_known(self) -> bool:
        """Whether the server is of a kind and version that takes many points, column by column."""
        if self._known is None:
            about = self._client.about()
            least = _KNOWN.get(str(about.get("productName")))
            self._known = least is not None and _version(about.get("productVersion")) >= least
        return self._known

    def _appears(self, sample: _Sample) -> bool:
        for wait_s in _LOOKS_S:
            self._stop.wait(wait_s)
            if self._is_there(sample):
                return True
        return False

    def _is_there(self, sample: _Sample) -> bool | None:
        """Whether the server has it; None where that cannot be told."""
        second = sample.time_ns // SECOND_NS * SECOND_NS
        bounds = stamps(np.array([second - SECOND_NS, second + 2 * SECOND_NS], np.int64), sample.only.zone)
        try:
            rows = self._client.his_read(sample.point, ",".join(bounds)).rows
        except (Refused, BadRequest, Unsupported):
            return None
        # Times are cut to the point's precision by who made the table; some servers cut them further.
        there = {at.ns for row in rows if isinstance(at := row.get("ts"), DateTime)}
        return not there.isdisjoint((sample.time_ns, second))


def _newest(call: Call) -> Iterator[_Sample]:
    """The newest sample of some points, then the ones before."""
    latest: list[list[_Sample]] = []
    for point in ids_of(call)[:_CANDIDATES]:
        its: list[_Sample] = []
        for table in only(call, [point]):
            (cells,) = table.cells
            rows = range(len(table.times_ns)) if cells.present is None else np.flatnonzero(cells.present)
            its += [
                _Sample(point, int(table.times_ns[row]), table.part(int(row), int(row) + 1))
                for row in rows[-2:]
            ]
        latest.append(sorted(its, key=lambda sample: -sample.time_ns)[:2])
    for place in range(2):
        yield from (its[place] for its in latest if len(its) > place)


def _version(text: Value) -> tuple[int, ...]:
    """`3.1.12` as numbers; nothing for what is none."""
    return tuple(int(part) for part in str(text).split(".") if part.isascii() and part.isdigit())

"""One call after the other until the server has every sample, or has refused its point by name.

An error of hisWrite is told in the answer, and the columns left of a bad one are written all the same. So a
bad point is set aside for the run and the rest sent again from there on; what names no point is halved until
it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from speeddata.errors import PeerError
from speeddata.haystack.batching import Call, halves
from speeddata.haystack.client import BadRequest, TooLarge
from speeddata.haystack.points import Point, Table
from speeddata.haystack.refusals import Refusal
from speeddata.legible import printable

_OF_THE_USER = ("PermissionErr", "AuthErr")
_TRIED = 64  # points refused one by one, of all that a call has and none written: then it is no point

log = logging.getLogger("speeddata")


class Delivery:
    """Sends calls, whatever is wrong with some of their points.

    Args:
        write: one call; returns what was refused, or None. Where that names a point, the columns left of it
            are written.
        set_aside: keeps samples that the server does not want, with the reason.
        where: names the server in errors.

    Attributes:
        samples: written.
        refused: points that are set aside for the run, and why, by id.
    """

    def __init__(
        self, write: Callable[[Call], Refusal | None], set_aside: Callable[[Table, str], None], *, where: str
    ) -> None:
        self._write, self._set_aside, self._where = write, set_aside, where
        self.samples = 0
        self.refused: dict[str, str] = {}

    def send(self, call: Call) -> None:
        """Write all of *call*; when this returns, each sample is on the server, or set aside.

        Raises:
            PeerError: the server cannot be reached, or refuses everything and names no point: then it is no
                point that is wrong, and nothing was set aside for it.
        """
        doubtful: list[tuple[Call, Refusal]] = []
        before = self.samples
        call = self._without_refused(call)
        waiting = [call]
        while waiting:
            part = waiting.pop()
            if not samples_of(part):
                continue
            try:
                refusal = self._write(part)
            except TooLarge:
                if (pair := halves(part)) is not None:
                    waiting += reversed(pair)
                else:
                    self._refuse(
                        part, ids_of(part)[0], "the server takes no body as large as one sample of it"
                    )
                continue
            except BadRequest as exc:
                refusal = Refusal("HTTP 400", str(exc), None)
            if refusal is None:
                self.samples += samples_of(part)
            elif of_the_user(refusal):
                raise self._all_refused(refusal)
            elif refusal.point in (ids := ids_of(part)):
                assert refusal.point is not None
                waiting.append(self._behind(part, ids, refusal))
            elif len(ids) > 1:
                # every second one: the first to be alone are then from all over the call
                waiting += [only(part, ids[1::2]), only(part, ids[::2])]
            else:
                doubtful.append((part, refusal))
                if self.samples == before and len(doubtful) == _TRIED:
                    raise self._all_refused(refusal)
        if doubtful and sum(samples_of(part) for part, _ in doubtful) == samples_of(call):
            raise self._all_refused(doubtful[0][1])
        for part, refusal in doubtful:
            self._refuse(part, ids_of(part)[0], refusal.text)

    def _all_refused(self, refusal: Refusal) -> PeerError:
        return PeerError(f"refuses to write: {printable(refusal.text)}", where=self._where)

    def _behind(self, part: Call, ids: Sequence[str], refusal: Refusal) -> Call:
        """What has to be sent again: the columns behind the one that was refused."""
        assert refusal.point is not None
        at = ids.index(refusal.point)
        if written := only(part, ids[:at]):
            self.samples += samples_of(written)
        self._refuse(only(part, [refusal.point]), refusal.point, refusal.text)
        return only(part, ids[at + 1 :])

    def _refuse(self, part: Call, point: str, why: str) -> None:
        if point not in self.refused:
            self.refused[point] = why
            its = _point(part, point)
            log.warning(
                "%s: %s.%s (@%s) is refused and set aside: %s",
                self._where,
                *(its.channel, its.signal, point),
                printable(why),
            )
        for table in only(part, [point]):
            self._set_aside(table, why)

    def _without_refused(self, call: Call) -> Call:
        if not self.refused:
            return call
        for point in ids_of(call):
            if point in self.refused:
                self._refuse(call, point, self.refused[point])
        return tuple(left for table in call if (left := table.without(self.refused)) is not None)


def ids_of(call: Call) -> list[str]:
    """The points of *call* in the order of their columns, each once."""
    return list(dict.fromkeys(cells.point.id for table in call for cells in table.cells))


def only(call: Call, ids: Sequence[str]) -> Call:
    """*call* with these points alone."""
    wanted = frozenset(ids)
    return tuple(part for table in call if (part := table.only(wanted)) is not None)


def of_the_user(refusal: Refusal) -> bool:
    """Whether it is the user that is refused, whatever is written."""
    return refusal.kind.endswith(_OF_THE_USER)


def samples_of(call: Call) -> int:
    """How many samples *call* has."""
    return sum(table.samples for table in call)


def _point(call: Call, wanted: str) -> Point:
    return next(cells.point for table in call for cells in table.cells if cells.point.id == wanted)

"""A session with a Haystack server: its operations, opened by the first one, and closed whatever happens."""

from __future__ import annotations

import contextlib
import html
import http.client
import logging
import re
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NoReturn

from speeddata.errors import DataError, PeerError
from speeddata.haystack import zinc
from speeddata.haystack.authentication import login
from speeddata.haystack.deadlines import STOP_S
from speeddata.haystack.kinds import Column, Grid, Rec, Ref, Value
from speeddata.haystack.refusals import Refusal, refusal_of
from speeddata.haystack.targets import Target
from speeddata.haystack.transport import Answer, Transport, brief
from speeddata.interrupts import Stop

CLOSE_S = 5.0  # for the goodbye

_IDS = 10_000  # in one call: what stands before servers often takes bodies to 1 MB only
_ZINC = "text/zinc; charset=utf-8"
_NOTHING = b'ver:"3.0"\nempty\n'

log = logging.getLogger("speeddata")


class Refused(PeerError):
    """The answer is an error grid.

    Attributes:
        refusal: what it says.
    """

    def __init__(self, refusal: Refusal, *, where: str = "") -> None:
        super().__init__(str(refusal), where=where)
        self.refusal = refusal


class TooLarge(PeerError):
    """The server, or what stands before it, takes no body of that size (413)."""


class BadRequest(PeerError):
    """The server cannot read the body (400); the text is what it says of that."""


class Unsupported(PeerError):
    """The server has no such operation (404, 405, 501), or takes no Zinc for it (406, 415)."""


_REASONS = {"", *http.client.responses.values()}  # those of RFC 9110 say no more than the status
_TAG = re.compile(r"<style\b.*?</style>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_STATUSES = {413: TooLarge, 400: BadRequest, **dict.fromkeys((404, 405, 406, 415, 501), Unsupported)}


class Client:
    """A session of a target's user; a context manager, for one thread at a time.

    A server bounds the sessions of a user, and keeps those that were not closed for hours. Leaving the
    context closes this one, within CLOSE_S and without a word of its own in the place of another error.

    Args:
        target: whom to talk to.
        password: asked once, at the first login.
        retry_s, connect_s, read_s, stop, stop_s: as of `Transport`.

    Raises:
        UsageError, HostError: as `Transport` does.
    """

    def __init__(
        self,
        target: Target,
        password: Callable[[], str],
        *,
        stop: Stop,
        retry_s: float | None = 60.0,
        connect_s: float = 10.0,
        read_s: float = 60.0,
        stop_s: float = STOP_S,
    ) -> None:
        self.target = target
        self._transport = Transport(
            target, connect_s=connect_s, read_s=read_s, retry_s=retry_s, stop=stop, stop_s=stop_s
        )
        self._ask_password = password
        self._password: str | None = None
        self._token: str | None = None

    @property
    def where(self) -> str:
        """The server, for people."""
        return self.target.origin

    @property
    def calls(self) -> int:
        """Requests made so far, those of logging in among them."""
        return self._transport.calls

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _exc: BaseException | None, _tb: TracebackType | None
    ) -> None:
        # an error on the way out, a second signal even, never takes the place of the first
        with contextlib.suppress(*([] if kind is None else [BaseException])):
            self.close()

    def close(self) -> None:
        """End the session on the server, in CLOSE_S at most, whether that works or not."""
        limit_s = STOP_S if self._transport.patience.stop.asked else CLOSE_S
        token, self._token = self._token, None
        if token is None:
            self._transport.close()
            return
        # A thread, as the system's look-up of a host's name has no time limit.
        goodbye = threading.Thread(target=self._say_goodbye, args=(token, limit_s), name="close", daemon=True)
        goodbye.start()
        goodbye.join(limit_s)
        if goodbye.is_alive():
            log.debug("%s: the session is not closed after %g s", self.where, limit_s)

    def about(self) -> Rec:
        """What the server says of itself: `productName`, `productVersion`, `tz` and so on.

        Raises:
            PeerError: it cannot be reached, or refuses; so do all operations.
        """
        grid = self._grid(self._call("GET", "about", None))
        return grid.rows[0] if grid.rows else {}

    def read_ids(self, ids: Sequence[str]) -> list[Rec | None]:
        """The record of each id, in their order; None where there is none."""
        recs: list[Rec | None] = []
        for start in range(0, len(ids), _IDS):
            rows: list[dict[str, Value]] = [{"id": Ref(each)} for each in ids[start : start + _IDS]]
            found = self._asked("read", Grid(columns=[Column("id")], rows=rows)).rows
            if found and len(found) != len(rows):
                raise PeerError(f"answers {len(found)} rows for {len(rows)} ids", where=self.where)
            recs += [rec or None for rec in found or [{}] * len(rows)]  # of no record there are no columns
        return recs

    def read(self, query: str) -> Grid:
        """The records that a filter fits, such as `point and his`."""
        return self._asked("read", Grid(columns=[Column("filter")], rows=[{"filter": query}]))

    def his_write(self, body: bytes) -> Refusal | None:
        """Write history; what the server has against it, or None.

        Args:
            body: a grid in Zinc; written twice it does no harm, so it may be sent twice.

        Raises:
            TooLarge, BadRequest, Unsupported: the server says so by the status.
        """
        return refusal_of(self._parsed(self._call("POST", "hisWrite", body)))

    def his_read(self, id: str, range: str) -> Grid:
        """The history of a point: columns `ts` and `val`.

        Args:
            range: a date, or two dates or times with a comma between (docHaystack, chapter Ops).
        """
        columns = [Column("id"), Column("range")]
        return self._asked("hisRead", Grid(columns=columns, rows=[{"id": Ref(id), "range": range}]))

    def commit(self, grid: Grid) -> Grid:
        """Carry out *grid*, once; what was made of it.

        Raises:
            UnknownOutcome: the connection was lost, so that it may have been carried out or not.
            Refused: nothing of it was carried out.
        """
        return self._grid(self._call("POST", "commit", _bytes(grid), repeat=False))

    def eval_all(self, grid: Grid) -> list[Grid]:
        """The answer to each of *grid*'s expressions, error grids among them (SkySpark only)."""
        answer = self._call("POST", "evalAll", _bytes(grid))
        try:
            grids = zinc.read_all(answer.text)
        except DataError as exc:
            raise self._no_grid(answer) from exc
        if not grids:
            raise self._no_grid(answer)
        return grids

    def _asked(self, op: str, grid: Grid) -> Grid:
        return self._grid(self._call("POST", op, _bytes(grid)))

    def _call(self, method: str, op: str, body: bytes | None, *, repeat: bool = True) -> Answer:
        """The answer to *op*, status 200; the session opened before, and once again where it has ended."""
        renewed = self._token is None
        while True:
            if self._token is None:
                self._token = self._login()
            answer = self._transport.request(method, op, body, _headers(self._token, body), repeat=repeat)
            if answer.status not in (401, 403):
                break
            said = self._what_is_said(answer)
            self._token = None
            if renewed:
                raise PeerError(f"refuses {op} to user '{self.target.user}' ({said})", where=self.where)
            renewed = True
        if answer.status == 200:
            return answer
        self._raise(answer, op)

    def _login(self) -> str:
        if self._password is None:
            self._password = self._ask_password()
        return login(self._transport, self._password)

    def _say_goodbye(self, token: str, limit_s: float) -> None:
        try:
            with self._transport.fresh():  # the old connection may be ending right now, and this is said once
                self._transport.once("POST", "close", _NOTHING, _headers(token, _NOTHING), limit_s=limit_s)
        except Exception as exc:
            log.debug("%s: the session could not be closed: %s", self.where, exc)

    def _grid(self, answer: Answer) -> Grid:
        """The grid in *answer*, unless that is an error."""
        grid = self._parsed(answer)
        if refusal := refusal_of(grid):
            raise Refused(refusal, where=self.where)
        return grid

    def _parsed(self, answer: Answer) -> Grid:
        try:
            return zinc.read(answer.text)
        except DataError as exc:
            raise self._no_grid(answer) from exc

    def _no_grid(self, answer: Answer) -> PeerError:
        what = brief(answer.headers.get("Content-Type", "") or "nothing", 60)
        return PeerError(
            f"answers {what} that is no grid in Zinc",
            where=self.where,
            mend="give the whole base address, such as https://host/api/demo",
        )

    def _raise(self, answer: Answer, op: str) -> NoReturn:
        """The error that the status of *answer* means."""
        said = self._what_is_said(answer)
        if 300 <= answer.status < 400:
            raise PeerError(
                f"sends {op} on to another address, which is not followed with credentials",
                where=self.where,
                mend="give the address where the server really is",
            )
        if answer.status == 400:
            raise BadRequest(said, where=self.where)
        kind = _STATUSES.get(answer.status, PeerError)
        raise kind(f"answers {op} with {answer.status} {said}", where=self.where)

    def _what_is_said(self, answer: Answer) -> str:
        """The reason in *answer*, without the token where the server repeats what it was told."""
        reason = answer.reason
        if reason in _REASONS:  # a proxy, or HTTP/2 on the way, has none of the server's own: its page may
            reason = html.unescape(_TAG.sub(" ", answer.text[:4096])).strip() or reason
        return brief(reason.replace(self._token, "…") if self._token else reason)


def _headers(token: str, body: bytes | None) -> dict[str, str]:
    headers = {"Authorization": f"BEARER authToken={token}", "Accept": "text/zinc"}
    return headers if body is None else {**headers, "Content-Type": _ZINC}


def _bytes(grid: Grid) -> bytes:
    return zinc.write(grid).encode()

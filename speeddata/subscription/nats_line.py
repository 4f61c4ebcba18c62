"""A connection to a NATS server: the library's event loop in a thread of its own, every call bounded in time.

The library does not reconnect: what is lost is told, and whoever calls decides when to try again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from speeddata.errors import HostError, PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Nats
from speeddata.subscription.engine import Denied, Unreachable

if TYPE_CHECKING:
    from nats.aio.client import Client

ANSWER_S = 10.0  # for an answer of the server

_CONNECT_S = 5.0
_CLOSE_S = 0.5
_PING_S = 10.0  # two unanswered end the connection
_SLICE_S = 0.1  # of waiting, between two looks at the wish to stop
_STOP_S = 0.5  # for an answer once the wish is there: a server that lives answers within that
_NO_SUBJECT = "no stream takes its subject, or JetStream is not ready"

T = TypeVar("T")

log = logging.getLogger("speeddata")


class Line:
    """A connection, open until it is closed here or lost.

    Args:
        stop: ends waiting for a server that does not answer.

    Attributes:
        client, jetstream: the library's; only for coroutines that `run` runs.
        api_error: what JetStream's refusals are raised as.

    Raises:
        UsageError: the library is not installed.
        HostError: a file that the destination names cannot be read.
        Everything that `told` knows.
    """

    def __init__(self, destination: Nats, stop: Stop) -> None:
        self._library = _library()
        from nats.js.errors import APIError

        self.api_error = APIError
        self._destination, self._stop = destination, stop
        self._complaint: Exception | None = None  # what the library told last
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()  # the connection is
        self._tls = _tls(destination) if destination.tls else None
        self._loop = asyncio.new_event_loop()
        # what falls out of the library's tasks when a connection ends is no news
        self._loop.set_exception_handler(lambda _, context: log.debug("nats: %s", context.get("message")))
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()
        self.client: Client
        try:
            self.run(self._connect(), len(destination.servers) * 2 * _CONNECT_S + 1)
        except BaseException:
            self._end()
            raise
        self.jetstream = self.client.jetstream(timeout=ANSWER_S)

    @property
    def closed(self) -> bool:
        """Whether the connection is lost."""
        return self.client.is_closed

    @property
    def max_payload(self) -> int:
        """Bytes of a message, headers and all, that the server takes."""
        return self.client.max_payload

    def check(self) -> None:
        """Raise what ended the connection, if anything did."""
        if self.client.is_closed:
            raise self.client.last_error or ConnectionResetError("the connection was lost")

    def run(self, work: Coroutine[Any, Any, T], within_s: float = ANSWER_S) -> T:
        """What *work* returns, from the loop's thread.

        Raises:
            TimeoutError: it took longer than *within_s* seconds, or the wish to stop came meanwhile.
            PermissionError: the server complained about rights meanwhile.
        """
        self._complaint = None
        future = asyncio.run_coroutine_threadsafe(self._within(work, within_s), self._loop)
        try:
            return self._result(future, within_s + ANSWER_S)
        except TimeoutError as exc:
            future.cancel()
            if self._complaint is not None:
                raise self._complaint from exc
            raise
        except BaseException:
            future.cancel()
            raise

    def _result(self, future: concurrent.futures.Future[T], within_s: float) -> T:
        end = time.monotonic() + within_s
        while True:
            try:
                return future.result(_SLICE_S)
            except TimeoutError:
                if future.done() or time.monotonic() > end:
                    raise
            if self._stop.asked:
                end = min(end, time.monotonic() + _STOP_S)

    async def _within(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        # the library lets a request wait for its answer after the connection is gone
        task, over = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({task, over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if over.done():
                self.check()
            raise TimeoutError
        finally:
            task.cancel()
            over.cancel()

    async def pull(self, stream: str, consumer: str, request: dict[str, Any], inbox: str) -> None:
        """Ask a pull consumer for messages; they come to *inbox*."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        await self.client.publish(subject, json.dumps(request).encode(), reply=inbox)

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do *work* again and again for as long as the connection is there."""

        async def again() -> None:
            while not self.client.is_closed:
                await asyncio.sleep(seconds)
                await work()

        def begin() -> None:
            self._tasks.add(self._loop.create_task(again()))

        self._loop.call_soon_threadsafe(begin)

    def close(self) -> None:
        """Leave; what was published before is on its way."""
        with contextlib.suppress(Exception):
            leaving = asyncio.wait_for(self.client.close(), _CLOSE_S)
            asyncio.run_coroutine_threadsafe(leaving, self._loop).result(ANSWER_S)
        self._end()

    def _end(self) -> None:
        async def cancel() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(asyncio.wait_for(cancel(), 2.0), self._loop).result(4.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(4.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _connect(self) -> None:
        """Be connected to one of the servers, or raise what the last of them told."""
        servers = list(self._destination.servers)
        random.shuffle(servers)  # not every client at the first
        for place, server in enumerate(servers, 1):
            client = self._client()
            self._complaint = None
            try:
                await self._join(client, server)
            except (self._library.errors.Error, OSError) as exc:
                complaint = self._complaint or exc  # closing has complaints of its own
                with contextlib.suppress(Exception):
                    # half a connection of TLS is waited for in vain
                    await asyncio.wait_for(client.close(), _CLOSE_S)
                if place == len(servers):
                    raise complaint from exc
            else:
                self.client = client
                return

    async def _join(self, client: Client, server: str) -> None:
        destination = self._destination
        login: dict[str, Any] = {}
        if destination.user:
            login = {"user": destination.user, "password": destination.password}
        elif destination.token:
            login = {"token": destination.token}
        elif destination.creds:
            login = _creds(Path(destination.creds))
        if self._tls is not None:
            login["tls"] = self._tls

        async def complain(exc: Exception) -> None:
            log.debug("nats: %s", exc)
            self._complaint = exc

        async def end() -> None:
            if client is getattr(self, "client", None):
                self._over.set()

        await client.connect(
            f"nats://{server}",
            closed_cb=end,
            name="speeddata",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # the least: the library takes 0 for endless
            reconnect_time_wait=0,
            connect_timeout=int(_CONNECT_S),
            ping_interval=int(_PING_S),
            error_cb=complain,
            **login,
        )

    def _client(self) -> Client:
        errors, tls = self._library.errors, self._tls is not None

        class Guarded(self._library.aio.client.Client):  # type: ignore[misc, name-defined]
            """Sends no password in clear text because the server, or who pretends to be it, has no TLS."""

            def _connect_command(self) -> bytes:
                if tls and not self._server_info.get("tls_required"):
                    raise errors.SecureConnWantedError
                command: bytes = super()._connect_command()
                return command

        client: Client = Guarded()
        return client


@contextlib.contextmanager
def told(destination: Nats, drop: Callable[[], None]) -> Iterator[None]:
    """Whatever goes wrong at the server or on the way there, in our words; the connection is dropped.

    Raises:
        Unreachable, Denied: see there.
        PeerError: the server will never do that.
    """
    try:
        yield
    except PeerError:
        drop()
        raise
    except Exception as exc:
        drop()
        found = _translated(exc, destination)
        if found is None:
            raise
        raise found from exc
    except BaseException:
        drop()
        raise


def _translated(exc: Exception, destination: Nats) -> PeerError | None:
    where = destination.redacted
    if isinstance(exc, TimeoutError):
        return Unreachable("no answer within the time", where=where)
    if isinstance(exc, ssl.SSLCertVerificationError):
        mend = "name the authority that signed it with ca="
        return Unreachable(f"the certificate does not hold: {exc.verify_message}", where=where, mend=mend)
    if isinstance(exc, concurrent.futures.CancelledError):
        return Unreachable("the connection was lost", where=where)
    if isinstance(exc, OSError):
        # asyncio's own text names the address again
        reason = os.strerror(exc.errno) if exc.errno else str(exc) or type(exc).__name__
        return Unreachable(reason, where=where)
    errors = _library().errors
    if not isinstance(exc, errors.Error):
        return None
    text = str(exc).removeprefix("nats: ").strip("'")
    lower = text.lower()
    if "authoriz" in lower or "authentic" in lower or "permissions violation" in lower:
        return Denied(text, where=where, mend="give the destination anew with a right that holds")
    if isinstance(exc, errors.SecureConnWantedError):
        return Unreachable("the server offers no TLS", where=where, mend="write nats:// where that is meant")
    code, what = getattr(exc, "code", None), getattr(exc, "description", None)
    if type(exc).__name__ == "NoStreamResponseError":
        return Unreachable(f"stream {destination.stream}: {_NO_SUBJECT}", where=where)
    if what is None or code in (503, 500):
        return Unreachable(what or text, where=where)
    if getattr(exc, "err_code", None) == 10014:  # somebody took the consumer away: it is made again
        return Unreachable(what, where=where)
    return PeerError(what, where=where)


def _library() -> Any:
    try:
        import nats
        import nats.aio.client
        import nats.errors
    except ImportError:
        raise UsageError("nats-py is not installed", mend="pip install 'speeddata[nats]'") from None
    logger = logging.getLogger("nats")
    if not logger.handlers:
        # it writes tracebacks of lost connections; what matters of them is raised
        logger.addHandler(_Quiet())
        logger.propagate = False
    return nats


class _Quiet(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.debug("%s", record.getMessage())


def _tls(destination: Nats) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=destination.ca or None)
    except (OSError, ssl.SSLError) as exc:
        what = f"cannot read the authorities: {getattr(exc, 'strerror', None) or exc}"
        raise HostError(what, where=destination.ca) from exc


def _creds(path: Path) -> dict[str, Any]:
    """How to log in with a credentials file (JWT and seed), or with the seed of an nkey alone."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        what = f"cannot read the credentials: {getattr(exc, 'strerror', None) or 'no text'}"
        raise HostError(what, where=str(path)) from exc
    if find_spec("nkeys") is None:  # the library needs it for both
        raise UsageError("nkeys is not installed", mend="pip install 'speeddata[nats]'")
    if "BEGIN NATS USER JWT" in text:
        return {"user_credentials": str(path)}
    return {"nkeys_seed_str": text.strip()}

"""Calls to one server over HTTP: each ends in time and within bounds, and passing faults are outlasted."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from speeddata import __version__
from speeddata.errors import HostError, PeerError, SpeedDataError, UsageError
from speeddata.haystack.deadlines import STOP_S, Watch, connect
from speeddata.haystack.patience import Outage, Patience
from speeddata.haystack.targets import Target
from speeddata.interrupts import Stop

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection
    from urllib3.response import BaseHTTPResponse

MAX_BYTES = 64 << 20  # of an answer, both as sent and unpacked
CALL_S = 300.0  # for a whole call, however slowly it drips
IDLE_S = 10.0  # a connection unused for longer may be closing at the other end right now
MAX_AFTER_S = 600.0  # a server that asks for more patience gets that much

_PIECE = 1 << 16
_LASTING = (501, 505)  # of 5xx: trying again does not help
_WHOLE = {"content-length", "transfer-encoding", "authentication-info"}  # one is in a head with no body


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; headers by any spelling of their names, repeated ones joined by `, `."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)  # a token may be in them
    text: str = field(repr=False)


class Transport:
    """The way to *target*, for one thread at a time.

    Redirects are not followed and proxies of the environment not used: credentials go to the host that was
    named, and nowhere else. TLS is verified with the system's authorities, or with those in `ca_file`.

    Args:
        connect_s: for a connection, and again for TLS on it; each address of the host has as long.
        read_s: silence that is borne while sending and receiving.
        retry_s: passing faults are met by further tries for so long; None: for ever, 0: not at all.
        stop: ends the waiting between two tries, and with it the trying.
        stop_s: that a call under way has from then on.

    Attributes:
        calls: requests made so far.
        patience: for more than one request to be tried again together.

    Raises:
        UsageError: urllib3 is not installed, or `ca_file` has no certificate.
        HostError: `ca_file` cannot be read.
    """

    def __init__(
        self,
        target: Target,
        *,
        connect_s: float = 10.0,
        read_s: float = 60.0,
        retry_s: float | None = 60.0,
        stop: Stop,
        stop_s: float = STOP_S,
    ) -> None:
        try:
            import urllib3  # noqa: F401  # before anything is promised
        except ImportError:
            raise UsageError(
                "needs urllib3, which is not installed", mend="pip install 'speeddata[haystack]'"
            ) from None
        self.target, self.connect_s, self.read_s, self.stop_s = target, connect_s, read_s, stop_s
        self.calls = 0
        self.patience = Patience(retry_s, stop)
        self._tls = _tls(target) if target.secure else None
        self._connection: HTTPConnection | None = None
        self._used = 0.0  # when the connection was

    def request(
        self,
        method: str,
        op: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        repeat: bool = True,
    ) -> Answer:
        """The answer to *op*, an operation's name below the base address.

        Args:
            repeat: whether it does no harm when a request arrives twice.

        Raises:
            Outage: a fault lasted longer than `retry_s`, or the stop was asked for meanwhile.
            UnknownOutcome: the request may have been carried out, and *repeat* is False.
            PeerError: a fault that will not pass by itself.
        """
        return self.patience.through(lambda: self.once(method, op, body, headers), repeat=repeat)

    def once(
        self,
        method: str,
        op: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        limit_s: float = CALL_S,
    ) -> Answer:
        """One try, over *limit_s* after the connection stands.

        Raises:
            Outage, PeerError: as `request` does, at once.
        """
        self.calls += 1
        sent, watch = False, Watch(self.patience.stop, self.stop_s)
        try:
            with watch:
                connection = self._connected(watch)
                sent = True
                watch.over(connection, limit_s)
                answer = _answer(self._sent(connection, method, op, body, headers))
            if watch.why:  # cut within the head, which then ends there for the library
                raise TimeoutError
        except BaseException as exc:
            self.close()
            if isinstance(exc, SpeedDataError) or not isinstance(exc, Exception):
                raise
            if watch.why:
                raise self._outage(watch.why, sent=sent) from exc
            if fault := self._fault(exc, sent):
                raise fault from exc
            raise
        self._used = time.monotonic()
        if answer.status == 429 or (answer.status >= 500 and answer.status not in _LASTING):
            raise self._outage(
                f"answers {answer.status} {brief(answer.reason)}".rstrip(),
                sent=answer.status != 429,
                after_s=_after(answer.headers.get("Retry-After", "")),
            )
        return answer

    @contextlib.contextmanager
    def fresh(self) -> Iterator[None]:
        """A connection of its own for what is called within."""
        self.close()
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self, watch: Watch) -> HTTPConnection:
        from urllib3.connection import HTTPConnection, HTTPSConnection

        if self._connection is not None:
            if self._connection.is_connected and time.monotonic() - self._used < IDLE_S:
                return self._connection
            self.close()
        host, port = self.target.host, self.target.port
        if self._tls is None:
            connection = HTTPConnection(host, port, timeout=self.connect_s)
        else:
            connection = HTTPSConnection(host, port, timeout=self.connect_s, ssl_context=self._tls)
        self._connection = connection
        connect(connection, watch)
        connection.timeout = self.read_s
        return connection

    def _sent(
        self,
        connection: HTTPConnection,
        method: str,
        op: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> BaseHTTPResponse:
        """The answer to a request, its body not yet read."""
        said = {"User-Agent": f"speeddata/{__version__}", "Accept-Encoding": "gzip", **(headers or {})}
        pieces = None
        if body is not None:
            # In pieces, for each has read_s to leave: a slow line may take longer for the whole.
            pieces = (body[start : start + _PIECE] for start in range(0, len(body), _PIECE))
            said["Content-Length"] = str(len(body))
        # Who refuses a body (413) may answer and hang up before the end of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(
                method,
                f"{self.target.path}{op}",
                body=pieces,
                headers=said,
                preload_content=False,
                decode_content=False,
            )
        return connection.getresponse()

    def _outage(self, what: str, *, sent: bool, after_s: float | None = None, mend: str = "") -> Outage:
        return Outage(what, where=self.target.origin, sent=sent, after_s=after_s, mend=mend)

    def _fault(self, exc: Exception, sent: bool) -> PeerError | None:
        """What an exception of the libraries means; None: it is none of theirs."""
        from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError
        from urllib3.exceptions import SSLError as WrappedTlsError
        from urllib3.exceptions import TimeoutError as WrappedTimeout

        origin = self.target.origin
        if isinstance(exc, WrappedTlsError) and exc.args and isinstance(exc.args[0], Exception):
            exc = exc.args[0]
        if isinstance(exc, _Unusable):
            if exc.passing:
                return self._outage(exc.what, sent=True)
            return PeerError(exc.what, where=origin)
        if isinstance(exc, ssl.SSLCertVerificationError):
            return _untrusted(exc, self.target)
        if isinstance(exc, ssl.SSLError) and not sent and not isinstance(exc, ssl.SSLEOFError):
            why = (exc.reason or "no reason given").replace("_", " ").lower()
            return PeerError(f"no TLS connection ({why})", where=origin, mend="is it http:// there?")
        if isinstance(exc, NewConnectionError):  # names that cannot be resolved too
            cause = exc.__cause__
            why = (cause.strerror if isinstance(cause, OSError) else None) or "no reason given"
            return self._outage(f"no connection ({why})", sent=False)
        if isinstance(exc, TimeoutError | WrappedTimeout):
            what = f"silent for {self.read_s:g} s" if sent else f"no connection within {self.connect_s:g} s"
            return self._outage(what, sent=sent)
        cut = isinstance(exc, http.client.RemoteDisconnected | http.client.IncompleteRead | ProtocolError)
        if isinstance(exc, http.client.HTTPException) and not cut:
            return PeerError("what answers there does not speak HTTP", where=origin, mend="check the address")
        if cut or isinstance(exc, OSError | HTTPError):
            return self._outage("the connection was cut before there was a whole answer", sent=sent)
        return None


class _Unusable(Exception):
    """An answer that came, and cannot be used."""

    def __init__(self, what: str, *, passing: bool) -> None:
        super().__init__(what)
        self.what, self.passing = what, passing


def _answer(response: BaseHTTPResponse) -> Answer:
    content = _unpacked(response)
    charset = response.headers.get("Content-Type", "").lower().partition("charset=")[2].strip(' "')
    encoding = "latin-1" if charset in ("iso-8859-1", "latin1", "windows-1252") else "utf-8"
    try:
        # servers on the Java platform may write a character beyond 16 bits as two halves
        text = content.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        text = content.decode(encoding, "replace")
    return Answer(response.status, response.reason or "", response.headers, text)


def _unpacked(response: BaseHTTPResponse) -> bytes:
    """The body, at most MAX_BYTES of it both as it came and unpacked: a few bytes can hold gigabytes."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise _Unusable(
            f"an answer packed as '{brief(encoding, 20)}', which was not asked for", passing=False
        )
    unpack = zlib.decompressobj(31) if encoding.endswith("gzip") else None
    content, came = bytearray(), 0
    while data := response.read(_PIECE, decode_content=False):
        came += len(data)
        try:
            content += unpack.decompress(data, MAX_BYTES + 1 - len(content)) if unpack else data
        except zlib.error:
            raise _Unusable("an answer whose packing is damaged", passing=True) from None
        if max(came, len(content)) > MAX_BYTES:
            raise _Unusable(f"an answer of more than {MAX_BYTES >> 20} MiB", passing=False)
    if unpack and came and (not unpack.eof or unpack.unused_data):
        raise _Unusable("an answer whose packing is not whole", passing=True)
    if not came and response.status == 200 and not _WHOLE & {name.lower() for name in response.headers}:
        # A head that was cut passes for a whole one. No answer of the protocol is like that.
        raise _Unusable("the connection was cut before there was a whole answer", passing=True)
    return bytes(content)


def _untrusted(exc: ssl.SSLCertVerificationError, target: Target) -> PeerError:
    """One line for each way in which a certificate is not to be trusted."""
    if exc.verify_code in (9, 10):  # X509_V_ERR_* of OpenSSL's x509_vfy.h
        what = "is not valid yet" if exc.verify_code == 9 else "has expired"
        mend = "check the clock here, or renew the certificate there"
    elif exc.verify_code in (62, 64):
        what = f"is not for {target.host}"
        mend = "name the host as its certificate does"
    else:
        what = f"is not trusted here ({exc.verify_message})"
        mend = "name the certificate of its authority with --ca-file"
    return PeerError(f"its certificate {what}", where=target.origin, mend=mend)


def _tls(target: Target) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=target.ca_file)  # None: the system's
    except ssl.SSLError as exc:
        raise UsageError("no PEM file with certificates", where=str(target.ca_file)) from exc
    except OSError as exc:
        kind = UsageError if isinstance(exc, FileNotFoundError) else HostError
        raise kind(exc.strerror or str(exc), where=str(target.ca_file)) from exc


def _after(text: str) -> float | None:
    """Seconds that `Retry-After` asks for (RFC 9110, section 10.2.3), at most MAX_AFTER_S."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), MAX_AFTER_S)


def brief(text: str, most: int = 200) -> str:
    """*text* of a server's in one line of at most *most* characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"

"""A Project Haystack server for tests: it answers as Haxall does, as strictly, and fails when it is told to.

    with HaystackServer(version="4.0.6") as server:
        server.add(point("a", kind="Number", tz="New_York", unit="kW", hisTsPrecision=Num(1, "ms")))
        server.fault("hisWrite", status=503, retry_after=1)  # the next call only
        ...  # a client at server.url, as server.user with server.password
        assert server.history("a") == [(1_800_000_000_000_000_000, 1.5)]
        assert server.count("hisWrite") == 2

By hand: `python tests/haystack_server.py --port 8080 --user su --password x --project demo`.
Requests and answers are Zinc. What its answers look like was recorded from Haxall 4.0.6 and 3.1.12.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import ssl
import sys
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from haystack_folio import Folio, Refused
from haystack_kinds import MARKER, Grid, Ref, grid_of
from haystack_ops import Close, Ops, err_grid
from haystack_reading import Reader, ZincError, read
from haystack_sessions import Answer, Sessions
from haystack_writing import write

MAX_BODY = 1 << 28


@dataclass
class Modes:
    """What kind of server it is; every one may be changed while it runs."""

    batch: Literal["yes", "error", "silent"] = "yes"  # hisWrite of many points: done, refused, or forgotten
    his_write: bool = True  # without it hisWrite is an unknown op (404)
    eval_all: bool = False  # SkySpark's evalAll; see haystack_axon
    admin: bool = True  # whether the user may write
    gzip: bool = True  # bodies with Content-Encoding: gzip are understood
    max_items: int = 1000  # that a history keeps, its last, unless its point's hisMaxItems says otherwise
    whole_seconds: bool = False  # times are floored to seconds whatever hisTsPrecision says
    max_body: int | None = None  # longer bodies: 413
    expire_after: int | None = None  # calls that a token is good for
    lease_s: float = 3 * 3600  # how long an idle session lasts
    max_sessions: int | None = None  # open at a time; one more: 200 with an err grid, and no token
    plaintext: bool = False  # PLAINTEXT in place of SCRAM
    hash: Literal["SHA-256", "SHA-512"] = "SHA-256"
    odd_challenge: bool = False  # the challenge's parameters in other cases and orders, no handshakeToken
    wrong_signature: bool = False  # the server does not know the password either


@dataclass
class Fault:
    """What goes wrong with the next *times* calls of *op* (None: with all)."""

    op: str
    times: int | None
    status: int | None = None  # answered in place of doing it; 303 and such with *to*
    to: str | None = None
    retry_after: str | int | None = None
    slow: float = 0.0  # seconds before it is done
    drip: float = 0.0  # seconds for each byte of the answer's body
    cut: Literal["before", "middle", "after"] | None = None  # the connection ends: not done; done, but ...


@dataclass
class Call:
    """A call as it was answered; auth is the op of the steps of a login."""

    op: str
    method: str
    size: int  # bytes of the request's body as sent
    status: int  # 0: never answered
    started_s: float  # time.monotonic()
    duration_s: float
    ids: tuple[str, ...] = ()
    samples: int = 0  # in a hisWrite, whether accepted or not
    error: str | None = None  # errType of an err grid
    agent: str = ""


class HaystackServer:
    """A server on 127.0.0.1, up from `with` to its end.

    Args:
        version: of the Haxall that it is like.
        project: the last part of the URL; "" leaves it out.
        tls: serves https with it.
        own_ids: new records get ids of the server's making, as in SkySpark.
        modes: names and values of `Modes`.
    """

    def __init__(
        self,
        version: Literal["4.0.6", "3.1.12"] = "4.0.6",
        *,
        user: str = "su",
        password: str = "secret",
        project: str = "demo",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        own_ids: bool = False,
        on_call: Callable[[Call], None] | None = None,
        **modes: Any,
    ) -> None:
        self.version, self.user, self.password, self.project = version, user, password, project
        self.modes = Modes(**modes)
        self.folio = Folio(self.modes, version, project if own_ids else None)
        self.sessions = Sessions({user: password}, self.modes)
        self.calls: list[Call] = []
        self.booted = time.time_ns() // 1_000_000 * 1_000_000
        self.bad = self.folio.bad  # by id: points that refuse whatever is written to them, and why
        self.faults: list[Fault] = []
        self.waiting = 0  # calls that `freeze` holds up
        self.ended = threading.Event()
        self._thawed = threading.Event()
        self._thawed.set()
        self._lock = threading.Lock()
        self._on_call = on_call
        self._http = _Listener(("127.0.0.1", port), _Handler)
        self._http.haystack, self._http.tls = self, tls
        self.port = self._http.server_address[1]
        self.path = f"/api/{project}".rstrip("/")
        self.url = f"http{'s' if tls else ''}://{host}:{self.port}{self.path}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> HaystackServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thawed.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    # --- for tests

    def add(self, *records: dict[str, Any]) -> None:
        """Records as by a commit that adds them; their ids are kept unless the server makes its own."""
        self.folio.commit_add(list(records))

    def open_session(self) -> str:
        """A token of the user's, as after a login."""
        return self.sessions.opened(self.user).token

    def history(self, id: str) -> list[tuple[int, Any]]:
        """All that is stored of a point: (ns since 1970 UTC, value), by time; numbers are float."""
        return self.folio.history(id)

    def record(self, id: str) -> dict[str, Any]:
        """A record's tags as `read` answers them, with hisSize, hisStart and hisEnd."""
        return self.folio.seen(id)

    def count(self, op: str) -> int:
        """How many calls of *op* were answered, or cut."""
        return sum(call.op == op for call in self.calls)

    @property
    def open_sessions(self) -> int:
        return len(self.sessions)

    def fault(self, op: str, times: int | None = 1, **what: Any) -> None:
        """Let the next *times* calls of *op* ("*": of any) fail as *what* says, see `Fault`; they queue."""
        with self._lock:
            self.faults.append(Fault(op, times, **what))

    def clear_faults(self) -> None:
        with self._lock:
            self.faults.clear()

    def freeze(self) -> None:
        """Answer nothing until `thaw`; connections are accepted and wait."""
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()

    def restart(self, forget: bool = False) -> None:
        """Forget all sessions, and with *forget* all histories, as Haxall does when it is restarted."""
        self.sessions.clear()
        if forget:
            self.folio.histories.clear()

    # --- for the handler

    def next_fault(self, op: str) -> Fault:
        self.waiting += 1
        self._thawed.wait()
        self.waiting -= 1
        with self._lock:
            for fault in self.faults:
                if fault.op in (op, "*"):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self.faults.remove(fault)
                    return replace(fault)
        return Fault(op, 0)

    def told(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)
        if self._on_call:
            self._on_call(call)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # calls that are frozen or slow end by themselves
    request_queue_size = 128
    haystack: HaystackServer
    tls: ssl.SSLContext | None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls:  # here, in the thread of the connection, so that no client holds up the others
            request.settimeout(10)
            with contextlib.suppress(OSError), self.tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
                secured.unwrap()
        else:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # clients may leave as they like
            super().handle_error(request, client_address)


class _Cut(Exception):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        self.close_connection = True
        haystack, began = self.server.haystack, time.monotonic()
        path, _, query = self.path.partition("?")
        scheme = self.headers.get("Authorization", "").partition(" ")[0].lower()
        known = path.startswith(haystack.path + "/")
        op = path.removeprefix(haystack.path + "/") if known else path
        call = Call(
            "auth" if scheme in ("hello", "scram", "plaintext") else op, self.command, 0, 0, began, 0.0
        )
        call.agent = self.headers.get("User-Agent", "")
        fault = Fault(call.op, 0)
        try:
            body = self._body()
            call.size = len(body)
            fault = haystack.next_fault(call.op)
            if fault.slow:
                haystack.ended.wait(fault.slow)
            if fault.cut == "before":
                raise _Cut
            answer = (
                self._failed(fault) if fault.status else self._answer(op if known else "", query, body, call)
            )
            call.status = answer.status
            haystack.told(replace(call, duration_s=time.monotonic() - began))
            call.op = ""  # told
            self._send(answer, fault)
        except (_Cut, OSError):
            with contextlib.suppress(OSError):
                self.wfile.flush()
            if call.op:
                haystack.told(replace(call, duration_s=time.monotonic() - began))

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY))

    def _failed(self, fault: Fault) -> Answer | None:
        if fault.status is None:
            return None
        headers = {}
        if fault.to is not None:
            headers = {"Location": fault.to}
        if fault.retry_after is not None:
            headers["Retry-After"] = str(fault.retry_after)
        return Answer.html(fault.status, "told to fail", headers)

    def _answer(self, op: str, query: str, body: bytes, call: Call) -> Answer:
        haystack = self.server.haystack
        modes = haystack.modes
        if modes.max_body is not None and len(body) > modes.max_body:
            return Answer.html(413, None)  # a proxy's, so before anything else
        if not op:
            return Answer.html(404, None)
        session = haystack.sessions.authorized(self.headers.get("Authorization"))
        if isinstance(session, Answer):
            if session.refused:
                call.error = session.refused.kind
                return Answer.zinc(write(err_grid(session.refused)))
            return session
        ops = Ops(haystack, session.user, call)
        act = ops.find(op)
        if act is None:
            return Answer.html(404, None)
        if self.command != "POST" and (self.command != "GET" or op not in ops.WITHOUT_EFFECT):
            return Answer.html(405, f"{self.command} not allowed for op '{op}'")
        try:
            request = self._request(query, body)
            if isinstance(request, Answer):
                return request
            result = act(request)
        except Refused as exc:
            call.error = exc.kind
            result = err_grid(exc)
        except Close:
            haystack.sessions.close(session)
            result = Grid()
        grids = result if isinstance(result, list) else [result]
        return Answer.zinc("".join(map(write, grids)))

    def _request(self, query: str, body: bytes) -> Grid | Answer:
        if self.command == "GET":
            tags: dict[str, Any] = {}
            for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
                try:
                    tags[name] = Reader(text).value()
                except ZincError:
                    tags[name] = text
            return grid_of([tags]) if tags else Grid()
        kind = self.headers.get("Content-Type")
        if kind is None:
            return Answer.html(415, "Content-Type not specified")
        if kind.partition(";")[0].strip().lower() not in ("text/zinc", "application/vnd.haystack+zinc"):
            return Answer.html(415, f"Unsupported Content-Type: {kind}")
        try:
            if self.headers.get("Content-Encoding") == "gzip" and self.server.haystack.modes.gzip:
                body = gzip.decompress(body)
            return read(body.decode())
        except UnicodeDecodeError:
            raise Refused("sys::IOErr", "Invalid UTF-8 encoding") from None
        except (OSError, EOFError, zlib.error) as exc:
            raise Refused("sys::IOErr", str(exc)) from None
        except ZincError as exc:
            return Answer.html(400, f"Cannot parse {kind} request: sys::ParseErr: {exc}")

    def _send(self, answer: Answer, fault: Fault) -> None:
        headers, body = dict(answer.headers), answer.body
        if "gzip" in self.headers.get("Accept-Encoding", "") and body and answer.chunked:
            headers["Content-Encoding"], body = "gzip", gzip.compress(body, 1)
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        reason = answer.reason.replace("\n", " ").replace("\r", " ")
        head = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {text}" for name, text in headers.items())]
        data = "\r\n".join([*head, "Connection: close", "", ""]).encode()
        chunks = [body[at : at + 65536] for at in range(0, len(body), 65536)] if answer.chunked else [body]
        if answer.chunked:
            chunks = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks] + [b"0\r\n\r\n"]
        rest = b"" if self.command == "HEAD" else b"".join(chunks)
        if fault.cut == "after":
            raise _Cut
        if fault.cut == "middle":
            rest = rest[: len(rest) // 2] if rest else rest
            data = data if rest else data[: len(data) // 2]
        if fault.drip:
            self.wfile.write(data)
            for at in range(len(rest)):
                self.wfile.write(rest[at : at + 1])
                if self.server.haystack.ended.wait(fault.drip):
                    raise _Cut
        else:
            self.wfile.write(data + rest)


def point(id: str, *, kind: str = "Number", tz: str = "UTC", **tags: Any) -> dict[str, Any]:
    """A record of a point with a history, for `HaystackServer.add`."""
    plain = {"id": Ref(id), "dis": id.upper(), "point": MARKER, "his": MARKER, "kind": kind, "tz": tz}
    return {**plain, **tags}


def main() -> None:
    """Serve until Ctrl-C, telling each call."""
    parser = argparse.ArgumentParser(description="A Project Haystack server to try hxpush against.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--user", default="su")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--project", default="demo")
    parser.add_argument("--version", choices=("4.0.6", "3.1.12"), default="4.0.6")
    parser.add_argument("--batch", choices=("yes", "error", "silent"), default="yes")
    parser.add_argument("--skyspark", action="store_true", help="ids of the server's making, evalAll")
    args = parser.parse_args()

    def tell(call: Call) -> None:
        what = f"{call.samples} samples of {len(call.ids)} points" if call.samples else ""
        print(
            f"{call.method} {call.op} {call.size} bytes: {call.status} {call.error or ''} {what}", flush=True
        )

    with HaystackServer(
        args.version,
        user=args.user,
        password=args.password,
        project=args.project,
        port=args.port,
        own_ids=args.skyspark,
        eval_all=args.skyspark,
        batch=args.batch,
        on_call=tell,
    ) as server:
        print(f"{server.url} as {server.user}, until Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()

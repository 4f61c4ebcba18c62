"""The stripchart in a browser: textual-serve, kept to this machine and from other pages of the browser."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from speeddata.errors import HostError, UsageError
from speeddata.interrupts import Stop, watch
from speeddata.names import Endpoint

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware

_FONTS_FROM_AFAR = re.compile(r"<link[^>]*https://[^>]*>")  # who looks at a picture tells nobody

_STEPS, _STEP_S = 60, 0.05

log = logging.getLogger("speeddata")


def serve(at: Endpoint, command: Sequence[str]) -> None:
    """Serve what *command* draws, a process of its own for each browser, until a signal asks for the end.

    Raises:
        UsageError: textual-serve is not installed.
        HostError: nobody may listen there, or somebody does.
    """
    try:
        import textual_serve.server  # noqa: F401  # before anything is promised
    except ImportError:
        raise UsageError(
            "needs textual-serve, which is not installed",
            where="--serve",
            mend="pip install 'speeddata[web]'",
        ) from None
    with watch() as stop:
        try:
            asyncio.run(_serve(at, command, stop))
        except OSError as exc:
            raise HostError(f"cannot listen: {exc.strerror or exc}", where=str(at)) from exc


async def _serve(at: Endpoint, command: Sequence[str], stop: Stop) -> None:
    from aiohttp import web
    from textual_serve.server import Server

    server = Server(
        shlex.join(command), host=at.host, port=at.port, title="SpeedData", public_url=f"http://{at}"
    )
    app = await server._make_app()
    app.on_startup.clear()  # a logo, on standard output
    app.middlewares.append(_guard(at, server.public_url))
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, at.host, at.port).start()
        log.info("http://%s: serving until Ctrl-C", at)
        asked = asyncio.Event()

        def look() -> None:
            if stop.wait(0):
                asked.set()

        asyncio.get_running_loop().add_reader(stop.fd, look)
        await asked.wait()
        asyncio.get_running_loop().remove_reader(stop.fd)
    finally:
        await runner.cleanup()
        await _children_gone()


async def _children_gone() -> None:
    """Wait a little for the processes that drew for browsers: they were told to end."""
    for _ in range(_STEPS):
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        await asyncio.sleep(_STEP_S)


def _guard(at: Endpoint, public_url: str) -> Middleware:
    """What stands before every answer: other pages of the browser get none, and ours names its own host."""
    from aiohttp import web

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if not is_ours(request.host, at) or (origin is not None and urlsplit(origin).netloc != request.host):
            raise web.HTTPForbidden(text="Only pages that SpeedData serves may ask.\n")
        answer = await handler(request)
        if isinstance(answer, web.Response) and answer.content_type == "text/html" and answer.text:
            page = _FONTS_FROM_AFAR.sub("", answer.text)
            near = public_url.removeprefix("http:")  # of http: and of ws:
            answer.text = page.replace(near, f"//{request.host}")
        return answer

    return guarded


def is_ours(host: str, at: Endpoint) -> bool:
    """Whether the Host that a browser names may be this server: any, unless it is for this machine only."""
    if not ipaddress.ip_address(at.host).is_loopback:
        return True
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False  # a name from elsewhere that leads here

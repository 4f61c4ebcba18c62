"""What the tests of calls over HTTP share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import Server

from speeddata.errors import PeerError
from speeddata.haystack.targets import Target
from speeddata.haystack.transport import Transport
from speeddata.interrupts import Stop


def target(
    port: int, scheme: str = "http", host: str = "127.0.0.1", ca_file: Path | None = None, user: str = "su"
) -> Target:
    """The one of a server here."""
    return Target.parse(f"{scheme}://{host}:{port}/api/demo", user=user, ca_file=ca_file)


@contextlib.contextmanager
def reaching(server: Server, user: str = "su", **options: object) -> Iterator[Transport]:
    """A way to *server* without patience, unless *options* say otherwise."""
    options = {"retry_s": 0, "stop": Stop(), **options}
    way = Transport(target(server.port, user=user), **options)
    try:
        yield way
    finally:
        way.close()


def failing(server: Server, **options: object) -> PeerError:
    """The error of a request that *server* makes fail, in one line."""
    with reaching(server, **options) as way, pytest.raises(PeerError) as caught:
        way.request("GET", "about")
    assert str(caught.value).startswith(f"http://127.0.0.1:{server.port}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.status == 4
    return caught.value

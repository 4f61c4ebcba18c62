"""The engine behind a destination: its rooms, and the library it needs, are loaded when it is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from speeddata.errors import UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.database import state_directory
from speeddata.subscription.destinations import Destination, Kafka, LogFile, Nats, Stdout
from speeddata.subscription.engine import Inlet, Mode, Outlet, Position

# engine: its room, what its classes' names begin with, the library, the extra that has it
_SERVED: dict[type[Destination], tuple[str, str, str]] = {
    Nats: ("engine_nats", "Nats", "nats"),
    Kafka: ("engine_kafka", "Kafka", "confluent_kafka"),
}
_EXTRAS = {"nats": "nats", "confluent_kafka": "kafka"}


def log_path(destination: LogFile, environ: Mapping[str, str] = os.environ) -> Path:
    """The file of an embedded log: as it was named, else the usual one."""
    return Path(destination.path) if destination.path else state_directory(environ) / "hub.db"


def open_outlet(destination: Destination, *, customer: str, stop: Stop) -> Outlet:
    """The producing end of *destination*.

    Args:
        customer: whose messages they are.
        stop: ends waiting.

    Raises:
        UsageError: the library that it takes is not installed; it cannot be written to.
        Unreachable, Denied: where the engine finds out at once.
        DataError: an embedded log's file is none, or damaged.
    """
    if isinstance(destination, LogFile):
        from speeddata.subscription.engine_log import LogOutlet

        return LogOutlet(log_path(destination))
    if isinstance(destination, Stdout):
        from speeddata.subscription.engine_text import TextOutlet

        return TextOutlet()
    outlet: Outlet = _end(destination, "Outlet")(destination, customer=customer, stop=stop)
    return outlet


def open_inlet(
    destination: Destination,
    *,
    topic: str,
    name: str,
    mode: Mode = "exclusive",
    position: Position | None = None,
    stop: Stop,
) -> Inlet:
    """The consuming end of *destination*.

    Args:
        topic: of the messages.
        name: of the consumer; the engine keeps by it what was acknowledged.
        mode: whether the name is this consumer's alone, or several share the messages.
        position: where to begin; None: unread.
        stop: ends waiting.

    Raises:
        Unsupported: the engine does not have that mode or position.
        Busy: the name is another consumer's, who has it exclusively.
        UsageError, Unreachable, Denied, DataError: as for `open_outlet`.
    """
    position = position or Position()
    if isinstance(destination, LogFile):
        from speeddata.subscription.engine_log import LogInlet

        path = log_path(destination)
        return LogInlet(path, topic=topic, name=name, mode=mode, position=position, stop=stop)
    if isinstance(destination, Stdout):
        from speeddata.subscription.engine_text import TextInlet

        return TextInlet(topic=topic, mode=mode, position=position, stop=stop)
    inlet: Inlet = _end(destination, "Inlet")(
        destination, topic=topic, name=name, mode=mode, position=position, stop=stop
    )
    return inlet


def _end(destination: Destination, which: str) -> Any:
    """The class of an engine that has a server.

    Raises:
        UsageError: its library is not installed.
    """
    room, engine, library = _SERVED[type(destination)]
    try:
        import_module(library)
    except ImportError as exc:
        extra = _EXTRAS[library]
        raise UsageError(
            f"needs {library.replace('_', '-')}, which is not installed",
            where=destination.redacted,
            mend=f"pip install 'speeddata[{extra}]'",
        ) from exc
    return getattr(import_module(f"speeddata.subscription.{room}"), engine + which)

"""What every verb of `hxpush` is told: which server, who asks, and which signal is which point."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speeddata import options
from speeddata.chart.wording import span_text
from speeddata.errors import Interrupted, UsageError
from speeddata.options import Shared

if TYPE_CHECKING:
    from speeddata.haystack.client import Client
    from speeddata.haystack.joining import Problem
    from speeddata.haystack.mapping import Mapping
    from speeddata.haystack.targets import Target
    from speeddata.interrupts import Stop

PASSWORD = "SPEEDDATA_HX_PASSWORD"

_MAP_BYTES = 4 << 20

url = Shared(
    ("--url",),
    {
        "envvar": "SPEEDDATA_HX_URL",
        "metavar": "URL",
        "help": "The server's API with its project, as in https://host/api/demo.",
    },
)
user = Shared(
    ("--user",), {"envvar": "SPEEDDATA_HX_USER", "metavar": "NAME", "help": "Who writes; has to be an admin."}
)
password_file = Shared(
    ("--password-file",),
    {
        "envvar": "SPEEDDATA_HX_PASSWORD_FILE",
        "type": options.PLACE,
        "metavar": "FILE",
        "help": f"Where the password is, for its owner's eyes only (0600).  [default: ${PASSWORD}]",
    },
)
ca_file = Shared(
    ("--ca-file",),
    {
        "envvar": "SPEEDDATA_HX_CA_FILE",
        "type": options.PLACE,
        "metavar": "FILE",
        "help": "Certificates to trust instead of the system's.",
    },
)
allow_cleartext = Shared(
    ("--allow-cleartext",),
    {"is_flag": True, "help": "Speak http:// to another host: everyone on the way can read and change it."},
)
map_file = Shared(
    ("--map",),
    {
        "type": options.PLACE,
        "metavar": "FILE",
        "help": "Which signal is which point (.toml or .csv).  [default: the point whose speeddataKey is "
        "channel.signal]",
    },
)
state = Shared(
    ("--state",),
    {
        "type": options.PLACE,
        "metavar": "DIR",
        "help": "Where positions and rejects are kept.  [default: $XDG_STATE_HOME/speeddata/hxpush]",
    },
)


def server(function: options.Function) -> options.Function:
    """The options that say which server, and who asks."""
    for option in (allow_cleartext, ca_file, password_file, user, url):
        function = option(function)
    return function


def target(url: str | None, user: str | None, ca_file: str | None, allow_cleartext: bool) -> Target:
    """The server that the options name.

    Raises:
        UsageError: they name none, or one that may not be asked like that.
    """
    from speeddata.haystack.targets import Target

    if not url:
        raise UsageError("no server", mend="name it with --url, as in --url https://host/api/demo")
    if not user:
        raise UsageError("no user", mend="name it with --user")
    path = None if ca_file is None else Path(ca_file)
    return Target.parse(url, user=user, allow_cleartext=allow_cleartext, ca_file=path)


def password(file: str | None, target: Target) -> str:
    """The password, asked for before anything else, since a question waits.

    Raises:
        UsageError: there is none, or not where it would be safe.
        HostError: the file cannot be read.
    """
    from speeddata import credentials

    path = None if file is None else Path(file)
    return credentials.password(PASSWORD, path, "hxpush", who=f"{target.user} at {target.origin}")


def client(
    target: Target, password: str, stop: Stop, *, retry_s: float | None, stop_s: float = 2.0
) -> Client:
    """A session with the server, opened when it is needed."""
    from speeddata.haystack.client import Client

    return Client(target, lambda: password, retry_s=retry_s, stop=stop, stop_s=stop_s)


@contextmanager
def interruptible(stop: Stop) -> Iterator[None]:
    """Where a signal ends the waiting for a server, that is no fault of the server's.

    Raises:
        Interrupted: in place of its not being reached.
    """
    from speeddata.haystack.patience import Outage

    try:
        yield
    except Outage as exc:
        if stop.status:
            raise Interrupted(stop.status) from exc
        raise


def told(problem: Problem) -> str:
    """A problem as a line for standard error."""
    signal, point, what, mend = problem.row()
    return f"{signal}{f' ({point})' if point not in ('', signal) else ''}: {what}; {mend}"


def home(state: str | None) -> Path:
    """Where positions and rejects are kept."""
    from speeddata.haystack import positions

    return positions.directory(os.environ, None if state is None else Path(state))


def mapping(path: str | None) -> Mapping:
    """The map that --map names.

    Raises:
        UsageError: it cannot be read, or is no map.
    """
    from speeddata.haystack import mapping as maps

    if path is None:
        return maps.DEFAULT
    try:
        with open(path, "rb") as file:
            data = file.read(_MAP_BYTES + 1)
    except OSError as exc:
        raise UsageError(exc.strerror or str(exc), where=path) from exc
    if len(data) > _MAP_BYTES:
        raise UsageError(f"is larger than {_MAP_BYTES >> 20} MiB", where=path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UsageError(f"no UTF-8: {exc.reason} at byte {exc.start}", where=path) from None
    parse: Any = maps.parse_csv if path.lower().endswith(".csv") else maps.parse_toml
    found: Mapping = parse(text, path)
    return found


def ago(seconds: float) -> str:
    """A time that has passed, for people."""
    return span_text(milliseconds * 1_000_000) if (milliseconds := round(seconds * 1000)) else "0 s"

"""What the verbs of `subscribe` share: whose messages, where they go, which recording."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from speeddata.errors import Interrupted, UsageError, told_where
from speeddata.options import Shared

if TYPE_CHECKING:
    from speeddata.interrupts import Stop
    from speeddata.recording.listing import Listing
    from speeddata.subscription.destinations import Destination
    from speeddata.subscription.registry import Registry

_DEFAULT = "default"  # customers.DEFAULT, which takes its while to import

customer = Shared(
    ("--customer",), {"metavar": "NAME", "default": _DEFAULT, "help": "Whose messages; one is always there."}
)
topic = Shared(("--topic",), {"metavar": "NAME", "help": "Of the messages.  [default: the customer]"})
recording = Shared(
    ("--from", "recording"), {"metavar": "DIR", "default": "data", "help": "The recording of a relay."}
)
position = Shared(
    ("--position",),
    {"metavar": "beginning|MOMENT", "help": "From there on: all that is recorded, RFC 3339, or -10m."},
)


def begin_ns(position: str, now_ns: int) -> int:
    """What `--position` says, in nanoseconds since 1970; 0 for all that is recorded.

    Raises:
        UsageError: it says nothing of the kind.
    """
    from speeddata.timerange import moment_ns

    if position == "beginning":
        return 0
    with told_where("--position"):
        return max(1, moment_ns(position, now_ns))


def registry() -> Registry:
    """The registry of this user."""
    from speeddata.subscription.registry import Registry, registry_path

    return Registry(registry_path(os.environ))


def destination(customer: str) -> Destination:
    """Where messages of *customer* go: the embedded log where nothing was set for the default one.

    Raises:
        UsageError: nothing was set, or it is no connection string, or others can read it.
        HostError: it cannot be read.
    """
    from speeddata.subscription import secrets
    from speeddata.subscription.destinations import Destination

    text = secrets.load(customer, os.environ)
    if text is None and customer != _DEFAULT:
        mend = f"pipe its connection string into `speeddata subscribe set --customer {customer}`"
        raise UsageError("has no destination", where=customer, mend=mend)
    return Destination.parse(text or "")


@contextmanager
def answered(stop: Stop) -> Iterator[None]:
    """What a signal interrupted is told as that, and not as what the destination did not answer by then.

    Raises:
        Interrupted: a signal came, and the destination is not there.
    """
    from speeddata.subscription.engine import Unreachable

    try:
        yield
    except Unreachable as exc:
        if stop.status:
            raise Interrupted(stop.status) from exc
        raise


def listing(directory: str) -> Listing:
    """The files of a recording; none where there is no such directory yet."""
    from speeddata.recording import listing as listings

    return listings.listing([Path(directory)]) if Path(directory).is_dir() else {}

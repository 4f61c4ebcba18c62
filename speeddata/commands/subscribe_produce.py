"""`speeddata subscribe produce`: lines sent as messages."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import click

from speeddata.commands import subscribe_options
from speeddata.errors import Interrupted, UsageError
from speeddata.output import Bytes
from speeddata.streams import STDIN

if TYPE_CHECKING:
    from speeddata.subscription.engine import Message, Received

_LOT = 500  # lines that are sent together
_WAIT_S = 60.0  # for a line; no matter, since what ends the waiting wakes it


@click.command("produce")
@subscribe_options.customer
@subscribe_options.topic
@click.option("--key", metavar="KEY", default="", help="Messages of one key keep their order.")
def command(customer: str, topic: str | None, key: str) -> None:
    """Send each line of standard input as a message; write its sequence once it is acknowledged.

    \b
    Examples:
        echo '{"temp": 10}' | speeddata subscribe produce --topic raw
        speeddata tap rig -f json | speeddata subscribe produce --topic raw > /dev/null
    """
    from speeddata.interrupts import watch
    from speeddata.subscription import engines
    from speeddata.subscription.destinations import Stdout
    from speeddata.subscription.engine_text import TextInlet

    if os.isatty(STDIN):
        raise UsageError("nothing to send", where="standard input", mend="pipe lines into it")
    destination = subscribe_options.destination(customer)
    if isinstance(destination, Stdout):
        raise UsageError("is standard output, where nothing has to be sent to", where=f"customer {customer}")
    out = Bytes()
    with (
        watch() as stop,
        subscribe_options.answered(stop),
        engines.open_outlet(destination, customer=customer, stop=stop) as outlet,
    ):
        lines = TextInlet(topic=topic or customer, stop=stop)
        while not stop.asked and not lines.ended:
            if some := lines.fetch(_LOT, _WAIT_S):
                sequences = outlet.send([_message(each, key) for each in some])
                out.write("".join(f"{sequence}\n" for sequence in sequences).encode())
        if stop.status and lines.fetch(1, 0.0):
            raise Interrupted(stop.status)


def _message(line: Received, key: str) -> Message:
    from speeddata.subscription.engine import Message

    return Message(secrets.token_hex(16), line.topic, key, line.body, line.time_ns)

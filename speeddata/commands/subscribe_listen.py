"""`speeddata subscribe listen`: messages read where they were sent to."""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from speeddata import options
from speeddata.commands import subscribe_options
from speeddata.errors import DataError, Interrupted, UsageError, told_where
from speeddata.output import Bytes
from speeddata.table import many

if TYPE_CHECKING:
    from speeddata.subscription.engine import Position
    from speeddata.subscription.presenting import Form

_SEQUENCE = re.compile(r"[0-9]{1,19}")

log = logging.getLogger("speeddata")


@click.command("listen")
@subscribe_options.customer
@subscribe_options.topic
@click.option(
    "--name", metavar="NAME", default="listen", help="Of the consumer, by which what it has read is kept."
)
@click.option(
    "--mode",
    type=click.Choice(("exclusive", "shared")),
    default="exclusive",
    help="Whether the name is this one's alone, or several share the messages.",
)
@click.option(
    "--position",
    metavar="PLACE",
    default="unread",
    help="beginning, end, unread, sequence:N, or a moment: RFC 3339 or -10m.",
)
@click.option(
    "--more",
    type=options.Whole(1, 100_000),
    metavar="N",
    default=100,
    help="So many messages are taken before they are acknowledged.",
)
@click.option("--follow", is_flag=True, help="Wait for more messages.")
@click.option("--payload-only", is_flag=True, help="Write what was sent, and nothing about it.")
@click.option("--points", is_flag=True, help="Write a line for each datapoint.")
@click.option(
    "--dedup", "dedup_ns", type=options.DURATION, help="Leave out what came before, within so long."
)
@click.option(
    "--checkpoint", metavar="FILE", help="Keep the place, and what --dedup remembers, in a file, too."
)
@click.option("--exec", "exec_", metavar="CMD", help="Feed a shell command; its success acknowledges.")
@options.count.but(help="End after so many messages.")
@options.duration
def command(
    customer: str,
    topic: str | None,
    name: str,
    mode: Literal["exclusive", "shared"],
    position: str,
    more: int,
    follow: bool,
    payload_only: bool,
    points: bool,
    dedup_ns: int | None,
    checkpoint: str | None,
    exec_: str | None,
    count: int | None,
    duration_ns: int | None,
) -> None:
    """Write the messages of a customer as lines of JSON, each acknowledged once it is written.

    Messages are read from the customer's destination. Without --follow it ends behind the newest one that was
    there when it began; with it, it waits for more, for a destination that went away, and for a key to be
    renewed. With --exec each lot goes to a command's standard input, and is acknowledged when that ends well;
    else it is given to it again.

    What was not acknowledged before a crash comes again: --dedup leaves out what was read before, by the
    ids of messages and by id, time and value of datapoints. With --checkpoint it does so after a kill, too,
    but for one lot of --more messages, whose lines may have left just before it.

    \b
    Examples:
        speeddata subscribe listen --name me --follow --points
        speeddata subscribe listen --customer plant --position -1h --payload-only | jq .data
        speeddata subscribe listen --name norm --payload-only \\
            --exec "jq -c '.processed=true' | speeddata subscribe produce --topic refined"
    """
    from speeddata.interrupts import watch
    from speeddata.subscription import engines
    from speeddata.subscription.checkpoints import Checkpoint, Whose
    from speeddata.subscription.dedup import Dedup
    from speeddata.subscription.destinations import Destination, Stdout
    from speeddata.subscription.engine import Inlet
    from speeddata.subscription.listening import Wish, listen
    from speeddata.subscription.renewing import Renewing

    if payload_only and points:
        raise UsageError("shows less than --payload-only, or more", where="--points", mend="say one of them")
    form: Form = "payload" if payload_only else "points" if points else "message"
    begin = _position(position)
    dedup = None if dedup_ns is None else Dedup(dedup_ns)
    kept = None if checkpoint is None else Checkpoint(Path(checkpoint))
    if kept is not None and dedup is not None:
        try:
            if kept.dedup:
                dedup.restore(kept.dedup)
            for news in kept.later:
                dedup.learn(news)
        except DataError as exc:
            raise DataError(exc.what, where=str(kept.path), mend=exc.mend) from None
    topic = topic or customer
    destination = subscribe_options.destination(customer)
    behind = 0
    if kept is not None:
        kept.belongs(Whose.of(destination, topic, name))
        numbered = mode == "exclusive" and not isinstance(destination, Stdout)  # a pipe begins at 1
        if numbered and _SEQUENCE.fullmatch(kept.sequence) and not options.given("position"):
            # what was acknowledged may be ahead of a file that is written now and then: never go back to that
            behind = int(kept.sequence)

    def opened(destination: Destination, first: bool) -> Inlet:
        position = begin if first else None
        return engines.open_inlet(
            destination, topic=topic, name=name, mode=mode, position=position, stop=stop
        )

    def same(one: Destination, other: Destination) -> bool:
        return Whose.of(one, topic, name).same(Whose.of(other, topic, name))

    with ExitStack() as stack:
        stop = stack.enter_context(watch())
        with subscribe_options.answered(stop):
            inlet = Renewing(lambda: subscribe_options.destination(customer), opened, same)
        stack.enter_context(inlet)
        if duration_ns is not None:
            stack.enter_context(stop.after(duration_ns / 1e9))
        out = Bytes()
        wish = Wish(form, more, count, follow, command=exec_ or "", escaped=os.isatty(out.fd))
        handed_on = listen(
            inlet,
            wish,
            stop,
            into=out,
            dedup=dedup,
            checkpoint=kept,
            behind=behind,
            changed=lambda: inlet.changed,
        )
    said = many(handed_on, "message")
    if dedup is not None:
        said += f"; left out: {many(dedup.dropped_messages, 'message')}"
        said += f" and {many(dedup.dropped_points, 'datapoint')}"
    log.info("%s: %s", name, said)
    if stop.status and not follow:
        raise Interrupted(stop.status)


def _position(text: str) -> Position:
    """Raises:
    UsageError: *text* is no place.
    """
    from speeddata.subscription.engine import Position
    from speeddata.timerange import moment_ns

    if text == "beginning":
        return Position("beginning")
    if text == "end":
        return Position("end")
    if text == "unread":
        return Position("unread")
    if text.startswith("sequence:"):
        return Position("sequence", sequence=text.removeprefix("sequence:"))
    with told_where("--position"):
        return Position("since", time_ns=moment_ns(text, time.time_ns()))

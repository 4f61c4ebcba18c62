"""`speeddata subscribe`: chosen signals for another system, with nothing lost."""

from __future__ import annotations

from speeddata.verbs import Verbs

VERBS = {
    "set": "Say where a customer's messages go.",
    "add": "Subscribe a customer to signals.",
    "rm": "Unsubscribe a customer from signals, or forget it.",
    "ls": "List customers: what they get, how far they are, what went wrong.",
    "ids": "List the ids of signals, or give them ids from elsewhere.",
    "run": "Serve a customer from a recording.",
    "listen": "Read messages where they were sent to, and acknowledge them.",
    "produce": "Send lines as messages.",
}

command = Verbs(
    "subscribe",
    VERBS,
    {verb: f"speeddata.commands.subscribe_{verb}" for verb in VERBS},
    help="""Deliver chosen signals to another system for good; whoever is down meanwhile gets all later.

    A customer has one destination and any number of signals. The recording of a relay is what is delivered
    from; a position in it moves only when the destination has acknowledged. Messages may come twice, with
    the same id; none is left out, and where retention was quicker, a gap is told.

    \b
    Examples:
        speeddata subscribe add 'rig/*'
        speeddata subscribe run & speeddata subscribe listen --name me --follow --points | head
        echo 'nats://127.0.0.1:4222/SPEED' | speeddata subscribe set --customer plant
    """,
)

"""`speeddata subscribe rm`: signals that a customer no longer gets."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from speeddata.commands import subscribe_options
from speeddata.commands.subscribe_add import given
from speeddata.errors import UsageError
from speeddata.legible import printable


@click.command("rm")
@click.argument("signals", nargs=-1, metavar="SIGNAL...")
@subscribe_options.customer
@click.option("--all", "everything", is_flag=True, help="Forget the customer, its destination and positions.")
def command(signals: Sequence[str], customer: str, everything: bool) -> None:
    """Unsubscribe a customer from signals, written as they were added; or forget the customer.

    \b
    Examples:
        speeddata subscribe rm --customer plant rig/sine_wave
        speeddata subscribe rm --customer plant --all
    """
    from speeddata.subscription import secrets
    from speeddata.subscription.series import Pattern

    if everything and signals:
        raise UsageError("takes no SIGNAL", where="--all", mend="leave one of them out")
    with subscribe_options.registry() as registry:
        if everything:
            with registry.serving(customer):  # not while a run would write it again
                there = secrets.remove(customer, os.environ)
                if not (registry.forget(customer) or there):
                    mend = "see `speeddata subscribe ls`"
                    raise UsageError("is no customer", where=printable(customer), mend=mend)
            return
        patterns = [Pattern.parse(text).text for text in given(signals)]
        gone = registry.remove(customer, patterns)
        if missing := [pattern for pattern in patterns if pattern not in gone]:
            raise UsageError(
                f"is not subscribed to {printable(', '.join(missing))}",
                where=customer,
                mend="see `speeddata subscribe ls`",
            )

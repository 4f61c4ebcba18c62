"""`speeddata subscribe set`: where a customer's messages go."""

from __future__ import annotations

import getpass
import logging
import os
import sys
from collections.abc import Sequence

import click

from speeddata.commands import subscribe_options
from speeddata.errors import UsageError

_MOST = 1 << 16  # characters of what may be a connection string

log = logging.getLogger("speeddata")


@click.command("set")
@subscribe_options.customer
@click.option("--from-file", metavar="FILE", help="Read the connection string there.")
@click.argument("arguments", nargs=-1, metavar="", type=click.UNPROCESSED)
def command(customer: str, from_file: str | None, arguments: Sequence[str]) -> None:
    """Keep the connection string of a customer's destination, from standard input, a file or a question.

    It is kept for its owner's eyes only, apart from everything else, and read again whenever the destination
    refuses it: a key that is renewed here heals a run by itself. Forms of it:

    \b
        sqlite:PATH                         a log in a file; the usual one where nothing is set
        nats://HOST:4222/STREAM             NATS JetStream; tls:// for TLS; user:password@, ?creds=PATH
        kafka://HOST:9092/TOPIC             Kafka and what speaks its protocol; kafka+ssl:// for TLS;
                                            user:password@ with ?sasl=PLAIN or SCRAM-SHA-256, -512
        Endpoint=sb://...;EntityPath=...    Azure Event Hubs, as its portal gives it
        -                                   standard output of `run`, a line a message

    \b
    Examples:
        echo 'nats://127.0.0.1:4222/SPEED' | speeddata subscribe set --customer plant
        speeddata subscribe set --customer cloud --from-file eventhub.txt
    """
    from speeddata.subscription import secrets
    from speeddata.subscription.customers import customer_name
    from speeddata.subscription.destinations import Destination

    customer_name(customer)
    if arguments:  # and none of it is repeated
        mend = "pipe it in, name a file with --from-file, or answer the question"
        raise UsageError(
            "takes no connection string as an argument, where others see it", where="subscribe set", mend=mend
        )
    text = _text(customer, from_file)
    destination = Destination.parse(text)
    with subscribe_options.registry() as registry:
        secrets.save(customer, text, os.environ)
        registry.set_destination(customer, destination.redacted)
    log.info("%s: %s", customer, destination.redacted)


def _text(customer: str, path: str | None) -> str:
    if path is not None:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read(_MOST)
        except OSError as exc:
            raise UsageError(exc.strerror or str(exc), where=path) from exc
        except UnicodeDecodeError:
            raise UsageError("is no text", where=path) from None
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            return getpass.getpass(f"connection string of {customer}: ")
        except EOFError:
            raise UsageError("no connection string", where="standard input") from None
    try:
        text = sys.stdin.read(_MOST) if sys.stdin is not None else ""
    except UnicodeDecodeError:
        raise UsageError("is no text", where="standard input") from None
    if not text.strip():
        raise UsageError("no connection string", where="standard input", mend="pipe it in")
    return text

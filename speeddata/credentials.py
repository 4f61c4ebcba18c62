"""A password from where one belongs: a file of its owner's alone, the environment, systemd, a terminal."""

from __future__ import annotations

import errno
import getpass
import os
import stat
from pathlib import Path

from speeddata.errors import HostError, UsageError

_MAX_BYTES = 4096  # of a password file: beyond that it is another file


def password(
    name: str = "SPEEDDATA_HX_PASSWORD",
    file: Path | None = None,
    credential: str = "hxpush",
    *,
    who: str = "",
) -> str:
    """The password, from the first of these that has one.

    A file that was named (`--password-file`), the environment variable *name* (empty counts as absent), the
    systemd credential *credential*, and a question on the terminal when the program runs in its foreground.
    A question waits for ever, and takes Ctrl-C as usual only outside of `interrupts.watch`.

    Args:
        who: whose password it is, for the question.

    Raises:
        UsageError: none of them has one, or the file's is not safe there.
        HostError: the file cannot be read.
    """
    if file is not None:
        return _from_file(file, private=True)
    if value := os.environ.get(name):
        return _whole(value, name)
    if directory := os.environ.get("CREDENTIALS_DIRECTORY"):
        path = Path(directory, credential)
        if os.path.lexists(path):  # systemd keeps others out of that directory itself
            return _from_file(path, private=False)
    if _in_foreground():
        return _asked(who)
    raise UsageError(
        "no password given",
        mend=f"set {name}, name a file of mode 0600 with --password-file, "
        f"or let systemd load the credential {credential}",
    )


def _from_file(path: Path, *, private: bool) -> str:
    """The password in *path*, its end of line cut off; *private*: only where nobody else can read it."""
    where = str(path)
    try:
        # Links are followed, as Kubernetes and others keep secrets behind them: what counts is whose file it
        # is in the end. O_NONBLOCK, lest a FIFO makes us wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)  # of what was opened, so nobody can exchange it in between
            if not stat.S_ISREG(status.st_mode):
                raise UsageError("not a plain file", where=where, mend="put the password into one")
            if private:
                _check_private(status, path)
            content = os.read(fd, _MAX_BYTES + 1)
        finally:
            os.close(fd)
    except OSError as exc:
        kind = UsageError if exc.errno == errno.ENOENT else HostError
        raise kind(exc.strerror or str(exc), where=where) from exc
    if len(content) > _MAX_BYTES:
        raise UsageError(f"more than {_MAX_BYTES} bytes: no password file", where=where)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # not chained: the message would have a byte of the content in it
        raise UsageError("not UTF-8 text", where=where) from None
    return _whole(text.removesuffix("\n").removesuffix("\r"), where)


def _check_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise UsageError(
            "the password file belongs to another user", where=str(path), mend="make a copy of your own"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError("others can read the password file", where=str(path), mend=f"chmod 600 {path}")


def _whole(text: str, where: str) -> str:
    if not text:
        raise UsageError("empty, where a password was to be", where=where)
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise UsageError("more than one line, or control characters, in the password", where=where)
    if any(0xD800 <= ord(c) <= 0xDFFF for c in text):  # bytes of the environment that are no UTF-8
        raise UsageError("the password is not UTF-8 text", where=where)
    return text


def _in_foreground() -> bool:
    """Whether somebody sits at a terminal whose next input is for this process.

    In the background a question would stop the process (SIGTTIN); cron and systemd have no terminal.
    """
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(fd)


def _asked(who: str) -> str:
    try:
        text = getpass.getpass(f"Password of {who}: " if who else "Password: ")
    except EOFError:
        text = ""
    return _whole(text, "terminal")

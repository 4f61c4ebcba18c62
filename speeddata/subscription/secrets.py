"""Connection strings, each in a file of its owner's alone: nowhere else, and in no error any part of one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from speeddata.errors import HostError, UsageError
from speeddata.subscription.customers import customer_name
from speeddata.subscription.destinations import MAX_TEXT

_MOST_BYTES = 4 * MAX_TEXT  # of characters in UTF-8


def directory(environ: Mapping[str, str]) -> Path:
    """Where they are, as the XDG base directories say it."""
    home = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):  # one that is relative is to be ignored (XDG Base Directory Specification)
        home = os.path.join(environ.get("HOME", "/"), ".config")
    return Path(home) / "speeddata" / "destinations"


def load(customer: str, environ: Mapping[str, str]) -> str | None:
    """The connection string of *customer*, read anew each time; None where it has none.

    What systemd keeps for the service (`LoadCredential=CUSTOMER:...`) comes before the file.

    Raises:
        UsageError: others can read or exchange it, or it is no text.
        HostError: it cannot be read.
    """
    name = customer_name(customer)
    if given := environ.get("CREDENTIALS_DIRECTORY"):
        # systemd keeps others out of that directory itself; the files may be root's
        text = _read(Path(given, name), private=False)
        if text is not None:
            return text
    return _read(directory(environ) / name, private=True)


def save(customer: str, text: str, environ: Mapping[str, str]) -> Path:
    """Keep *text* for *customer*, whole and on the disk; whenever a kill comes, one is there whole.

    Returns:
        The file.

    Raises:
        UsageError: *text* is empty or no text; others may write to its directory.
        HostError: it cannot be written; then it is as it was.
    """
    path = directory(environ) / customer_name(customer)
    content = _content(text, customer)
    try:
        _make_directory(path.parent)
        # 0600 and O_EXCL, whatever the umask; a name that begins with a dot is no customer's
        fd, new = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with open(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(fd)
            os.replace(new, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        _sync(path.parent)
    except OSError as exc:
        raise HostError(f"cannot write: {exc.strerror}", where=str(path)) from exc
    return path


def remove(customer: str, environ: Mapping[str, str]) -> bool:
    """Remove the file of *customer*; return whether there was one.

    Raises:
        HostError: it cannot be removed.
    """
    path = directory(environ) / customer_name(customer)
    try:
        path.unlink()
        _sync(path.parent)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise HostError(f"cannot be removed: {exc.strerror}", where=str(path)) from exc
    return True


def _read(path: Path, *, private: bool) -> str | None:
    where = str(path)
    try:
        # Links are followed, as Kubernetes and others keep secrets behind them: what counts is whose file it
        # is in the end. O_NONBLOCK, lest a FIFO makes us wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno == errno.ENOENT and not path.is_symlink():
            return None
        raise HostError(f"cannot read: {exc.strerror}", where=where) from exc
    try:
        status = os.fstat(fd)  # of what was opened, so nobody can exchange it in between
        if not stat.S_ISREG(status.st_mode):
            raise UsageError("no plain file", where=where, mend="set the destination again")
        if private:
            _check_private(status, path)
        content = b""
        while len(content) <= _MOST_BYTES and (piece := os.read(fd, _MOST_BYTES + 1)):
            content += piece
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=where) from exc
    finally:
        os.close(fd)
    return _text(content, where)


# An error of Python's about text has that text in it; so none may be the cause or context of ours.


def _content(text: str, where: str) -> bytes:
    content = b""
    with contextlib.suppress(UnicodeEncodeError):
        content = text.strip().encode()
    if not content:
        raise UsageError("no connection string: empty, or no text", where=where)
    return content + b"\n"


def _text(content: bytes, where: str) -> str:
    text = None
    with contextlib.suppress(UnicodeDecodeError):
        text = content.decode().strip()
    if text is None or len(content) > _MOST_BYTES:
        raise UsageError("no connection string: too long, or no text", where=where)
    if not text:
        raise UsageError("empty, where a connection string was to be", where=where)
    return text


def _check_private(status: os.stat_result, path: Path) -> None:
    if status.st_uid != os.geteuid():
        raise UsageError(
            "the connection string belongs to another user",
            where=str(path),
            mend="set the destination as the user who runs this",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise UsageError("others can read the connection string", where=str(path), mend=f"chmod 600 {path}")


def _make_directory(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if stat.S_IMODE(path.stat().st_mode) & 0o022:
        raise UsageError("others can write to the directory", where=str(path), mend=f"chmod 700 {path}")


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Files written aside: hidden, beside the place that they take when they are whole."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_LEFT_S = 3600.0  # nothing was written for so long: nobody on another host that sees this directory is at it


def aside_of(path: Path) -> Path:
    """What *path* is called while this process writes it."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def sweep(path: Path) -> None:
    """Delete what killed processes left beside *path*, aside of it or of other files of its kind.

    That is what `aside_of` has named for a process that is no more, an hour after it was last written. What
    cannot be deleted stays.
    """
    try:
        names = os.listdir(path.parent)
    except OSError:
        return
    for each in names:
        name, _, pid = each.rpartition(".")
        if name.startswith(".") and path.suffix and name.endswith(path.suffix) and _is_over(pid):
            with contextlib.suppress(OSError):
                left = path.with_name(each)
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    left.unlink()


def _is_over(pid: str) -> bool:
    """Whether that is the number of a process, of one that does not run."""
    if not (pid.isascii() and pid.isdecimal()):
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False

"""What targets share: a directory for those that read files, and what an error has to be."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

_MEMORY = Path("/dev/shm")


@cache
def scratch() -> Path:
    """Where files may be written; it is gone with the process."""
    if given := os.environ.get("FUZZ_SCRATCH"):  # of a process that ends without looking back
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given)
    made = Path(tempfile.mkdtemp(prefix="speeddata-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def one_line(error: Exception, begin: str = "") -> None:
    """Fails unless *error* is one line that begins so."""
    assert str(error).startswith(begin)
    assert str(error).isprintable()

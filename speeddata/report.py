"""All of stderr: notes that come through `logging`, errors in one line, and a status that redraws itself.

Silent when all is well, unless stderr is a terminal or `-v` asks for more.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence

from speeddata.errors import SpeedDataError
from speeddata.legible import printable

QUIET, NORMAL, VERBOSE = -1, 0, 1

_logger = logging.getLogger("speeddata")
_lock = threading.RLock()  # notes come from any thread
_status_lines = 0  # on the screen, below the cursor's line of last resort


class _Notes(logging.Handler):
    """Puts each note on stderr as one line, out of the way of the status."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())
        if record.exc_info and _logger.isEnabledFor(logging.DEBUG):
            _write("".join(traceback.format_exception(*record.exc_info)))


def start(verbosity: int = NORMAL) -> None:
    """Take charge of all notes: errors always, warnings unless quiet, the rest on a terminal or with -v."""
    if not any(isinstance(handler, _Notes) for handler in _logger.handlers):
        _logger.addHandler(_Notes())
        _logger.propagate = False
    if verbosity == NORMAL:
        _logger.setLevel(logging.INFO if is_terminal() else logging.WARNING)
    else:
        _logger.setLevel(logging.DEBUG if verbosity > NORMAL else logging.ERROR)


def is_terminal() -> bool:
    """Whether a person is likely to read stderr as it comes."""
    return sys.stderr is not None and sys.stderr.isatty()


def error(problem: SpeedDataError) -> None:
    """Say `speeddata: WHERE: WHAT; HOW TO MEND` in one line."""
    _say(str(problem))


def status(lines: Sequence[str]) -> None:
    """Show *lines* in place of those shown before; on a terminal only, and not when quiet."""
    global _status_lines
    if not is_terminal() or _logger.level >= logging.ERROR:
        return
    width = _terminal_width()
    with _lock:
        # one write, so that no half-drawn status is seen; a wrapped line would spoil the count
        _write(_erasure() + "".join(f"{printable(line)[: width - 1]}\n" for line in lines))
        _status_lines = len(lines)


def clear_status() -> None:
    """Take the status off the screen."""
    global _status_lines
    with _lock:
        if _status_lines:
            _write(_erasure())
        _status_lines = 0


def _say(text: str) -> None:
    with _lock:
        clear_status()
        _write(f"speeddata: {printable(text)}\n")


def _erasure() -> str:
    return f"\x1b[{_status_lines}A\r\x1b[J" if _status_lines else ""


def _terminal_width() -> int:
    try:
        return max(2, os.get_terminal_size(sys.stderr.fileno()).columns or 80)
    except (OSError, ValueError):
        return 80


def _write(text: str) -> None:
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads stderr any more: no reason to stop the work
        pass

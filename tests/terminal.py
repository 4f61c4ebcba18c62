"""A command on a terminal of its own: what it draws, read with deadlines, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Self

DEADLINE_S = 30.0


class Terminal:
    """`speeddata ARGS` with a pseudo terminal as its controlling one, killed when the context is left."""

    def __init__(
        self,
        *args: object,
        cwd: Path,
        env: dict[str, str],
        size: tuple[int, int] = (120, 40),
        stdin: int | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.attributes = termios.tcgetattr(theirs)
        self._theirs = theirs  # kept open: what the command leaves the terminal like is looked at
        self.drawn = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speeddata", *map(str, args)],
            stdin=theirs if stdin is None else stdin,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**env, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def hang_up(self) -> None:
        """Close the terminal, as a window is closed."""
        os.close(self._ours)
        self._ours = os.open(os.devnull, os.O_RDWR)

    def press(self, keys: str) -> None:
        """Type *keys*."""
        os.write(self._ours, keys.encode())

    def until(self, pattern: str, deadline_s: float = DEADLINE_S, since: int | None = None) -> str:
        """All that was drawn, once *pattern* is in what was drawn from now on, or from byte *since*."""
        begun, end = len(self.drawn) if since is None else since, time.monotonic() + deadline_s
        while not re.search(pattern, self.text(begun), re.DOTALL):
            assert time.monotonic() < end, self.text(begun)[-3000:]
            self._read(0.1)
        return self.text(0)

    def wait(self) -> int:
        """The exit status."""
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text(0)[-3000:]
            self._read(0.05)
        self._read(0.05)
        return self.process.returncode

    def text(self, begun: int = 0) -> str:
        """What was drawn from byte *begun* on, without the sequences that steer the terminal."""
        return re.sub(r"\x1b\[[0-9;?<>=]*[A-Za-z]", "", self.drawn[begun:].decode(errors="replace"))

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was: its modes, its screen, its cursor, no mouse."""
        last = {
            name: max(self.drawn.rfind(b"\x1b[?%b%b" % (number, on)) for on in b"h l".split())
            for name, number in (("screen", b"1049"), ("cursor", b"25"), ("mouse", b"1003"))
        }
        ends = {name: self.drawn[at : at + 8].partition(b"\x1b")[2] for name, at in last.items()}
        off = ends["screen"].startswith(b"[?1049l") and ends["mouse"].startswith(b"[?1003l")
        on = ends["cursor"].startswith(b"[?25h")
        return termios.tcgetattr(self._theirs) == self.attributes and off and on

    def _read(self, seconds: float) -> None:
        while select.select([self._ours], [], [], seconds)[0]:
            self.drawn += os.read(self._ours, 1 << 16)
            seconds = 0

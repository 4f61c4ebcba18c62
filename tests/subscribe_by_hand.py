"""A bench for tests of `subscribe`: commands as processes; state, secrets and recordings of their own."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Spawned
from hxpush_by_hand import NOON, NOTE, TIME, VOLTS, S, record

from speeddata import cli

# UUIDv5 of rig/volts and rig/note in the namespace that is the UUIDv5 of the domain "speeddata"
VOLTS_ID = "eb2e972a-84da-5854-93b2-74c2bbc2ad8e"
NOTE_ID = "e3013f18-583c-5a93-bdd0-08539068b027"


class Bench:
    """Commands in a directory of their own; what they keep is under `state` and `config`."""

    def __init__(self, directory: Path, environment: dict[str, str], spawn: Callable[..., Spawned]) -> None:
        self.directory, self._spawn, self._numbers = directory, spawn, itertools.count()
        self.state, self.config = directory / "state", directory / "config"
        self.own = {"XDG_STATE_HOME": str(self.state), "XDG_CONFIG_HOME": str(self.config)}
        self.environment = {**environment, **self.own}

    def record(self, count: int, first: int = 0, channel: str = "rig") -> Path:
        """A file of volts and a note, a datum a second, by fastavro."""
        rows = [
            {"time": NOON + n * S, "volts": float(n), "note": f"n{n}"} for n in range(first, first + count)
        ]
        return record(self.directory / "data", channel, [TIME, VOLTS, NOTE], rows, NOON + first * S)

    def __call__(self, *args: object, input: str | bytes = "", **env: str) -> tuple[int, str, str]:
        """Status, standard output and standard error of a verb that was run to its end.

        In a process that is forked off this one, whose modules are there already.
        """
        number = next(self._numbers)
        paths = [self.directory / f".{number}-{name}" for name in ("in", "out", "err")]
        paths[0].write_bytes(input.encode() if isinstance(input, str) else input)
        child = os.fork()
        if not child:
            status = 70
            try:
                for fd, path in enumerate(paths):
                    os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), fd)
                sys.stdin, sys.stdout, sys.stderr = map(os.fdopen, range(3), "rww")
                os.chdir(self.directory)
                os.environ.clear()
                os.environ.update({**self.environment, **env})
                logging.getLogger().handlers.clear()  # those of pytest
                status = cli.main(["subscribe", *map(str, args)])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        _, how = os.waitpid(child, 0)
        out, err = (path.read_text() for path in paths[1:])
        for path in paths:
            path.unlink()
        return os.waitstatus_to_exitcode(how), out, err

    def ok(self, *args: object, input: str | bytes = "", **env: str) -> str:
        """Standard output of a verb that has nothing to complain about."""
        status, out, err = self(*args, input=input, **env)
        assert (status, err) == (0, "")
        return out

    def start(self, *args: object, **more: Any) -> Spawned:
        """A verb that runs on."""
        env = {**self.own, **more.pop("env", {})}
        return self._spawn("subscribe", *args, cwd=self.directory, env=env, **more)

    def shell(self, line: str) -> tuple[int, str, str]:
        """A line for bash, in which `speeddata` is this one."""
        bin_ = self.directory / "bin"
        bin_.mkdir(exist_ok=True)
        (bin_ / "speeddata").write_text(f'#!/bin/sh\nexec {sys.executable} -m speeddata "$@"\n')
        (bin_ / "speeddata").chmod(0o755)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.directory,
            env={**self.environment, "PATH": f"{bin_}:{os.environ['PATH']}"},
            timeout=60,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def ls(self, customer: str = "default") -> dict[str, Any]:
        return json.loads(self.ok("ls", "--json", "--customer", customer))


@pytest.fixture
def subscribe(tmp_path: Path, environment: dict[str, str], spawn: Callable[..., Spawned]) -> Bench:
    return Bench(tmp_path, environment, spawn)

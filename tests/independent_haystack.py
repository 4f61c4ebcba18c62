"""A Project Haystack server that others wrote: haystack-py, which answers well to a batch and forgets it.

It needs Python 3.13: `python3.13 -m venv there && there/bin/pip install "haystack-py[server]"`, and then
SPEEDDATA_HAYSTACK_PY=there/bin/python. Without it the tests that ask for `haystack_py` are skipped.

    from independent_haystack import haystack_py  # the fixture
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Output

# Runs in the other Python. The first line it is given: {user, password, points}; every further one asks for
# what is stored. It answers with its port, then with {id: [[ns, value], ...]} in the order of the writes.
PROGRAM = """
import json, logging, socket, sys, threading, uvicorn
from hs_py.auth_types import SimpleAuthenticator
from hs_py.fastapi_server import create_fastapi_app
from hs_py.kinds import MARKER, Number, Ref
from hs_py.storage.memory import InMemoryAdapter

told = json.loads(sys.stdin.readline())
points = [
    {name: MARKER if tag is None else tag for name, tag in point.items()} | {"id": Ref(point["id"])}
    for point in told["points"]
]
storage = InMemoryAdapter(points)
users = SimpleAuthenticator({told["user"]: told["password"]}, iterations=10_000)
app = create_fastapi_app(storage=storage, authenticator=users)
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen(64)
print(listening.getsockname()[1], flush=True)

def plain(value):
    value = value.val if isinstance(value, Number) else value
    return value if isinstance(value, (bool, float, int, str)) else repr(value)

def ns(moment):
    return round(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000

def tell():
    for _ in sys.stdin:
        stored = storage._timeseries.items()
        items = {id: [[ns(item["ts"]), plain(item["val"])] for item in all] for id, all in stored}
        print(json.dumps(items), flush=True)

threading.Thread(target=tell, daemon=True).start()
uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on")).run(sockets=[listening])
"""


class HaystackPy:
    """A running server at *url* on 127.0.0.1, with a point each of *points*: tags, None for a marker.

    Its records cannot be changed (it knows no commit); it has one user.
    """

    user, password = "su", "geheim"

    def __init__(self, python: str, points: list[dict[str, Any]]) -> None:
        self._process = subprocess.Popen(
            [python, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._out = Output(self._process.stdout, "haystack-py")
        self._tell({"user": self.user, "password": self.password, "points": points})
        try:
            self.url = f"http://127.0.0.1:{int(self._out.line())}/api"
        except BaseException:
            self.close()
            raise

    def _tell(self, what: Any) -> None:
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    def history(self, id: str) -> list[tuple[int, Any]]:
        """What was written to a point, in the order in which it came, with what came twice."""
        self._tell(None)
        return [tuple(item) for item in json.loads(self._out.line()).get(id, [])]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def python_with_haystack_py() -> str:
    """A Python that has haystack-py; skips the test when there is none."""
    python = os.environ.get("SPEEDDATA_HAYSTACK_PY") or sys.executable
    done = subprocess.run(
        [python, "-c", "import hs_py, uvicorn"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        pytest.skip(f"SPEEDDATA_HAYSTACK_PY names no Python with haystack-py[server]: {python}: {why}")
    return python


@pytest.fixture(scope="module")
def haystack_py() -> Iterator[Any]:
    """`haystack_py(point, ...)` starts a server; that takes it seconds, so it lives as long as the module."""
    python = python_with_haystack_py()
    running: list[HaystackPy] = []

    def start(*points: dict[str, Any]) -> HaystackPy:
        running.append(HaystackPy(python, list(points)))
        return running[-1]

    yield start
    for server in running:
        server.close()

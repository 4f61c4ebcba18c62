"""The engine behind a destination is opened by its string, and loads nothing that it does not need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from engine_contract import ROOT

from speeddata.errors import UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Destination, LogFile
from speeddata.subscription.engines import log_path, open_inlet, open_outlet


@pytest.mark.parametrize(
    ("text", "library", "cure"),
    [
        ("nats://127.0.0.1:4222/SPEED", "nats", "pip install 'speeddata[nats]'"),
        ("kafka://127.0.0.1:9092/speed", "confluent_kafka", "pip install 'speeddata[kafka]'"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_cure(monkeypatch, text, library, cure):
    monkeypatch.setitem(sys.modules, library, None)  # its import fails
    destination = Destination.parse(text)
    for call in (
        lambda: open_outlet(destination, customer="plant", stop=Stop()),
        lambda: open_inlet(destination, topic="plant", name="me", stop=Stop()),
    ):
        with pytest.raises(UsageError) as told:
            call()
        assert str(told.value) == f"{text}: needs {library.replace('_', '-')}, which is not installed; {cure}"


def test_the_log_is_where_it_was_named_or_else_of_this_user(tmp_path):
    assert str(log_path(LogFile("/var/log.db"))) == "/var/log.db"
    assert str(log_path(LogFile(), {"XDG_STATE_HOME": "/var/x"})) == "/var/x/speeddata/hub.db"
    assert str(log_path(LogFile(), {"HOME": "/h"})) == "/h/.local/state/speeddata/hub.db"


def test_the_embedded_log_loads_no_library_of_an_engine(tmp_path):
    program = (
        "import sys; from speeddata.interrupts import Stop\n"
        "from speeddata.subscription.destinations import Destination\n"
        "from speeddata.subscription.engines import open_inlet, open_outlet\n"
        "log = Destination.parse('')\n"
        "with open_outlet(log, customer='plant', stop=Stop()): pass\n"
        "with open_inlet(log, topic='plant', name='me', stop=Stop()): pass\n"
        "print(sorted({'nats', 'confluent_kafka', 'numpy', 'asyncio'} & set(sys.modules)))"
    )
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert (tmp_path / "speeddata" / "hub.db").exists()

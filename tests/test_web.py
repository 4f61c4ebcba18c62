"""Who may ask the server of the stripchart."""

from __future__ import annotations

import pytest

from speeddata.names import Endpoint
from speeddata.stripchart.web import is_ours


@pytest.mark.parametrize(
    ("host", "at", "ours"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000", True),
        ("localhost:8000", "127.0.0.1:8000", True),
        ("[::1]:8000", "[::1]:8000", True),
        ("evil.example:8000", "127.0.0.1:8000", False),
        ("192.168.1.5:8000", "127.0.0.1:8000", False),
        ("", "127.0.0.1:8000", False),
        ("rig.lab:8000", "0.0.0.0:8000", True),
    ],
)
def test_a_server_for_this_machine_answers_by_no_other_name(host, at, ours):
    assert is_ours(host, Endpoint.parse(at)) is ours

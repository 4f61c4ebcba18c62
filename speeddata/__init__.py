"""SpeedData: a toolbox of composable commands for live telemetry, and a door to the same data from Python.

`speeddata.read` gives what was recorded as NumPy arrays, `speeddata.tap` what is live; what goes wrong is one
of `speeddata.errors`. Importing this package loads nothing; using it does (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speeddata import errors as errors
    from speeddata.samples import Samples as Samples
    from speeddata.sets import ChannelSet as ChannelSet
    from speeddata.sets import read as read
    from speeddata.tapping import Tap as Tap
    from speeddata.tapping import tap as tap

__version__ = "0.1.0"

_ROOMS = {"read": "sets", "ChannelSet": "sets", "Samples": "samples", "tap": "tapping", "Tap": "tapping"}
__all__ = ["ChannelSet", "Samples", "Tap", "__version__", "errors", "read", "tap"]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("speeddata.errors")
    if name not in _ROOMS:
        raise AttributeError(f"module 'speeddata' has no attribute '{name}'")
    return getattr(importlib.import_module(f"speeddata.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

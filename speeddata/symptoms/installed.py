"""The versions of this program, of Python, of the system, and of what is installed beside it."""

from __future__ import annotations

import contextlib
import platform
from importlib import metadata

from speeddata import __version__
from speeddata.doctor.parts import EXTRAS, FASTER, NEEDED, Parts


def parts() -> Parts:
    """As installed where this program runs; nothing of it is imported."""
    versions = {}
    for name in (*NEEDED, *FASTER, *(one for wanted in EXTRAS.values() for one in wanted)):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Parts(__version__, platform.python_version(), system, versions)

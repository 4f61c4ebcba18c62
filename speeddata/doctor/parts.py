"""Which versions run, and which optional parts are there: to tell, when help is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from speeddata.doctor.finding import FAULT, OK, Finding

_ABOUT = "program"

# As in pyproject.toml: the distributions of each, by their names.
NEEDED = ("click", "fastavro", "h5py", "numpy", "rich", "textual")
FASTER = ("isal", "orjson")  # not for every kind of machine
EXTRAS = {
    "codecs": ("cramjam", "zstandard"),
    "haystack": ("scramp", "urllib3"),
    "kafka": ("confluent-kafka",),
    "nats": ("nats-py",),
    "web": ("textual-serve",),
}


@dataclass(frozen=True)
class Parts:
    """What is installed.

    Attributes:
        program, python, system: "0.1.0", "3.11.9", "Linux 6.18".
        versions: of distributions that are there, by their names.
    """

    program: str
    python: str
    system: str
    versions: Mapping[str, str]


def judge(parts: Parts) -> Iterator[Finding]:
    """For information, unless something is missing that every command needs."""
    versions = parts.versions
    missing = [name for name in NEEDED if name not in versions]
    if missing:
        what = f"not installed: {', '.join(missing)}"
        yield Finding(_ABOUT, FAULT, what, f"pip install {' '.join(missing)}")
    told = ", ".join(f"{name} {versions[name]}" for name in (*NEEDED, *FASTER) if name in versions)
    what = f"speeddata {parts.program}, Python {parts.python}, {parts.system}: {told}"
    measured = {"speeddata": parts.program, "python": parts.python, "system": parts.system, **versions}
    yield Finding(_ABOUT, OK, what, "", measured)
    there = [name for name, wanted in EXTRAS.items() if all(one in versions for one in wanted)]
    lacking = [name for name in EXTRAS if name not in there]
    what = f"optional parts: {', '.join(there) or 'none'}"
    cure = ""
    if lacking:
        what += f"; not there: {', '.join(lacking)}"
        cure = f"where they are wanted: pip install 'speeddata[{','.join(lacking)}]'"
    yield Finding(_ABOUT, OK, what, cure)

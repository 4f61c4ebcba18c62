"""The ports that channels are re-served on, kept in the recording directory from one run to the next."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from speeddata.names import is_channel_name

FILE_NAME = ".endpoints.json"  # begins with a dot: no channel can have this name

_NAMES_KEPT = 4096  # names come from the network

log = logging.getLogger("speeddata")


class RememberedPorts:
    """Ports by channel name. One thread remembers, another saves: the disk holds up only the second.

    Args:
        directory: of the recordings.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        self._ports = self._saved = _read(self._path)

    @property
    def ports(self) -> dict[str, int]:
        """All of them."""
        return dict(self._ports)

    def remember(self, name: str, port: int) -> None:
        """Keep *port* for the channel *name*, however it was spelled before."""
        if self._ports.get(name) == port:
            return
        others = {known: kept for known, kept in self._ports.items() if known.lower() != name.lower()}
        while len(others) >= _NAMES_KEPT:
            del others[next(iter(others))]  # the one that was remembered first
        self._ports = {**others, name: port}  # a new one: the other thread may be looking at the old

    def save(self) -> None:
        """Write what is new, aside and renamed. A disk that refuses is tried again the next time."""
        ports = self._ports
        if ports == self._saved:
            return
        aside = self._path.with_name(self._path.name + ".new")
        try:
            aside.write_text(json.dumps(ports, indent=1) + "\n", encoding="utf-8")
            aside.replace(self._path)
        except OSError as exc:
            log.debug("%s: %s", self._path, exc.strerror)
        else:
            self._saved = ports


def _read(path: Path) -> dict[str, int]:
    """What *path* holds; what cannot be read is forgotten."""
    try:
        ports = json.loads(path.read_bytes())
        return {name: port for name, port in ports.items() if is_channel_name(name) and type(port) is int}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}

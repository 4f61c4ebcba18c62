"""`speeddata.toml`: defaults for options, and what a relay is told about its channels.

Every key is known, or refused with the file and the key named: a misspelt `rotate-sice` may not go unseen.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from speeddata.errors import UsageError
from speeddata.names import DISCOVERY, Endpoint, channel_name

if TYPE_CHECKING:
    from speeddata.chart.layouts import Layout

FILE_NAME = "speeddata.toml"

_PAGES = "tui.page"  # no option: see `Settings.layout`
_CHANNEL_KEYS = ("listen", "schema", "full", "decimated", "factor", "method")
_WORDS = {
    "flag": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "text",
    "list": "a list of text",
}


@dataclass(frozen=True)
class ChannelSettings:
    """What `[channels.NAME]` fixes; None where it is silent.

    Attributes:
        name: the channel, spelt as in the file.
        listen: where its bare datums arrive; a group is joined. None: it is announced by its source.
        schema: the .avsc file; relative paths have been taken from the directory of speeddata.toml.
        full: the group that gets every datum.
        decimated: the group that gets the thin stream.
        factor: decimation factor, at least 1.
        method: decimation method, not yet compared with those that exist.
    """

    name: str
    listen: Endpoint | None = None
    schema: Path | None = None
    full: Endpoint | None = None
    decimated: Endpoint | None = None
    factor: int | None = None
    method: str | None = None


@dataclass(frozen=True)
class Settings:
    """One speeddata.toml, or none at all, which sets nothing."""

    path: Path | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)

    def defaults(
        self,
        command: str,
        accepted: Mapping[str, str],
        *,
        shared: Collection[str],
        commands: Collection[str],
        others: Collection[str] = (),
    ) -> dict[str, Any]:
        """Values for the options of *command*: its own table before the keys at the top.

        Args:
            command: the command's name, and so its table's.
            accepted: for each option of the command, by its long name, what it takes: a key of `_WORDS`.
            shared: long names of options that several commands share: those may stand at the top.
            commands: the commands that there are: those may have tables.
            others: long names of options that other verbs of the command have: passed over in its table.

        Returns:
            Values by long name: bool for flags, int or float for numbers, list of str, str for the rest.

        Raises:
            UsageError: an unknown key or table, or a value of the wrong type.
        """
        values: dict[str, Any] = {}
        for key, value in self.tables.items():
            if key in (*commands, "channels"):
                self._table(key)
            elif key not in shared:
                self._unknown(key, [*shared, *commands, "channels"])
            elif key in accepted:
                values[key] = self._typed(key, value, accepted[key])
        for key, value in self._table(command).items():
            if f"{command}.{key}" == _PAGES or (key in others and key not in accepted):
                continue
            if key not in accepted:
                self._unknown(f"{command}.{key}", [f"{command}.{name}" for name in (*accepted, *others)])
            values[key] = self._typed(f"{command}.{key}", value, accepted[key])
        return values

    def channels(self) -> dict[str, ChannelSettings]:
        """The channels of `[channels.NAME]`, by name in lower case, in the order of the file.

        Raises:
            UsageError: an unknown key, a wrong value, or a group and port that two channels share.
        """
        found: dict[str, ChannelSettings] = {}
        owners: dict[Endpoint, str] = {}
        for name in self._table("channels"):
            channel = self._channel(name)
            if name.lower() in found:
                self._refuse(
                    f"channels.{name}", "the channel is there twice; names are compared without case"
                )
            for endpoint in filter(None, (channel.full, channel.decimated)):
                if endpoint in owners:
                    self._refuse(f"channels.{name}", f"{endpoint} is already taken by {owners[endpoint]}")
                owners[endpoint] = f"channels.{name}"
            found[name.lower()] = channel
        return found

    def layout(self) -> Layout:
        """The pages of charts in `[[tui.page]]`.

        Raises:
            UsageError: an unknown key or a wrong value.
        """
        from speeddata.chart import layouts

        return layouts.parse(self._table("tui"), str(self.path) if self.path else "")

    def _channel(self, name: str) -> ChannelSettings:
        key = f"channels.{name}"
        try:
            channel_name(name)
        except UsageError as exc:
            self._refuse(key, exc.what, exc.mend)
        table = self._table("channels")[name]
        if not isinstance(table, dict):
            self._refuse(key, "is no table", f"write [{key}], then a line such as listen = 26000")
        for part in table:
            if part not in _CHANNEL_KEYS:
                self._unknown(f"{key}.{part}", [f"{key}.{known}" for known in _CHANNEL_KEYS])
        kinds = {part: "int" if part == "factor" else "text" for part in table}
        values = {part: self._typed(f"{key}.{part}", table[part], kinds[part]) for part in table}
        if values.get("factor", 1) < 1:
            self._refuse(f"{key}.factor", f"{values['factor']} is below 1")
        return ChannelSettings(
            name=name,
            listen=self._endpoint(f"{key}.listen", values.get("listen"), default_host="0.0.0.0"),
            schema=self.beside(values["schema"]) if "schema" in values else None,
            full=self._group(f"{key}.full", values.get("full")),
            decimated=self._group(f"{key}.decimated", values.get("decimated")),
            factor=values.get("factor"),
            method=values.get("method"),
        )

    def beside(self, name: str) -> Path:
        """The path of a file that the settings name: relative to them."""
        assert self.path is not None
        return self.path.parent / name

    def _table(self, name: str) -> Mapping[str, Any]:
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            self._refuse(name, "is no table", f"write [{name}]")
        return table

    def _endpoint(self, key: str, text: str | None, default_host: str | None = None) -> Endpoint | None:
        try:
            return None if text is None else Endpoint.parse(text, default_host=default_host)
        except UsageError as exc:
            self._refuse(key, exc.what, exc.mend)

    def _group(self, key: str, text: str | None) -> Endpoint | None:
        endpoint = self._endpoint(key, text)
        if endpoint is not None and not endpoint.is_group:
            self._refuse(
                key, f"{endpoint} is no multicast group", "use an address from 224.0.0.0 to 239.255.255.255"
            )
        if endpoint == DISCOVERY:
            self._refuse(key, f"{endpoint} is where announcements go", "use another group or port")
        return endpoint

    def _typed(self, key: str, value: Any, kind: str) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind == "flag" and isinstance(value, bool):
            return value
        if kind == "int" and number and isinstance(value, int):
            return value
        if kind == "float" and number:
            return value
        if kind == "text" and (number or isinstance(value, str)):
            return str(value)  # `duration = 10` and `listen = 26000` need no quotes
        if kind == "list" and isinstance(value, str):
            return [value]
        if kind == "list" and isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        self._refuse(key, f"{str(value)[:80]!r} is not {_WORDS[kind]}")

    def _unknown(self, key: str, known: Collection[str]) -> NoReturn:
        near = get_close_matches(key, known, n=1)
        self._refuse(key, "no such setting", f"did you mean {near[0]}?" if near else "")

    def _refuse(self, key: str, what: str, mend: str = "") -> NoReturn:
        raise UsageError(what, where=f"{self.path}: {key}", mend=mend) from None


def find(given: str | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read: *given*, else ./speeddata.toml, else the one in the user's configuration."""
    if given:
        return Path(given)
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    candidates = (Path(FILE_NAME), Path(home, "speeddata", FILE_NAME))
    # a home that is closed to the user of a service has no settings for it
    return next((path for path in candidates if os.path.isfile(path)), None)


def load(path: Path | None) -> Settings:
    """Read the settings from *path*; None gives settings that set nothing.

    Raises:
        UsageError: the file cannot be read, or is not TOML.
    """
    if path is None:
        return Settings()
    try:
        return Settings(path, tomllib.loads(path.read_text("utf-8")))
    except OSError as exc:
        raise UsageError(exc.strerror or str(exc), where=str(path)) from exc
    except (ValueError, RecursionError) as exc:  # ValueError: also no UTF-8, and a number too long
        raise UsageError(f"not TOML: {exc}", where=str(path)) from exc

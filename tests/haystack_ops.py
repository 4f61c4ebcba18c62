"""The ops of a Project Haystack server as Haxall does them: a grid in, a grid or several out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from haystack_axon import Parsed
from haystack_folio import Refused
from haystack_kinds import MARKER, NS, Grid, Ref, Stamp, Uri, city, grid_of
from haystack_kinds import zone_info as zone_of
from haystack_reading import Reader, ZincError

if TYPE_CHECKING:
    from haystack_server import Call, HaystackServer

_ABOUT = {
    "4": "haystackVersion projName serverName serverBootTime serverTime productName productUri productVersion"
    " moduleName moduleVersion vendorName vendorUri tz whoami hostModel",
    "3": "haystackVersion serverName serverBootTime serverTime productName productUri productVersion tz"
    " vendorName vendorUri whoami",
}


class Ops:
    """The ops of a server for one call of *user*."""

    WITHOUT_EFFECT = ("about", "ops", "formats", "read", "hisRead")  # these may be asked by GET

    def __init__(self, server: HaystackServer, user: str, call: Call) -> None:
        self._server, self._folio, self._user, self._call = server, server.folio, user, call

    def find(self, name: str) -> Callable[[Grid], Grid | list[Grid]] | None:
        modes = self._server.modes
        if (name == "evalAll" and not modes.eval_all) or (name == "hisWrite" and not modes.his_write):
            return None
        return {
            "about": self.about,
            "ops": self.ops,
            "formats": self.formats,
            "read": self.read,
            "hisRead": self.his_read,
            "hisWrite": self.his_write,
            "commit": self.commit,
            "evalAll": self.eval_all,
            "close": self.close,
        }.get(name)

    def _admin(self, what: str) -> None:
        if not self._server.modes.admin:
            raise Refused("haystack::PermissionErr", f"Missing 'admin' permission: {what}")

    def about(self, _: Grid) -> Grid:
        version, batch = self._server.version, self._server.modes.batch
        told = {
            "haystackVersion": "4.0.0" if version.startswith("4") else "3.9.15",
            "projName": self._server.project or "sys",
            "serverName": "vm",
            "serverBootTime": Stamp(self._server.booted, "UTC"),
            "serverTime": Stamp(time.time_ns() // 1_000_000 * 1_000_000, "UTC"),
            "productName": "Other" if batch == "silent" else "Haxall",
            "productUri": Uri("https://haxall.io/"),
            "productVersion": "3.1.7" if batch == "error" else version,  # the last without it
            "moduleName": "hxd",
            "moduleVersion": version,
            "vendorName": "SkyFoundry",
            "vendorUri": Uri("https://skyfoundry.com/"),
            "tz": "UTC",
            "whoami": self._user,
            "hostModel": "Haxall (linux)",
        }
        names = _ABOUT[version[0]].split()
        return Grid({}, [(name, {}) for name in names], [[told[name] for name in names]])

    def ops(self, _: Grid) -> Grid:
        names = ["about", "close", "commit", "formats", "hisRead", "hisWrite", "ops", "read"]
        return Grid({}, [("name", {})], [[name] for name in names])

    def formats(self, _: Grid) -> Grid:
        return Grid({}, [("mime", {}), ("receive", {}), ("send", {})], [["text/zinc", MARKER, MARKER]])

    def read(self, request: Grid) -> Grid:
        if not request.rows:
            raise Refused("sys::Err", "Request grid is empty")
        first = request.dicts()[0]
        if isinstance(first.get("filter"), str):
            limit = first.get("limit")
            return self._folio.read_filter(first["filter"], int(limit.value) if limit else None)
        if any(name == "id" for name, _ in request.columns):
            ids = [each.get("id") for each in request.dicts()]
            if not all(isinstance(id, Ref) for id in ids):
                raise Refused("sys::CastErr", "id is no Ref")
            self._call.ids = tuple(id.id for id in ids)
            return self._folio.read_ids(ids)
        raise Refused("sys::Err", "Request grid missing id or filter col")

    def his_read(self, request: Grid) -> Grid:
        if not request.rows:
            raise Refused("sys::Err", "Request grid is empty")
        ids = [each["id"].id for each in request.dicts()]
        self._call.ids = tuple(ids)
        if "range" not in request.meta:
            row = request.dicts()[0]
            since, until = self._range(ids[0], row.get("range"))
            items = self._folio.read_history(ids[0], since.ns, until.ns)
            meta = {"id": self._folio.named(ids[0]), "hisStart": since, "hisEnd": until}
            return Grid(meta, [("ts", {}), ("val", {})], [list(item) for item in items])
        since, until = self._range(ids[0], request.meta["range"])
        rows: dict[int, list[Any]] = {}
        for index, id in enumerate(ids, start=1):
            for stamp, value in self._folio.read_history(id, since.ns, until.ns):
                row = rows.setdefault(stamp.ns, [Stamp(stamp.ns, since.city)] + [None] * len(ids))
                row[index] = value
        columns = [(f"v{index}", {"id": self._folio.named(id)}) for index, id in enumerate(ids)]
        meta = {"hisStart": since, "hisEnd": until}
        return Grid(meta, [("ts", {}), *columns], [rows[ns] for ns in sorted(rows)])

    def _range(self, id: str, text: Any) -> tuple[Stamp, Stamp]:
        """Both ends of a range, the second not in it, in the zone of the point."""
        if (zone := city(str(self._folio.record(id).get("tz")))) is None:
            raise Refused("folio::HisConfigErr", f"Missing 'tz' tag [@{id}]")
        now = Stamp(time.time_ns(), zone)
        today = datetime.fromtimestamp(now.ns // NS, zone_of(zone)).date()
        days = {"today": [today], "yesterday": [today - timedelta(days=1)]}
        try:
            ends = days.get(text) or [Reader(part.strip()).value() for part in text.split(",", 1)]
        except (ZincError, AttributeError):
            ends = []
        if ends and all(type(end) is date for end in ends):
            return _midnight(ends[0], zone), _midnight(ends[-1] + timedelta(days=1), zone)
        if ends and all(isinstance(end, Stamp) for end in ends):
            return Stamp(ends[0].ns, zone), Stamp(ends[1].ns, zone) if len(ends) == 2 else now
        raise Refused("sys::ParseErr", f"Invalid history range: {text}")

    def his_write(self, request: Grid) -> Grid:
        self._admin("hisWrite op")
        names = [name for name, _ in request.columns]
        if isinstance(request.meta.get("id"), Ref):
            for name in ("ts", "val"):
                if name not in names:
                    raise Refused("haystack::UnknownNameErr", name)
            columns = [(request.meta["id"], names.index("ts"), names.index("val"))]
        else:
            columns = [(meta.get("id"), 0, index) for index, (_, meta) in enumerate(request.columns) if index]
        self._call.ids = tuple(ref.id for ref, _, _ in columns if isinstance(ref, Ref))
        self._call.samples = sum(row[at] is not None for row in request.rows for _, _, at in columns)
        if "id" not in request.meta:
            if self._server.modes.batch == "silent":
                return Grid()
            if self._server.modes.batch == "error":
                raise Refused("haystack::UnknownNameErr", "id")
            if names[0] != "ts":
                raise Refused("sys::Err", f"First col must be named 'ts', not '{names[0]}'")
        for ref, ts_at, at in columns:
            if not isinstance(ref, Ref):
                raise Refused("sys::Err", f"Col missing id tag: {names[at]}")
            self._folio.record(ref.id)
            for row in request.rows:
                if not isinstance(row[ts_at], Stamp):
                    raise Refused("sys::Err", f"Timestamp value is not DateTime: {row[ts_at]}")
            self._folio.write(ref.id, [(row[ts_at], row[at]) for row in request.rows if row[at] is not None])
        return Grid()

    def commit(self, request: Grid) -> Grid:
        self._admin("commit")
        mode, force = request.meta.get("commit"), "force" in request.meta
        if mode == "add":
            return grid_of(self._folio.commit_add(request.dicts()))
        if mode == "update":
            return grid_of(self._folio.commit_update(request.dicts(), force))
        if mode == "remove":
            self._folio.commit_remove(request.dicts(), force)
            return Grid()
        raise Refused("sys::ArgErr", f"Unknown commit mode: {mode}")

    def eval_all(self, request: Grid) -> list[Grid]:
        self._admin("evalAll")
        answers = []
        for row in request.dicts():
            try:
                parsed = Parsed(str(row.get("expr")), self._folio)
                self._call.ids += (parsed.point.id,)
                self._call.samples += len(parsed.items)
                self._folio.write(parsed.point.id, parsed.items)
                answers.append(Grid({}, [("val", {})], [[f"write {len(parsed.items)}"]]))
            except Refused as exc:
                answers.append(err_grid(exc))
        return answers

    def close(self, _: Grid) -> Grid:
        raise Close


class Close(Exception):
    """The session of this call ends with its answer."""


def _midnight(day: date, zone: str) -> Stamp:
    return Stamp(int(datetime(day.year, day.month, day.day, tzinfo=zone_of(zone)).timestamp()) * NS, zone)


def err_grid(exc: Refused) -> Grid:
    dis = f"{exc.kind}: {exc.text}"
    trace = f"{dis}\n  hxApi::ApiDispatch.call (ApiDispatch.fan)\n  hxApi::ApiWeb.onService (ApiWeb.fan)"
    return Grid({"errType": exc.kind, "err": MARKER, "errTrace": trace, "dis": dis})

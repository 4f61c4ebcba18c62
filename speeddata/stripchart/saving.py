"""What is kept of a picture: itself as SVG, and its page as a layout in speeddata.toml."""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from speeddata.chart import layouts
from speeddata.chart.layouts import Layout, PageLayout
from speeddata.errors import HostError, UsageError

_FONT_FACES = re.compile(r"@font-face\s*\{[^}]*\}\s*")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


def save_picture(svg: str, page: str, now_ns: int, directory: Path) -> Path:
    """Write *svg* to a new file in *directory*, named by the page and the moment.

    Raises:
        HostError: it cannot be written.
    """
    moment = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y%m%dT%H%M%SZ")
    stem = f"speeddata-{_NOT_IN_NAMES.sub('-', page)[:64] or 'page'}-{moment}"
    for number in range(1, 1000):
        path = directory / (f"{stem}.svg" if number == 1 else f"{stem}-{number}.svg")
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(without_fonts(svg))
            return path
        except FileExistsError:
            continue
        except OSError as exc:
            raise HostError(f"cannot write: {exc.strerror}", where=str(path)) from exc
    raise HostError("there are a thousand already", where=str(directory / f"{stem}.svg"))


def without_fonts(svg: str) -> str:
    """*svg* without fonts from the network: a picture that is looked at tells nobody."""
    return _FONT_FACES.sub("", svg).replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")


def save_page(page: PageLayout, path: Path, where: str) -> Layout:
    """Put *page* in the file *path*, made where there is none; the layout that is there then.

    The file is written aside and renamed. All of it that is no page stays byte for byte.

    Raises:
        UsageError: the file is no settings, or its pages cannot be replaced.
        HostError: it cannot be read or written.
    """
    import tomllib

    real = Path(os.path.realpath(path))
    try:
        old = real.read_bytes().decode("utf-8") if real.exists() else ""
        tui = tomllib.loads(old).get("tui", {})
    except (ValueError, RecursionError) as exc:  # also no UTF-8, a number too long, tables too deep
        raise UsageError(f"not TOML: {exc}", where=where) from exc
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=where) from exc
    layout = layouts.parse(tui if isinstance(tui, dict) else {}, where).with_page(page)
    text = layouts.saved(old, layout)
    aside = real.with_name(f".{real.name}.{secrets.token_hex(4)}")
    try:
        with open(aside, "xb") as file:
            if real.exists():
                os.chmod(aside, real.stat().st_mode & 0o7777)
            file.write(text.encode())
        os.replace(aside, real)
    except OSError as exc:
        aside.unlink(missing_ok=True)
        raise HostError(f"cannot write: {exc.strerror}", where=where) from exc
    return layout

"""Layouts: `[[tui.page]]` of speeddata.toml as values, and back into the file without touching its rest."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from speeddata.errors import UsageError
from speeddata.timerange import duration_ns

COLOURS = ("blue", "orange", "green", "red", "purple", "brown", "pink", "grey", "olive", "cyan")
PAGES = ("tui", "page")  # the path of their headings
MAX_PAGES = 256

Range = tuple[float | None, float | None]

_PAGE_KEYS = ("name", "window", "chart")
_CHART_KEYS = ("signals", "title", "range", "colours")


@dataclass(frozen=True)
class ChartLayout:
    """One chart.

    Attributes:
        signals: `CHANNEL.SIGNAL` each, globs allowed.
        title: in place of the names of the signals.
        range: of the value axis; None = by itself, and so is an end that is None.
        colours: of the signals, in order; those beyond take what comes next by itself.
    """

    signals: tuple[str, ...]
    title: str = ""
    range: Range | None = None
    colours: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageLayout:
    """Charts that are seen together; *window_ns* None leaves the window as it is."""

    name: str
    charts: tuple[ChartLayout, ...] = ()
    window_ns: int | None = None


@dataclass(frozen=True)
class Layout:
    """All pages, in the order of the file."""

    pages: tuple[PageLayout, ...] = ()

    def with_page(self, page: PageLayout) -> Layout:
        """The same with *page* in place of the one of its name, or after all others."""
        if not any(each.name == page.name for each in self.pages):
            return Layout((*self.pages, page))
        return Layout(tuple(page if each.name == page.name else each for each in self.pages))


def parse(tui: Mapping[str, Any], where: str) -> Layout:
    """The layout in the table `[tui]`, which holds other settings too.

    Args:
        tui: the table as `tomllib` gives it.
        where: the file, for errors.

    Raises:
        UsageError: an unknown key or a wrong value; names the file and the key.
    """
    return _Parser(where).layout(tui)


class _Parser:
    def __init__(self, where: str) -> None:
        self.where = where

    def layout(self, tui: Mapping[str, Any]) -> Layout:
        pages: dict[str, PageLayout] = {}
        for key, table in self._tables("tui.page", tui.get("page", []), "[[tui.page]]"):
            page = self._page(key, table)
            if page.name in pages:
                self._refuse(f"{key}.name", f"the page '{page.name}' is there twice")
            pages[page.name] = page
        if len(pages) > MAX_PAGES:
            self._refuse("tui.page", f"more than {MAX_PAGES} pages")
        return Layout(tuple(pages.values()))

    def _page(self, key: str, table: Mapping[str, Any]) -> PageLayout:
        self._known(key, table, _PAGE_KEYS)
        name = self._text(f"{key}.name", table.get("name"))
        if not name.strip() or not name.isprintable():
            self._refuse(f"{key}.name", "a page needs a name", 'write name = "overview"')
        charts = self._tables(f"{key}.chart", table.get("chart", []), "[[tui.page.chart]]")
        return PageLayout(
            name, tuple(self._chart(*chart) for chart in charts), self._window(f"{key}.window", table)
        )

    def _window(self, key: str, table: Mapping[str, Any]) -> int | None:
        if "window" not in table:
            return None
        value = table["window"]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            window = duration_ns(str(value) if number else self._text(key, value))
        except UsageError as exc:
            self._refuse(key, exc.what, exc.mend)
        if not window:
            self._refuse(key, "a window has to last", 'write it like "30s" or "10m"')
        return window

    def _chart(self, key: str, table: Mapping[str, Any]) -> ChartLayout:
        self._known(key, table, _CHART_KEYS)
        signals = self._texts(f"{key}.signals", table.get("signals", []))
        if not signals:
            self._refuse(f"{key}.signals", "a chart needs signals", 'write signals = ["rig.temp*"]')
        colours = self._texts(f"{key}.colours", table.get("colours", []))
        for colour in colours:
            if colour not in COLOURS:
                near = get_close_matches(colour, COLOURS, n=1)
                mend = f"did you mean {near[0]}?" if near else f"one of {', '.join(COLOURS)}"
                self._refuse(f"{key}.colours", f"no colour '{colour}'", mend)
        title = self._text(f"{key}.title", table.get("title", ""))
        return ChartLayout(signals, title, self._range(f"{key}.range", table.get("range", "auto")), colours)

    def _range(self, key: str, value: Any) -> Range | None:
        if value == "auto":
            return None
        ends = value if isinstance(value, list) and len(value) == 2 else [True, True]
        low, high = (None if end == "auto" else end for end in ends)
        for end in (low, high):
            number = isinstance(end, int | float) and not isinstance(end, bool)
            if end is not None and not (number and math.isfinite(end)):
                self._refuse(key, f"{str(value)[:60]} is no range", 'write [-1, 1], [0, "auto"] or "auto"')
        if low is not None and high is not None and not low < high:
            self._refuse(key, f"{low} is not below {high}")
        try:
            ends = [None if end is None else float(end) for end in (low, high)]
        except OverflowError:
            self._refuse(key, "a number beyond what a float64 holds")
        return None if ends == [None, None] else (ends[0], ends[1])

    def _tables(self, key: str, value: Any, heading: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self._refuse(key, "is no list of tables", f"write {heading}")
        for number, table in enumerate(value, 1):
            yield f"{key}[{number}]", table

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str):
            self._refuse(key, "is missing" if value is None else f"{str(value)[:60]!r} is not text")
        return value

    def _texts(self, key: str, value: Any) -> tuple[str, ...]:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(each, str) and each for each in listed):
            self._refuse(key, f"{str(value)[:60]!r} is not a list of text")
        return tuple(listed)

    def _known(self, key: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for part in table:
            if part not in known:
                near = get_close_matches(part, known, n=1)
                mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                self._refuse(f"{key}.{part}", "no such setting", mend)

    def _refuse(self, key: str, what: str, mend: str = "") -> NoReturn:
        raise UsageError(what, where=f"{self.where}: {key}" if self.where else key, mend=mend) from None


def text_of(layout: Layout) -> str:
    """*layout* as TOML, ended by a line feed; empty without pages."""
    return "\n".join(_page_text(page) for page in layout.pages)


def _page_text(page: PageLayout) -> str:
    lines = ["[[tui.page]]", f"name = {_quoted(page.name)}"]
    if page.window_ns is not None:
        lines.append(f"window = {_quoted(window_text(page.window_ns))}")
    for chart in page.charts:
        lines += ["", "[[tui.page.chart]]", f"signals = {_list(chart.signals)}"]
        if chart.title:
            lines.append(f"title = {_quoted(chart.title)}")
        if chart.range is not None:
            ends = ('"auto"' if end is None else repr(end) for end in chart.range)
            lines.append(f"range = [{', '.join(ends)}]")
        if chart.colours:
            lines.append(f"colours = {_list(chart.colours)}")
    return "\n".join(lines) + "\n"


def window_text(window_ns: int) -> str:
    """`30s`, `1.5s`, `10m`, `2h`: so that `timerange.duration_ns` reads the same."""
    for unit, size in (("d", 86400 * 10**9), ("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9)):
        if window_ns >= size and window_ns % size == 0:
            return f"{window_ns // size}{unit}"
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if window_ns >= size:
            whole, part = divmod(window_ns, size)
            digits = f"{part:0{len(str(size)) - 1}d}".rstrip("0")
            return f"{whole}.{digits}{unit}" if digits else f"{whole}{unit}"
    return f"{window_ns}ns"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's strings are TOML's


def _list(texts: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def saved(old_text: str, layout: Layout) -> str:
    """*old_text*, a speeddata.toml, with the pages of *layout* in place of its own; all else as it was.

    Raises:
        UsageError: its pages are written in a way that cannot be replaced, inline for instance.
    """
    segments = list(_segments(old_text))
    kept = [text for path, text in segments if path[:2] != PAGES]
    first = next((at for at, (path, _) in enumerate(segments) if path[:2] == PAGES), len(segments))
    line_end = "\r\n" if "\r\n" in old_text else "\n"
    before, after = "".join(kept[:first]), "".join(kept[first:])
    pages = text_of(layout).replace("\n", line_end)
    if before and pages:
        before += "" if before.endswith("\n") else line_end
        before += "" if before.endswith((line_end * 2, "\n\n")) else line_end
    if pages and after and not after.startswith(("\n", "\r\n")):
        pages += line_end
    new_text = before + pages + after
    if _apart_from_pages(new_text) != _apart_from_pages(old_text) or _pages(new_text) != layout:
        raise UsageError(
            "its pages cannot be replaced", where="tui.page", mend="write them as [[tui.page]] tables"
        )
    return new_text


def _pages(text: str) -> Layout | None:
    try:
        tui = tomllib.loads(text).get("tui", {})
        return parse(tui, "") if isinstance(tui, dict) else None
    except (ValueError, RecursionError, UsageError):  # also a number too long, and tables too deep
        return None


def _apart_from_pages(text: str) -> object:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        return str(exc)
    tui = tables.pop("tui", {})
    return tables, {key: value for key, value in tui.items() if key != "page"} if isinstance(
        tui, dict
    ) else tui


_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'|#[^\n]*",
    re.DOTALL,
)
_HEADING = re.compile(r"[ \t]*\[\[?([^\[\]\n]+)\]\]?[ \t]*(?:\r?\n|$)")
_KEY_PART = re.compile(r"""[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))[ \t]*(?:\.|$)""")


def _segments(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """*text* cut before each heading of a table: the path of the heading, () for what is before the first.

    Comments and empty lines just before a heading belong to it, unless it is one of a page.
    """
    # what could look like a heading inside strings, comments and arrays is blotted out, length by length
    plain = _STRING.sub(lambda found: _blotted(found[0]), text)
    depth, start = 0, 0
    path: tuple[str, ...] = ()
    at = 0
    for line in plain.splitlines(keepends=True):
        original = text[at : at + len(line)]
        heading = None if depth else _HEADING.match(_without_comment(line))
        if heading is not None:
            next_path = _path(_without_comment(original, len(_without_comment(line))))
            # what is said before the first page is no part of it, what is said after the last one neither
            cut = at if next_path[:2] == PAGES else _comments_before(text, start, at)
            yield path, text[start:cut]
            start, path = cut, next_path
        else:
            depth = max(0, depth + line.count("[") + line.count("{") - line.count("]") - line.count("}"))
        at += len(line)
    yield path, text[start:]


def _blotted(piece: str) -> str:
    if piece.startswith("#"):
        return "#" * len(piece)
    return "".join(character if character in "\r\n" else "x" for character in piece)


def _without_comment(line: str, length: int | None = None) -> str:
    return line[: length if length is not None else (line + "#").index("#")].rstrip("\r\n")


def _path(heading: str) -> tuple[str, ...]:
    inner = heading.strip().strip("[]")
    parts = [next(filter(None, groups), "") for groups in _KEY_PART.findall(inner)]
    return tuple(parts)


def _comments_before(text: str, start: int, at: int) -> int:
    """Where the run of comments and empty lines that ends at *at* begins."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text[start:at])
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        at -= len(lines.pop())
    return at

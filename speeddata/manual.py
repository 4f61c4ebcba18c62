"""man/ and completions/, written from the commands by `python -m speeddata.manual` in the source tree.

The same commands give the same bytes: there is no date in them but that of the version's release.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from speeddata import __version__, manpages, roff, shellscripts
from speeddata.cli import program

_ROOT = Path(__file__).resolve().parent.parent
_WRITTEN = "speeddata-formats", "speeddata-recipes"  # pages of section 7: people write their text


def files(root: Path = _ROOT) -> dict[str, str]:
    """What man/ and completions/ below *root* have to hold, by their paths.

    Raises:
        OSError: *root* is no source tree.
    """
    assert isinstance(program, click.Group)
    date = _released((root / "CHANGELOG.md").read_text("utf-8"))
    written = {f"man/{name}": page for name, page in manpages.pages(program, date).items()}
    for name in _WRITTEN:
        text = (root / "man" / f"{name}.md").read_text("utf-8")
        heading = roff.title(name, 7, date, f"speeddata {__version__}")
        written[f"man/{name}.7"] = roff.page(heading, roff.document(text))
    written |= {f"completions/{name}": script for name, script in shellscripts.SCRIPTS.items()}
    return written


def write(root: Path = _ROOT) -> list[str]:
    """Write them all, and remove the pages of commands that are no more; the paths that changed.

    Raises:
        OSError: *root* is no source tree, or cannot be written.
    """
    wanted = files(root)
    there = {str(path.relative_to(root)): path for path in (root / "man").glob("*.[17]")}
    changed = sorted(there.keys() - wanted.keys())
    for name in changed:
        there[name].unlink()
    for name, text in wanted.items():
        path = root / name
        if not path.is_file() or path.read_text("utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
            changed.append(name)
    return changed


def _released(changelog: str) -> str:
    """When this version was released, as CHANGELOG.md has it; "" before."""
    found = re.search(rf"^## \[{re.escape(__version__)}\] - (\d{{4}}-\d\d-\d\d)$", changelog, re.MULTILINE)
    return found[1] if found else ""


if __name__ == "__main__":
    try:
        for each in write():
            print(each)
    except OSError as exc:
        sys.exit(f"speeddata.manual: {exc.filename}: {exc.strerror}; run it in the source tree")

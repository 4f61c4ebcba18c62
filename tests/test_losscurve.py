"""The picture of loss against rate: each point is where it belongs, and the one in the manual is whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def losscurve(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "bench"))
    known = set(sys.modules)
    import losscurve

    yield losscurve
    for name in set(sys.modules) - known:  # other tests may have modules of these names
        if str(ROOT / "tests" / "bench") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def places(picture, number):
    """Where the marks of a line are."""
    found = []
    for group in picture.iter(f"{SVG}g"):
        if group.get("class") == f"line{number}":
            found.append(tuple(map(float, re.findall(r"[-\d.]+", group.get("transform")))))
    return found[:-1]  # the last one is that of the legend


def test_each_point_is_marked_at_its_rate_and_its_loss(losscurve):
    lines = [
        losscurve.Line("one & only", [(10e3, 0.0), (100e3, 0.5), (1e6, 1.0)]),
        losscurve.Line("<other>", [(200e3, 0.25)]),
    ]
    picture = ElementTree.fromstring(losscurve.svg(lines, "Lost < sent", ["by hand"]))
    (x1, y1), (x2, y2), (x3, y3) = places(picture, 0)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)  # decades are as wide as each other
    assert (y1 - y2, y2 - y3) == (pytest.approx(y2 - y3, abs=0.2), pytest.approx(y1 - y2, abs=0.2))
    assert y3 == losscurve.TOP
    ((x4, y4),) = places(picture, 1)
    assert x2 < x4 < x3
    assert y2 < y4 < y1
    said = "".join(picture.itertext())
    for text in ("Lost < sent", "one & only", "<other>", "by hand", "100 k", "1 M", "100%"):
        assert text in said


def test_the_picture_of_the_manual_has_all_systems_and_the_machine_and_a_dark_page():
    text = (ROOT / "man" / "loss.svg").read_text()
    picture = ElementTree.fromstring(text)
    said = "".join(picture.itertext())
    for each in ("relay; ", "recv, sendto, write in Python", "lcm-logger", "CPython", "--curve"):
        assert each in said
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")  # nothing is fetched

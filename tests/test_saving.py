"""Saving pictures and pages."""

from __future__ import annotations

import os

import pytest

from speeddata.chart.layouts import ChartLayout, PageLayout
from speeddata.errors import HostError, UsageError
from speeddata.stripchart.saving import save_page, save_picture, without_fonts

PAGE = PageLayout("rig", (ChartLayout(("rig.wave",)),))
NOW = 1_790_000_000 * 10**9


def test_two_pictures_of_one_second_are_two_files(tmp_path):
    first, second = (save_picture("<svg/>", "a page/../x", NOW, tmp_path) for _ in range(2))
    assert first.name == "speeddata-a-page-..-x-20260921T141320Z.svg"
    assert second.name == "speeddata-a-page-..-x-20260921T141320Z-2.svg"
    assert first.parent == tmp_path


def test_a_picture_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(HostError, match="cannot write"):
        save_picture("<svg/>", "rig", NOW, tmp_path / "gone")


def test_fonts_are_not_fetched():
    svg = '<style>@font-face { src: url("https://x/y.woff") } .t { font-family: Fira Code }</style>'
    assert "https" not in without_fonts(svg)
    assert "@font-face" not in without_fonts(svg)


def test_a_page_is_saved_where_there_was_no_file(tmp_path):
    layout = save_page(PAGE, tmp_path / "speeddata.toml", "speeddata.toml")
    assert layout.pages == (PAGE,)
    assert (tmp_path / "speeddata.toml").read_text() == (
        '[[tui.page]]\nname = "rig"\n\n[[tui.page.chart]]\nsignals = ["rig.wave"]\n'
    )
    assert len(list(tmp_path.iterdir())) == 1


def test_the_file_keeps_its_mode_and_its_link(tmp_path):
    real = tmp_path / "real.toml"
    real.write_text("factor = 5\n")
    real.chmod(0o640)
    (tmp_path / "speeddata.toml").symlink_to(real)
    save_page(PAGE, tmp_path / "speeddata.toml", "speeddata.toml")
    assert (tmp_path / "speeddata.toml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_text().startswith("factor = 5\n\n[[tui.page]]\n")


@pytest.mark.parametrize("data", [b"factor =", b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000])
def test_a_file_that_is_no_toml_is_left_alone(tmp_path, data):
    path = tmp_path / "speeddata.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="not TOML"):
        save_page(PAGE, path, "speeddata.toml")
    assert path.read_bytes() == data


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(HostError, match="cannot write"):
        save_page(PAGE, tmp_path / "speeddata.toml", "speeddata.toml")

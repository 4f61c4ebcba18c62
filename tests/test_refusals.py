"""Refusals as Haxall 4.0.6 and 3.1.12 worded them, and as others may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speeddata.haystack import zinc
from speeddata.haystack.kinds import MARKER, Column, Grid, Number
from speeddata.haystack.refusals import Refusal, refusal_of

DATA = Path(__file__).parent / "data"


def refused(dis: str, kind: str | None = "folio::HisWriteErr") -> Refusal | None:
    meta = {"err": MARKER, "dis": dis, "errTrace": "..."}
    return refusal_of(Grid(meta if kind is None else meta | {"errType": kind}, [Column("empty")], []))


NAMED = {
    "wrong-unit": ("folio::HisWriteErr", "a", "Mismatched unit, rec unit 'kW' != item unit '°C'"),
    "wrong-tz": ("folio::HisWriteErr", "a", 'Mismatched timezone, rec tz "New_York" != item tz "UTC"'),
    "wrong-kind": ("folio::HisWriteErr", "a", 'rec kind "Number" != item type "sys::Bool"'),
    "unknown-id": ("haystack::UnknownRecErr", "zz", "UnknownRecErr"),
    "no-his-tag": ("folio::HisConfigErr", "n", "Rec missing 'his' tag"),
    "batch-bad-middle": ("folio::HisWriteErr", "k", 'rec kind "Bool" != item type "haystack::Number"'),
    "commit-add-dup": ("folio::CommitErr", None, "Rec already exists"),
    "batch-gzip": ("sys::IOErr", None, "Invalid UTF-8 encoding"),
}


@pytest.mark.parametrize("name", ["haxall-3.1.12.json", "haxall-4.0.6.json"])
def test_what_real_servers_refused_is_understood_and_the_rest_is_no_refusal(name):
    found = {}
    for exchange in json.loads((DATA / name).read_text("utf-8"))["exchanges"]:
        body = exchange["response"]["body"]
        refusal = refusal_of(zinc.read(body)) if body.startswith("ver:") else None
        if refusal:
            found[exchange["name"]] = refusal
    assert found.keys() == NAMED.keys()
    for name, (kind, point, text) in NAMED.items():
        assert found[name].kind == kind
        assert (found[name].point or "-").rpartition("-")[2] == (point or "")
        assert text in found[name].text
        assert str(found[name]) == found[name].text


@pytest.mark.parametrize(
    ("dis", "point"),
    [
        ('folio::HisWriteErr: Mismatched unit [@p:demo:r:1-2 "Rig Sine"]', "p:demo:r:1-2"),
        ("folio::HisWriteErr: Mismatched unit [@p:demo:r:1-2]", "p:demo:r:1-2"),
        ('folio::HisWriteErr: Mismatched unit [@a "] [@b "]', "a"),
        ('folio::HisWriteErr: Mismatched unit [@a "x [@b \\"y\\"]"]', "a"),
        ('folio::HisWriteErr: bad\n[@a "two\nlines"]\n', "a"),
        ('folio::HisWriteErr: [@a "x"] is no good', "a"),
        ("haystack::UnknownRecErr: @zz", "zz"),
        ("haystack::UnknownRecErr: zz", "zz"),
        ("UnknownRecException: @zz", "zz"),
        ("folio::CommitErr: Rec already exists: zz", None),
        ("haystack::PermissionErr: Missing 'admin' permission", None),
        ("haystack::UnknownRecErr: filter is empty", None),
        ("[@]", None),
        ("", None),
    ],
)
def test_the_point_is_taken_out_of_the_words(dis, point):
    assert refused(dis).point == point


def test_the_kind_is_taken_out_of_the_words_where_no_tag_has_it():
    assert refused("folio::HisWriteErr: x", None).kind == "folio::HisWriteErr"
    assert refused("java.lang.NullPointerException: x", None).kind == "Err"
    assert refused("no idea", None) == Refusal("Err", "no idea", None)
    assert str(refused("no idea", None)) == "Err: no idea"
    assert refusal_of(Grid({"err": MARKER})) == Refusal("Err", "the server does not say why", None)
    assert refusal_of(Grid({"err": MARKER, "dis": Number(1), "errType": Number(2)})).kind == "Err"


def test_a_grid_without_the_tag_is_no_refusal():
    assert refusal_of(zinc.read('ver:"3.0"\nempty\n\n')) is None
    assert refusal_of(zinc.read('ver:"3.0" dis:"err" errType:"x"\nerr\nM\n')) is None


def test_words_of_a_server_are_one_line_that_steers_no_terminal():
    refusal = refused("\x1b[2Jbad\r\n\tworse " + "x" * 10_000_000 + ' [@a "b"]', "\x1b]0;x\a")
    assert refusal.text.startswith("\\x1b[2Jbad worse xxx")
    assert len(refusal.text) < 400
    assert refusal.kind == "\\x1b]0;x\\x07"
    assert refusal.point == "a"


def test_many_brackets_take_no_longer_than_their_length():
    assert refused('[@a "' * 1_000_000).point == "a"

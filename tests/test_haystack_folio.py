"""The test server's records and histories follow the rules that Haxall's follow."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from haystack_asking import Plain
from haystack_kinds import MARKER, NA, Num, Ref, units
from haystack_reading import read
from haystack_server import HaystackServer, point
from haystack_writing import write

S = 1_000_000_000
TEN = 1_795_273_200 * S  # 2026-11-21T10:00:00-05:00


@pytest.fixture(params=["4.0.6", "3.1.12"])
def client(request):
    with HaystackServer(request.param) as server:
        yield Plain(server)


# --- what it refuses


@pytest.mark.parametrize(
    "rows", ["1.5,,T", "NA,R,F", 'NaN,INF,"a"', "1e3,-2.5E-3,2026-11-21T15:00:00.5Z UTC"]
)
def test_plain_rows_are_read_as_all_others_are(rows):
    head = 'ver:"3.0"\na,b,c\n'
    plain, other = read(f"{head}{rows}\n"), read(f"{head}{rows.replace(',', ' , ')}\n")
    assert repr(plain.rows) == repr(other.rows)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "Expecting grid 'ver' identifier, not eof"),
        ("ts,val\n", "Expecting grid 'ver' identifier"),
        ('ver:"4.0"\nempty\n', "Unsupported version"),
        ('ver:"3.0"\n\n', "No columns defined"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,1,2\n', "Expected newline not ,"),
        ('ver:"3.0"\nts,val,more\n2026-11-21T10:00:00Z UTC,1\n', "Expected , not newline"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,1 kW\n', "Expected newline not identifier"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,3N•m\n', "Invalid unit name 'N•m' [\"N\\u2022m\"]"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,nan\n', 'Unexpected identifier "nan"'),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,true\n', 'Unexpected identifier "true"'),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,1.2.3\n', "Invalid Number literal"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,"a\n', "Unexpected end of str"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,"\\ue9"\n', "Invalid hex value"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00Z UTC,"\\x"\n', "Invalid escape sequence"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00-05:00,1\n', "Expecting timezone"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00-05:00 Nowhere,1\n', "Invalid DateTime literal"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00-05:00 America/New_York,1\n', "Invalid DateTime literal"),
        ('ver:"3.0"\nts,val\n2026-11-21T10:00:00-05:00 UTC-05:00,1\n', "Invalid DateTime literal"),
        ('ver:"3.0"\nts,val\n2026-02-30T10:00:00Z UTC,1\n', "Invalid DateTime literal"),
        ('ver:"3.0"\nts,val\n2026-11-21 10:00:00Z,1\n', "Expected , not"),
        ('ver:"3.0"\nTs,val\n', "Invalid dict tag name"),
        ('ver:"3.0"\nempty\n\n\nver:"3.0"\nempty\n', "Expected eof not newline"),
        ('ver:"3.0"\nempty\n\nmore\n', "Expected eof not identifier"),
        ('ver:"3.0" id:@\nempty\n', "Invalid empty Ref"),
    ],
)
def test_what_is_no_zinc_to_haxall_is_a_bad_request_as_a_whole(client, body, why):
    answer, text = client.call("hisWrite", body)
    assert answer.status == 400
    reason = answer.reason.encode("latin-1").decode()
    assert reason.startswith(f"Cannot parse text/zinc; charset=utf-8 request: sys::ParseErr: {why}")
    assert text.startswith("<!DOCTYPE html")


# --- hisWrite


NINE = """ver:"3.0" commit:"add"
id,dis,point,his,tz,kind,unit,hisTsPrecision,hisMaxItems
@kw,"Power",M,M,"New_York","Number","kW",,
@plain,"Plain",M,M,"UTC","Number",,,
@ms,"Fast",M,M,"UTC","Number",,1ms,
@text,"Text",M,M,"UTC","Str",,,
@flag,"Flag",M,M,"New_York","Bool",,,
@long,"Long",M,M,"UTC","Number",,,5000
@untold,"Untold",M,M,,"Number",,,
@kindless,"Kindless",M,M,"UTC",,,,
@odd,"Odd",M,M,"UTC","Number",,10ms,
"""


@pytest.fixture
def nine(client):
    assert client.error("commit", NINE) is None
    return client


@pytest.mark.parametrize(
    ("column", "kind", "why"),
    [
        ("@kw\n2026-11-21T15:00:00Z,1", "folio::HisWriteErr", "Mismatched timezone"),
        ("@kw\n2026-11-21T10:00:00-05:00 New_York,1°F", "folio::HisWriteErr", "Mismatched unit"),
        ("@plain\n2026-11-21T10:00:00Z UTC,1kW", "folio::HisWriteErr", "Mismatched unit, rec unit 'null'"),
        ('@kw\n2026-11-21T10:00:00-05:00 New_York,"1"', "folio::HisWriteErr", "Mismatched value type"),
        ("@kw\n2026-11-21T10:00:00-05:00 New_York,M", "folio::HisWriteErr", "Mismatched value type"),
        ("@plain\n1949-12-31T23:59:59Z UTC,1", "folio::HisWriteErr", "Timestamps before 1950"),
        ("@untold\n2026-11-21T10:00:00Z UTC,1", "folio::HisConfigErr", "Missing 'tz' tag"),
        ("@kindless\n2026-11-21T10:00:00Z UTC,1", "folio::HisConfigErr", "Missing 'kind' tag"),
        ("@odd\n2026-11-21T10:00:00Z UTC,1", "folio::HisConfigErr", "Unsupported hisTsPrecision: 10ms"),
        ("@plain\n1,1", "sys::Err", "Timestamp value is not DateTime"),
    ],
)
def test_what_does_not_fit_the_point_is_an_err_grid_with_status_200(nine, column, kind, why):
    ref, row = column.split("\n")
    told, dis = nine.error("hisWrite", f'ver:"3.0"\nts,v id:{ref}\n{row}\n')
    assert (told, dis[: len(why)]) == (kind, why)
    if told.startswith("folio::"):
        record = nine.server.record(ref[1:])
        assert dis.endswith(f'[{ref} "{record["dis"]}"]')
    assert nine.server.history(ref[1:]) == []


def test_an_unknown_id_is_told_as_that_version_tells_it(nine):
    at = "@" if nine.server.version.startswith("4") else ""
    single = nine.error("hisWrite", 'ver:"3.0" id:@gone\nts,val\n2026-11-21T10:00:00Z UTC,1\n')
    batch = nine.error("hisWrite", 'ver:"3.0"\nts,v id:@gone\n2026-11-21T10:00:00Z UTC,1\n')
    assert single == batch == ("haystack::UnknownRecErr", f"{at}gone")


def test_of_a_batch_with_a_bad_column_what_is_left_of_it_is_written(nine):
    body = 'ver:"3.0"\nts,a id:@plain,b id:@text,c id:@long\n2026-11-21T15:00:00Z UTC,1,2,3\n'
    assert nine.error("hisWrite", body)[1].endswith('[@text "Text"]')
    assert nine.server.history("plain") == [(TEN, 1.0)]
    assert nine.server.history("text") == nine.server.history("long") == []


def test_of_a_bad_column_not_one_value_is_written(nine):
    rows = "2026-11-21T15:00:00Z UTC,1\n2026-11-21T15:00:01Z UTC,T\n"
    assert nine.error("hisWrite", f'ver:"3.0" id:@plain\nts,val\n{rows}')
    assert nine.server.history("plain") == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('ver:"3.0"\nwhen,v id:@plain\n2026-11-21T15:00:00Z UTC,1\n', "First col must be named 'ts'"),
        ('ver:"3.0"\nts,v\n2026-11-21T15:00:00Z UTC,1\n', "Col missing id tag: v"),
        ('ver:"3.0" id:@plain\nts,v0\n2026-11-21T15:00:00Z UTC,1\n', "val"),
    ],
)
def test_columns_that_say_no_point_are_refused(nine, body, why):
    assert nine.error("hisWrite", body)[1].startswith(why)


def written(nine, id, *rows):
    ref = f'ver:"3.0" id:@{id}\nts,val\n'
    assert nine.error("hisWrite", ref + "".join(f"2026-11-21T15:00:{row}\n" for row in rows)) is None
    return nine.server.history(id)


def test_times_are_floored_to_seconds_and_the_last_of_a_second_wins(nine):
    assert written(nine, "plain", "00.9Z UTC,3", "00.1Z UTC,1", "01Z UTC,4") == [(TEN, 3.0), (TEN + S, 4.0)]


def test_times_of_a_point_of_1_ms_are_floored_to_it(nine):
    assert written(nine, "ms", "00.0019999Z UTC,3") == [(TEN + 1_000_000, 3.0)]


def test_a_server_of_whole_seconds_floors_all(nine):
    nine.server.modes.whole_seconds = True
    assert written(nine, "ms", "00.9Z UTC,3") == [(TEN, 3.0)]


def test_a_batch_of_both_precisions_floors_each_point_by_its_own(nine):
    body = 'ver:"3.0"\nts,a id:@plain,b id:@ms\n2026-11-21T15:00:00.5Z UTC,1,2\n'
    assert nine.error("hisWrite", body) is None
    assert nine.server.history("plain") == [(TEN, 1.0)]
    assert nine.server.history("ms") == [(TEN + S // 2, 2.0)]


def test_whole_numbers_stay_exact_and_others_become_32_bit(nine):
    rows = ["00Z UTC,16777217", "01Z UTC,0.1", "02Z UTC,16777217.5", "03Z UTC,1000000000001", "04Z UTC,1e300"]
    values = [value for _, value in written(nine, "plain", *rows)]
    assert values == [16777217.0, 0.10000000149011612, 16777218.0, 999999995904.0, math.inf]


def test_na_and_not_finite_are_kept_and_remove_takes_away(nine):
    history = written(nine, "plain", "00Z UTC,NA", "01Z UTC,NaN", "02Z UTC,-INF", "03Z UTC,7", "04Z UTC,R")
    assert history[0] == (TEN, NA)
    assert math.isnan(history[1][1])
    assert [value for _, value in history[2:]] == [-math.inf, 7.0]
    assert len(written(nine, "plain", "03Z UTC,R")) == 3


def test_writing_again_changes_nothing_and_another_value_takes_its_place(nine):
    once = written(nine, "plain", "01Z UTC,1", "00Z UTC,0")
    assert written(nine, "plain", "01Z UTC,1", "00Z UTC,0") == once == [(TEN, 0.0), (TEN + S, 1.0)]
    assert written(nine, "plain", "01Z UTC,2")[1] == (TEN + S, 2.0)


def test_a_null_is_skipped_and_a_column_of_nulls_is_not_looked_at(nine):
    body = 'ver:"3.0"\nts,a id:@plain,b id:@untold\n2026-11-21T15:00:00Z UTC,,\n2026-11-21T15:00:01Z UTC,1,\n'
    assert nine.error("hisWrite", body) is None
    assert nine.server.history("plain") == [(TEN + S, 1.0)]


def test_the_hour_that_comes_twice_is_two_hours_and_a_wrong_offset_is_an_instant(nine):
    body = """ver:"3.0" id:@kw
ts,val
2026-11-01T01:30:00-04:00 New_York,1
2026-11-01T01:30:00-05:00 New_York,2
2026-11-01T12:00:00+00:00 New_York,3
"""
    assert nine.error("hisWrite", body) is None
    assert nine.server.history("kw") == [
        (int(datetime(2026, 11, 1, hour, minute, tzinfo=ZoneInfo("UTC")).timestamp()) * S, value)
        for hour, minute, value in ((5, 30, 1.0), (6, 30, 2.0), (12, 0, 3.0))
    ]


def test_a_batch_may_have_rows_of_two_zones_for_points_of_their_own(nine):
    rows = "2026-11-21T15:00:00Z UTC,1,\n2026-11-21T10:00:00-05:00 New_York,,T\n"
    assert nine.error("hisWrite", f'ver:"3.0"\nts,a id:@plain,b id:@flag\n{rows}') is None
    assert nine.server.history("plain") == [(TEN, 1.0)]
    assert nine.server.history("flag") == [(TEN, True)]


def test_a_history_keeps_its_last_1000_items_unless_its_point_says_more(nine):
    rows = [f"2026-11-21T15:{n // 60:02d}:{n % 60:02d}Z UTC,{n}" for n in range(1100)]
    for id, kept in (("plain", 1000), ("long", 1100)):
        assert nine.error("hisWrite", f'ver:"3.0" id:@{id}\nts,val\n' + "\n".join(rows)) is None
        assert len(nine.server.history(id)) == kept
        assert nine.server.history(id)[-1] == (TEN + 1099 * S, 1099.0)
        assert nine.server.record(id)["hisSize"] == Num(float(kept))
    nine.server.modes.max_items = 2
    assert len(written(nine, "plain", "00Z UTC,0")) == 2


def test_strings_come_back_as_they_were(nine):
    assert written(nine, "text", '00Z UTC,"a,b\\n\\"$\\u00e9é\\\\"')[0][1] == 'a,b\n"$éé\\'


def test_a_character_beyond_16_bits_may_be_sent_whole_or_in_halves(nine):
    face = "\N{GRINNING FACE}"
    history = written(nine, "text", f'00Z UTC,"{face}"', '01Z UTC,"\\ud83d\\ude00"')
    assert [value for _, value in history] == [face, face]
    answer = nine.grid("hisRead", 'ver:"3.0"\nid,range\n@text,"2026-11-21"\n')
    assert [row[1] for row in answer.rows] == [face, face]


def test_a_unit_may_be_sent_by_any_of_its_names_and_numbers_come_back_with_it(nine):
    assert units()["kilowatt"] == units()["kW"] == "kW"
    body = 'ver:"3.0" id:@kw\nts,val\n2026-11-21T10:00:00-05:00 New_York,1kilowatt\n'
    assert nine.error("hisWrite", body) is None
    answer = nine.grid("hisRead", 'ver:"3.0"\nid,range\n@kw,"2026-11-21"\n')
    assert answer.rows[0][1] == Num(1.0, "kW")


# --- reading


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2026-11-21", 2),
        ("2026-11-20", 1),
        ("2026-11-20,2026-11-21", 3),
        ("2026-11-21T10:00:00-05:00 New_York,2026-11-21T10:00:01-05:00 New_York", 1),
        ("2026-11-21T15:00:00Z UTC,2026-11-21T15:00:02Z UTC", 2),
        ("2026-11-21T15:00:01Z UTC", 1),
        ("today", 0),
        ("yesterday", 0),
    ],
)
def test_ranges_begin_with_their_first_moment_and_end_before_their_last(nine, text, count):
    rows = ["20T23:59:59", "21T10:00:00", "21T10:00:01"]
    body = "".join(f"2026-11-{row}-05:00 New_York,1\n" for row in rows)
    assert nine.error("hisWrite", f'ver:"3.0" id:@kw\nts,val\n{body}') is None
    grid = nine.grid("hisRead", f'ver:"3.0"\nid,range\n@kw,"{text}"\n')
    if text not in ("today", "yesterday", "2026-11-21T15:00:01Z UTC"):  # those know what day it is
        assert len(grid.rows) == count
    assert grid.meta["hisStart"].city == grid.meta["hisEnd"].city == "New_York"


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-11-21,now", "2026-11-21T10:00:00"])
def test_a_range_that_is_none_is_an_err_grid(nine, text):
    kind, _ = nine.error("hisRead", f'ver:"3.0"\nid,range\n@kw,"{text}"\n')
    assert kind == "sys::ParseErr"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("point", "flag kw ms"),
        ("unit", "kw"),
        ("not unit", "flag ms site"),
        ('kind == "Number" and not unit', "ms"),
        ('speeddataKey=="rig.volts" or speeddataKey == "rig.amps"', "kw ms"),
        ('point and (speeddataKey=="rig.volts" or kind=="Bool")', "flag kw"),
        ("siteRef==@site", "kw"),
        ('siteRef->dis=="Here"', "kw"),
        ('kind != "Number"', "flag"),
        ("hisMaxItems > 10 and hisMaxItems <= 20", "ms"),
        ("gone", ""),
    ],
)
def test_filters_find_what_they_say(client, text, found):
    client.server.add(
        {"id": Ref("site"), "dis": "Here", "site": MARKER},
        point("kw", tz="UTC", unit="kW", speeddataKey="rig.volts", siteRef=Ref("site")),
        point("ms", speeddataKey="rig.amps", hisMaxItems=Num(20.0)),
        point("flag", kind="Bool"),
    )
    quoted = text.replace('"', '\\"')
    grid = client.grid("read", f'ver:"3.0"\nfilter\n"{quoted}"\n')
    assert sorted(tags["id"].id for tags in grid.dicts()) == found.split()
    limited = client.grid("read", f'ver:"3.0"\nfilter,limit\n"{quoted}",1\n')
    assert len(limited.dicts()) == min(1, len(found.split()))


@pytest.mark.parametrize(
    "text", ["", "or or", "not (point)", "point and", "a == b", "(point", "point point", "a=1"]
)
def test_a_filter_that_haxall_cannot_parse_is_an_err_grid(client, text):
    assert client.error("read", f'ver:"3.0"\nfilter\n"{text}"\n')[0] == "sys::ParseErr"


# --- commit


def test_a_commit_is_done_as_a_whole_or_not_at_all(client):
    client.server.add(point("b"))
    kind, _ = client.error("commit", 'ver:"3.0" commit:"add"\nid,dis\n@a,"A"\n@b,"B"\n')
    assert kind == "folio::CommitErr"
    assert client.error("commit", 'ver:"3.0" commit:"add"\nid,hisSize\n@a,1\n')[0] == "folio::DiffErr"
    assert client.error("commit", 'ver:"3.0" commit:"add"\nid\n@a\n@a\n')[0] == "folio::DiffErr"
    assert client.error("commit", 'ver:"3.0"\nid\n@a\n')[0] == "sys::ArgErr"
    assert client.grid("read", 'ver:"3.0"\nid\n@a\n').dicts() == []


def test_references_within_a_commit_hold_and_the_answer_says_what_they_are(client):
    body = 'ver:"3.0" commit:"add"\nid,dis,site,siteRef\n@s,"Here",M,\n@e,"There",,@s\n@f,"Far",,@nowhere\n'
    rows = client.grid("commit", body).dicts()
    assert rows[1]["siteRef"].dis == "Here"
    assert rows[2]["siteRef"] == Ref("nowhere")


def test_an_update_needs_the_mod_that_the_record_has(client):
    first = client.grid("commit", 'ver:"3.0" commit:"add"\nid,dis\n@a,"A"\n')
    mod = write(first).split("\n")[2].rpartition(",")[2]
    update = f'ver:"3.0" commit:"update"\nid,mod,dis,unit\n@a,{mod},R,"kW"\n'
    assert client.grid("commit", update).dicts()[0]["unit"] == "kW"
    assert client.error("commit", update)[0] == "folio::ConcurrentChangeErr"
    assert "dis" not in client.server.record("a")
    assert client.error("commit", 'ver:"3.0" commit:"update"\nid,dis\n@a,"A"\n')
    remove = 'ver:"3.0" commit:"remove" force\nid,mod\n@a,2026-01-01T00:00:00Z\n'
    assert client.error("commit", remove) is None
    assert client.grid("read", 'ver:"3.0"\nid\n@a\n').dicts() == []


def test_a_server_of_own_ids_answers_with_them_and_mends_the_references():
    with HaystackServer(own_ids=True, project="x") as server:
        plain = Plain(server)
        body = 'ver:"3.0" commit:"add"\nid,dis,siteRef\n@s,"Here",\n@e,"There",@s\n'
        site, equip = plain.grid("commit", body).dicts()
        assert site["id"].id.startswith("p:x:r:")
        assert equip["siteRef"] == site["id"]
        assert plain.grid("read", 'ver:"3.0"\nid\n@s\n').dicts() == []


@pytest.mark.parametrize("op", ["commit", "hisWrite"])
def test_who_is_no_admin_may_not_write(nine, op):
    nine.server.modes.admin = False
    kind, dis = nine.error(op, 'ver:"3.0" id:@kw commit:"add"\nts,val\n')
    assert (kind, dis[:26]) == ("haystack::PermissionErr", "Missing 'admin' permission")

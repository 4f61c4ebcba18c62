"""What a server lacks for a map: one commit, the same each time, and nothing that is there is touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speeddata.haystack import zinc
from speeddata.haystack.kinds import MARKER, Column, Grid, Number, Rec, Ref
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS
from speeddata.haystack.provisioning import Plan, id_of, plan, read_filter
from speeddata.haystack.rules import Entry

RAMP = Entry(
    "rig",
    "ramp",
    "double",
    "Number",
    key="rig.ramp",
    unit="degC",
    zone="New_York",
    path=("Plant", "rig", "ramp"),
    tags=("sensor",),
)
ON = Entry("rig", "on", "boolean", "Bool", key="rig.on", path=("Plant", "rig", "on"))
SITE, EQUIP = "speeddata-8772b9376345", "speeddata-cf5c5364bdea"


def grid(*recs: Rec) -> Grid:
    names = dict.fromkeys(name for rec in recs for name in rec)
    return Grid({}, [Column(name) for name in names], list(recs))


def what_was_made(made: Plan) -> list[str]:
    return [zinc.literal(rec["dis"]) for rec in made.commit_grid().rows]


def as_rewritten(made: Plan) -> Grid:
    """What a server answers that gives records ids of its own, as SkySpark does."""

    def own(value):
        return Ref(f"p:demo:r:{value.id[-6:]}", value.dis) if isinstance(value, Ref) else value

    return grid(*({name: own(rec[name]) for name in rec} for rec in made.commit_grid().rows))


def test_site_equip_and_points_are_made_in_one_commit():
    made = plan([RAMP, ON], Grid(), sub_second={"rig"})
    assert made
    assert made.problems == []
    assert made.sites == [{"id": Ref(SITE), "dis": "Plant", "site": MARKER, "tz": "New_York"}]
    assert made.equips == [
        {"id": Ref(EQUIP), "dis": "Plant rig", "navName": "rig", "equip": MARKER, "siteRef": Ref(SITE)}
    ]
    assert made.points == [
        {
            "id": Ref(id_of("point", "speeddataKey", "rig.ramp")),
            "dis": "Plant rig ramp",
            "navName": "ramp",
            "point": MARKER,
            "his": MARKER,
            "kind": "Number",
            "unit": "°C",
            "tz": "New_York",
            "siteRef": Ref(SITE),
            "equipRef": Ref(EQUIP),
            "sensor": MARKER,
            "speeddataKey": "rig.ramp",
            "hisTsPrecision": Number(1, "ms"),
        },
        {
            "id": Ref(id_of("point", "speeddataKey", "rig.on")),
            "dis": "Plant rig on",
            "navName": "on",
            "point": MARKER,
            "his": MARKER,
            "kind": "Bool",
            "tz": "New_York",
            "siteRef": Ref(SITE),
            "equipRef": Ref(EQUIP),
            "speeddataKey": "rig.on",
            "hisTsPrecision": Number(1, "ms"),
        },
    ]
    commit = made.commit_grid()
    assert commit.meta == {"commit": "add"}
    assert commit.rows == [*made.sites, *made.equips, *made.points]
    assert {name for row in commit.rows for name in row} == {column.name for column in commit.columns}
    assert commit.columns[0].name == "id"


def test_the_commit_is_written_as_zinc():
    text = zinc.write(plan([ON], Grid()).commit_grid())
    assert text.splitlines()[0] == 'ver:"3.0" commit:"add"'
    assert zinc.read(text).rows[0] == {
        "id": Ref(SITE),
        "dis": "Plant",
        "site": MARKER,
        "tz": "UTC",
    }


def test_a_plan_can_be_read_by_a_person():
    made = plan([replace(RAMP, precision_ns=MILLISECOND_NS), ON], as_rewritten(plan([ON], Grid())))
    assert made.table() == [
        ("new", "point", "Plant/rig/ramp", "rig.ramp", "Number °C New_York 1ms"),
        ("is there", "point", f'@p:demo:r:{id_of("point", "speeddataKey", "rig.on")[-6:]} "Plant rig on"',
         "rig.on", ""),
    ]  # fmt: skip
    assert plan([RAMP], Grid()).table()[:2] == [
        ("new", "site", "Plant", "", "tz New_York"),
        ("new", "equip", "Plant rig", "", ""),
    ]


@pytest.mark.parametrize("answer", [Plan.commit_grid, as_rewritten])
def test_a_second_plan_is_empty_whatever_ids_the_server_gave(answer):
    entries = [RAMP, ON, replace(ON, signal="x", key="x", path=("Other", "rig", "x"))]
    first = plan(entries, Grid(), sub_second={"rig"})
    second = plan(entries, answer(first), sub_second={"rig"})
    assert not second
    assert second.problems == []
    assert [kept.entry for kept in second.kept] == entries


def test_the_same_plan_has_the_same_ids():
    assert plan([RAMP, ON], Grid()) == plan([RAMP, ON], Grid())
    assert id_of("site", "Plant") == SITE
    assert id_of("equip", "Plant", "rig") == EQUIP
    ids = [rec["id"] for rec in plan([RAMP, ON], Grid()).commit_grid().rows]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("answer", [Plan.commit_grid, as_rewritten])
def test_what_is_missing_goes_to_the_site_and_equip_that_are_there(answer):
    found = answer(plan([ON], Grid(), zone="Berlin"))
    made = plan([replace(RAMP, zone=None)], found)
    assert (made.sites, made.equips) == ([], [])
    (point,) = made.points
    assert point["siteRef"] == found.rows[0]["id"]
    assert point["equipRef"] == found.rows[1]["id"]
    assert point["tz"] == "Berlin"


@pytest.mark.parametrize(
    "names",
    [
        {"dis": "Plant rig"},
        {"dis": "rig"},
        {"navName": "rig"},
        {"name": "rig"},
        {"dis": "Some pump", "navName": "rig"},
        {"id": Ref("e", "rig")},
    ],
)
def test_an_equip_is_known_by_any_of_its_names(names):
    site: Rec = {"id": Ref("s", "Plant"), "site": MARKER}
    equip: Rec = {"id": Ref("e"), "equip": MARKER, "siteRef": Ref("s"), **names}
    made = plan([RAMP], grid(site, equip))
    assert (made.sites, made.equips, made.problems) == ([], [], [])
    assert made.points[0]["equipRef"] == Ref("e")


def test_an_equip_of_that_name_in_another_site_is_another():
    site: Rec = {"id": Ref("s"), "dis": "Other", "site": MARKER}
    equip: Rec = {"id": Ref("e"), "dis": "rig", "equip": MARKER, "siteRef": Ref("s")}
    assert what_was_made(plan([RAMP], grid(site, equip))) == ['"Plant"', '"Plant rig"', '"Plant rig ramp"']


def test_a_site_that_was_renamed_since_is_still_that_site():
    found = plan([ON], Grid()).commit_grid()
    found.rows[0]["dis"], found.rows[1]["dis"] = "Werk", "Pump"
    assert what_was_made(plan([RAMP, ON], found)) == ['"Plant rig ramp"']


def test_two_sites_of_one_name_are_for_a_person_to_tell_apart():
    sites: list[Rec] = [{"id": Ref(name), "dis": "Plant", "site": MARKER} for name in "ab"]
    made = plan([RAMP], grid(*sites))
    assert not made
    assert [problem.row() for problem in made.problems] == [
        (
            "rig.ramp",
            "rig.ramp",
            '2 sites are called Plant: @a "Plant", @b "Plant"',
            "give them different names, or write another in the map",
        )
    ]


@pytest.mark.parametrize(
    ("entry", "what", "mend"),
    [
        (
            replace(RAMP, path=None),
            "the map does not say in which site it is",
            'write path = "SITE/{channel}/{signal}" at the top of the map, or site = "..." for the point',
        ),
        (
            replace(RAMP, sample_kind=None, type="bytes"),
            "values of type bytes are no history",
            "write skip = true for the signal in the map",
        ),
        (
            replace(RAMP, key="rig.on"),
            "rig.on has the key rig.on too",
            "give one of them another key",
        ),
        (
            replace(RAMP, path=ON.path),
            "rig.on has the path Plant/rig/on too",
            "give one of them another point, equip or site in the map",
        ),
    ],
)
def test_what_gets_no_point_is_told(entry, what, mend):
    made = plan([ON, entry], Grid())
    assert [(problem.what, problem.mend, problem.fatal) for problem in made.problems] == [(what, mend, True)]
    assert what_was_made(made) == ['"Plant"', '"Plant rig"', '"Plant rig on"']


def test_a_point_that_differs_is_told_and_not_changed():
    found = plan([RAMP, ON], Grid()).commit_grid()
    found.rows[2]["unit"], found.rows[3]["kind"] = "°F", "Str"
    made = plan([RAMP, ON], found)
    assert not made
    assert [(problem.signal, problem.what) for problem in made.problems] == [
        ("ramp", "is in °F, and the samples are in degC"),
        ("on", "is of kind Str, and the samples are Bool"),
    ]


def test_a_point_that_lost_its_key_is_not_made_again():
    found = plan([ON], Grid()).commit_grid()
    found.rows[2]["speeddataKey"] = "another"
    made = plan([ON], found)
    own = id_of("point", "speeddataKey", "rig.on")
    assert not made
    assert [problem.what for problem in made.problems] == [
        f'@{own} "Plant rig on" was made for it, and has another speeddataKey now'
    ]


def test_a_point_that_the_map_names_by_id_is_not_made():
    assert plan([replace(ON, id="a", key=None)], Grid()) == Plan()


@pytest.mark.parametrize(
    ("wanted", "sub_second", "precise"),
    [
        (None, set(), False),
        (None, {"rig"}, True),
        (MILLISECOND_NS, set(), True),
        (SECOND_NS, {"rig"}, False),
    ],
)
def test_milliseconds_are_kept_where_there_are_any(wanted, sub_second, precise):
    (point,) = plan([replace(ON, precision_ns=wanted)], Grid(), sub_second=sub_second).points
    assert ("hisTsPrecision" in point) is precise


@pytest.mark.parametrize(
    ("entry", "zone", "tz"), [(RAMP, "Berlin", "New_York"), (ON, "Berlin", "Berlin"), (ON, None, "UTC")]
)
def test_the_time_zone_is_the_maps_else_the_one_given(entry, zone, tz):
    (point,) = plan([entry], Grid(), zone=zone).points
    assert point["tz"] == tz


def test_an_unknown_unit_becomes_one_of_our_own_and_no_unit_none():
    made = plan(
        [replace(RAMP, unit="counts"), replace(RAMP, signal="b", key="b", path=("P", "e", "b"))], Grid()
    )
    assert made.points[0]["unit"] == "_counts"
    assert "unit" not in plan([replace(RAMP, unit=None)], Grid()).points[0]
    assert "unit" not in plan([replace(ON, unit="V")], Grid()).points[0]


def test_keys_are_in_the_tag_of_the_map():
    made = plan([replace(ON, dis="The switch")], Grid(), key_tag="refName")
    (point,) = made.points
    assert (point["refName"], point["dis"]) == ("rig.on", "The switch")
    assert "speeddataKey" not in point
    assert read_filter("refName") == "site or equip or (point and refName)"
    assert not plan([ON], as_rewritten(made), key_tag="refName")


def test_records_without_an_id_or_with_odd_tags_are_passed_over():
    odd: list[Rec] = [
        {"site": MARKER, "dis": "Plant"},
        {"id": Ref("a"), "site": MARKER, "dis": Number(1)},
        {"id": Ref("b"), "equip": MARKER, "siteRef": "a", "dis": "rig"},
        {"id": Ref("c"), "point": MARKER, "speeddataKey": Number(1)},
        {"id": Ref("d"), "speeddataKey": "rig.on"},
    ]
    assert len(plan([ON], grid(*odd)).commit_grid().rows) == 3

"""Units: what people write, the symbols of the server's database, and never a silent conversion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.haystack import units

# As in Project Haystack's units.txt: the last id of a line is the unit's symbol.
WRITTEN = """
    degC °C    C °C    celsius °C    Celsius °C    deg_C °C    ℃ °C    ºC °C    degrees_Celsius °C
    °F °F    degF °F    fahrenheit °F    K K    kelvin K    kph km/h    km/h km/h    m/s m/s
    m/s^2 m/s²    m/s2 m/s²    mph mph    knots knot    rpm rpm    RPM rpm    rad/s rad/s    bar bar
    mbar mbar    psi psi    PSI psi    Pa Pa    kPa kPa    hPa hPa    V V    volt V    Volts V    mV mV
    kV kV    A A    mA mA    W W    kW kW    KW kW    MW MW    mW mW    kWh kWh    KWH kWh    Wh Wh
    Hz Hz    hertz Hz    kHz kHz    1/min /min    % %    percent %    %RH %RH    ppm ppm    s sec
    sec sec    seconds sec    ms ms    us µs    µs µs    μs µs    min min    h hr    L/min L/min
    l/min L/min    LPM L/min    gpm gal/min    cfm cfm    m3/h m³/h    m³/h m³/h    lux lx    lx lx
    dB db    N N    Nm Nm    N.m Nm    N·m Nm    kg kg    g g    t ton    tonnes ton    lbs lb    mm mm
    m m    metres m    cm cm    µm µm    km km    ft ft    in in    W/m2 W/m²    kVA kVA    kvar kVAR
    deg deg    ° deg    J J    kJ kJ    VA VA    L L    gal gal    m3 m³    kB kB    pH pH
    BTU/h BTU/h    inWC inH₂O    inH2O inH₂O
""".split()


@pytest.mark.parametrize(("written", "symbol"), list(zip(WRITTEN[::2], WRITTEN[1::2], strict=True)))
def test_what_people_write_has_the_symbol_of_the_database(written, symbol):
    assert units.canonical(written) == symbol
    assert units.same(written, symbol)
    assert units.fit_to_create(written) == symbol


@pytest.mark.parametrize("written", ["ohm", "Ohms", "\u03a9", "\u2126"])
def test_an_ohm_is_the_ohm_sign_whichever_omega_was_written(written):
    assert units.canonical(written) == "\u2126"


@pytest.mark.parametrize("written", ["nm", "MPa", "uA", "µV", "kN", "GHz", "mAh", "PS", "counts", "foo", ""])
def test_a_unit_that_the_database_lacks_has_no_symbol(written):
    assert units.canonical(written) is None


@pytest.mark.parametrize(
    ("written", "theirs"),
    [
        ("kW", "W"),
        ("mW", "MW"),
        ("°F", "°C"),
        ("Nm", "nm"),
        ("kW", "kWh"),
        ("V", "A"),
        ("counts", "V"),
        ("V", "_volts"),
        ("celsius", "Δ°C"),
        ("t", "short_ton"),
        ("tonnes", "t"),
        ("%", "%RH"),
        ("MPa", "mPa"),
    ],
)
def test_different_units_are_not_the_same(written, theirs):
    assert not units.same(written, theirs)


@pytest.mark.parametrize(
    ("written", "theirs"),
    [
        ("degC", "°C"),
        ("degC", "celsius"),
        ("s", "s"),
        ("seconds", "sec"),
        ("C", "C"),
        ("counts", "counts"),
        ("counts", "_counts"),
        ("g/m2/h", "_g/m²/h"),
        ("Ω", "ohm"),
    ],
)
def test_a_unit_is_the_same_however_it_is_written(written, theirs):
    assert units.same(written, theirs)


@pytest.mark.parametrize(
    ("written", "theirs", "sample", "value"),
    [
        ("kW", "W", 1.5, 1500.0),
        ("W", "kW", 1.5, 0.0015),
        ("°C", "°F", 100.0, 212.0),
        ("°F", "°C", 212.0, 100.0),
        ("°C", "K", 0.0, 273.15),
        ("kph", "m/s", 36.0, 10.0),
        ("mph", "km/h", 1.0, 1.609344),
        ("bar", "kPa", 1.0, 100.0),
        ("MPa", "kPa", 1.0, 1000.0),
        ("psi", "Pa", 1.0, 6894.757293168361),
        ("s", "ms", 1.0, 1000.0),
        ("h", "min", 1.5, 90.0),
        ("L/min", "m³/h", 1000.0, 60.0),
        ("rpm", "rad/s", 60.0, 6.283185307179586),
        ("t", "kg", 2.0, 2000.0),
        ("t", "short_ton", 0.90718474, 1.0),
        ("knots", "km/h", 1.0, 1.852),
    ],
)
def test_a_factor_is_offered_between_units_of_one_quantity(written, theirs, sample, value):
    scale, offset = units.conversion(written, theirs)
    assert sample * scale + offset == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("written", "theirs"), [("V", "A"), ("J", "Nm"), ("foo", "V"), ("V", "_foo")])
def test_no_factor_leads_to_another_quantity(written, theirs):
    assert units.conversion(written, theirs) is None


def test_whole_factors_are_exact():
    assert units.conversion("°C", "°F") == (1.8, 32.0)
    assert units.conversion("kWh", "Wh") == (1000.0, 0.0)
    assert units.conversion("min", "s") == (60.0, 0.0)


@pytest.mark.parametrize(
    ("written", "own"),
    [
        ("counts", "_counts"),
        ("MPa", "_MPa"),
        ("g/m2/h", "_g/m²/h"),
        ("N•foo", "_N•foo"),
        ("a b-c", "_a_b_c"),
        ('"x"\n', "_x"),
        ("3foo", "_³foo"),
        ("!!!", "_unit"),
        ("x" * 1000, "_" + "x" * 40),
    ],
)
def test_an_unknown_unit_is_made_one_of_our_own(written, own):
    assert units.fit_to_create(written) == own


@given(st.text(max_size=200))
def test_any_text_makes_a_unit_that_a_server_can_read(text):
    made = units.fit_to_create(text)
    assert made
    assert units.canonical(text) == made or made.startswith("_")
    if made.startswith("_"):  # Fantom's Unit.checkId
        assert all(each.isalpha() or each in "_%/$" for each in made if ord(each) <= 128)
        assert made.isprintable()
    assert units.same(text, made) or not text.strip()


@given(st.text(max_size=100))
def test_a_unit_is_itself(text):
    assert units.same(text, text)


@pytest.mark.parametrize("text", ["", " ", "-", "1", "[-]", "none", "Unitless"])
def test_there_are_ways_to_say_that_there_is_no_unit(text):
    assert units.is_none(text)
    assert not units.is_none("s")


def test_every_unit_is_written_in_one_place():
    table = units._table()
    symbols = {unit.symbol for unit in table.ids.values()}
    assert len(symbols) == len({id(unit) for unit in table.ids.values()})
    for symbol in symbols - {"C", "F", "t"}:  # people mean Celsius, Fahrenheit and the metric ton
        assert units.canonical(symbol) == symbol

"""Units as people write them, and the symbols that Project Haystack has for them.

A server knows a unit by the ids of its database (units.txt of Project Haystack and Fantom): the last is its
symbol. People write `degC`, `kph`, `m/s2`. Units are told apart by what they measure, so that a kilowatt is
never taken for a watt; how one turns into the other is offered, and done by nobody but the map.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

_MAX_CUSTOM = 40  # characters of a unit that the database lacks

# A line: name, other ids (the last is the symbol; `-`: the name is; `!`: none, the database lacks the unit),
# scale[+offset] to the first of its quantity, then what people write for it; a spelling of two units is the
# upper one's (people's C is Celsius, not coulomb; their t is metric). The factors are exact: of the
# SI brochure and NIST SP 811. Spelling that differs in `_fold` alone (m/s^2, N.m, deg C) is not listed.
_TABLE = """
-- temperature
kelvin K 1 degK
celsius °C 1+273.15 C degC degc ℃ centigrade degreesC degree_celsius degrees_celsius
fahrenheit °F 5/9+45967/180 F degF degf ℉ degreesF degree_fahrenheit degrees_fahrenheit
-- temperature difference
kelvin_degrees ΔK 1
celsius_degrees Δ°C 1 deltaC ΔC
fahrenheit_degrees Δ°F 5/9 deltaF ΔF
-- share
parts_per_unit ppu 1
percent % 0.01 pct prc
percent_relative_humidity %RH 0.01 %rH RH% %r.h. pctRH
parts_per_million ppm 1e-6 PPM
parts_per_billion ppb 1e-9 PPB
grams_per_kilogram g/kg 0.001
-- angle
radian rad 1
degrees_angular deg 0.017453292519943295 ° degree degrees
-- phase
degrees_phase degPh 1
-- loudness
decibel db 1 dB DB
-- acidity
ph pH 1 PH
-- power factor
power_factor pf 1 PF cosφ
-- turbidity
nephelometric_turbidity_units ntu 1 NTU
formazin_nephelometric_unit fnu 1 FNU
-- acceleration
meters_per_second_squared m/s² 1 m/s/s m/sec² mps2
-- angular acceleration
radians_per_second_squared rad/s² 1 rad/s/s rad/sec²
-- angular velocity
radians_per_second rad/s 1 rad/sec
revolutions_per_minute rpm 0.10471975511965977 RPM Rpm r/min rev/min
-- area
square_meter m² 1 sqm
square_millimeter mm² 1e-6
square_centimeter cm² 1e-4
square_kilometer km² 1e6
square_inch in² 0.00064516 sqin
square_foot ft² 0.09290304 sqft
-- capacitance
farad F 1
-- density
kilograms_per_cubic_meter kg/m³ 1
grams_per_cubic_meter g/m³ 1e-3
milligrams_per_cubic_meter mg/m³ 1e-6
micrograms_per_cubic_meter µg/m³ 1e-9 ug/m³
-- electric charge
coulomb C 1
ampere_hour Ah 3600 AH
milliampere_hour ! 3.6 mAh
-- electric conductance
siemens S 1
-- electric current
ampere A 1 amp amps
milliampere mA 1e-3 milliamp
microampere ! 1e-6 µA uA
kiloampere ! 1e3 kA
-- electric potential
volt Volt,V 1
millivolt mV 1e-3
microvolt ! 1e-6 µV uV
kilovolt kV 1e3 KV
megavolt MV 1e6
-- electric resistance
ohm Ω,\u2126 1 Ohms
milliohm mΩ,m\u2126 1e-3 mOhm
kilohm kΩ,k\u2126 1e3 kOhm
megohm MΩ,M\u2126 1e6 MOhm
-- electrical conductivity
siemens_per_meter S/m 1
-- energy
joule J 1
kilojoule kJ 1e3 KJ
megajoule MJ 1e6
gigajoule GJ 1e9
watt_hour Wh 3600 WH
kilowatt_hour kWh 3.6e6 kwh KWH KWh Kwh
megawatt_hour MWh 3.6e9 MWH
gigawatt_hour GWh 3.6e12 GWH
btu BTU 1055.05585262 Btu
calorie cal 4.184
-- torque
newton_meter Nm 1
pound_force_foot ! 1.3558179483314004 lbf-ft lbf·ft ft-lb ft·lbf
-- apparent energy
kilovolt_ampere_hour kVAh 1
-- reactive energy
kilovolt_ampere_reactive_hour kVARh 1 kvarh
-- enthalpy
joules_per_kilogram J/kg 1
kilojoules_per_kilogram kJ/kg 1e3
-- force
newton N 1
kilonewton ! 1e3 kN
pound_force lbf 4.4482216152605
-- frequency
hertz Hz 1 hz HZ
kilohertz kHz 1e3 KHz khz
megahertz MHz 1e6
gigahertz ! 1e9 GHz
cycles_per_minute cpm 1/60
cycles_per_hour cph 1/3600
per_second /s 1 1/s s-1
per_minute /min 1/60 1/min min-1
per_hour /h 1/3600 1/h h-1
air_changes_per_hour ACH 1/3600 ach
-- heating rate
degrees_kelvin_per_second K/s 1
degrees_celsius_per_minute °C/min 1/60 degC/min
degrees_celsius_per_hour °C/h 1/3600 degC/h
-- illuminance
lux lx 1
footcandle fc 10.763910416709722
-- inductance
henry H 1
-- irradiance
watts_per_square_meter_irradiance W/m²_irr 1
-- length
meter m 1 metre metres meters
nanometer ! 1e-9 nm
micrometer µm 1e-6 um micron microns
millimeter mm 1e-3 millimetre
centimeter cm 1e-2 centimetre
kilometer km 1e3 kilometre
inch in 0.0254 inches
foot ft 0.3048 feet
yard yd 0.9144
mile - 1609.344 mi
-- luminous flux
lumen lm 1
-- luminous intensity
candela cd 1
-- magnetic flux density
tesla T 1
-- mass
kilogram kg 1 Kg KG kgs kilo kilos
gram g 1e-3 gramme
milligram mg 1e-6
ounce oz 0.028349523125
pound lb 0.45359237 lbs
metric_ton ton 1000 t tonne tonnes
short_ton t 907.18474
-- mass flow
kilograms_per_second kg/s 1
kilograms_per_minute kg/min 1/60
kilograms_per_hour kg/h 1/3600 kg/hr
grams_per_second g/s 1e-3
pounds_per_hour lb/h 0.00012599788055555556 lb/hr
-- power
watt W 1
milliwatt mW 1e-3
kilowatt kW 1e3 kw KW Kw
megawatt MW 1e6
gigawatt GW 1e9
horsepower hp 745.69987158227022 HP
metric_horsepower ! 735.49875 PS cv
btus_per_hour BTU/h 0.29307107017222222 Btu/h BTU/hr BTUH
tons_refrigeration tonref 3516.8528420667
-- power by area
watts_per_square_meter W/m² 1
kilowatts_per_square_meter kW/m² 1e3
-- apparent power
volt_ampere VA 1
kilovolt_ampere kVA 1e3 KVA
megavolt_ampere mVA 1e6 MVA
-- reactive power
volt_ampere_reactive VAR 1 var Var
kilovolt_ampere_reactive kVAR 1e3 kvar kVar
megavolt_ampere_reactive MVAR 1e6 Mvar MVar
-- pressure
pascal Pa 1 pa PA
hectopascal hPa 1e2 hpa
kilopascal kPa 1e3 kpa KPa KPA
megapascal ! 1e6 MPa
millibar mbar 1e2
bar - 1e5 Bar BAR barg bara
pounds_per_square_inch psi 6894.757293168361 PSI Psi psig psia
atmosphere atm 101325
millimeters_of_mercury mmHg 133.322387415
inches_of_mercury inHg 3386.388640341
centimeters_of_water cmH₂O 98.0665 cmWC
inches_of_water in/wc,inH₂O 249.08891 inWC inwg inWG
-- time
second s,sec 1 secs
nanosecond ns 1e-9 nsec
microsecond µs 1e-6 us usec
millisecond ms 1e-3 msec
minute min 60 mins
hour h,hr 3600 hrs
day - 86400 d
week wk 604800
-- velocity
meters_per_second m/s 1 mps m/sec
millimeters_per_second mm/s 1e-3
kilometers_per_second km/s 1e3
kilometers_per_hour km/h 1/3.6 kph kmh kmph KPH km/hr
miles_per_hour mph 0.44704 MPH mi/h
feet_per_second ft/s 0.3048 fps
feet_per_minute ft/min 0.00508 fpm
meters_per_minute m/min 1/60
knot - 1852/3600 kn kt kts
-- volume
cubic_meter m³ 1 cbm
cubic_centimeter cm³ 1e-6 ccm
milliliter mL 1e-6 ml millilitre
liter L 1e-3 l ltr litre
cubic_foot ft³ 0.028316846592 cuft cf
gallon gal 0.003785411784
-- volumetric flow
cubic_meters_per_second m³/s 1
cubic_meters_per_minute m³/min 1/60
cubic_meters_per_hour m³/h 1/3600 m³/hr cmh CMH
liters_per_second L/s 1e-3 l/s lps
liters_per_minute L/min 1/60000 l/min lpm LPM slpm
liters_per_hour L/h 1/3600000 l/h lph LPH L/hr
milliliters_per_second mL/s 1e-6 ml/s
gallons_per_minute gal/min 6.30901964e-5 gpm GPM
gallons_per_hour gal/hr,gph 1.0515032733333333e-6 GPH
cubic_feet_per_minute cfm 0.0004719474432 CFM ft³/min
-- data
byte - 1 B bytes
kilobyte kB 1024 KB KiB
megabyte MB 1048576 MiB
gigabyte GB 1073741824 GiB
"""

_NO_UNIT = {"", "-", "1", "none", "unitless", "dimensionless", "n/a", "na"}


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    symbol: str | None  # None: the database lacks it
    quantity: str
    scale: Fraction
    offset: Fraction


@dataclass(frozen=True, slots=True)
class _Table:
    """By id of the database, by folded spelling, and by name."""

    ids: dict[str, _Unit]
    spellings: dict[str, _Unit]
    names: dict[str, _Unit]


def canonical(unit: str) -> str | None:
    """The database's symbol of a unit as people write it: `°C` of "degC"; None where it has none."""
    found = _meant(unit)
    return found.symbol if found else None


def is_none(unit: str) -> bool:
    """Whether *unit* is a way to say that there is none, as in "", "-", "1"."""
    return unit.strip(" []()").lower() in _NO_UNIT


def same(written: str, theirs: str) -> bool:
    """Whether people's *written* means *theirs*, the unit of a point on a server."""
    if written.strip() == theirs.strip():
        return True
    mine, other = _meant(written), _of_server(theirs)
    if mine is not None and other is not None:
        return mine is other
    return mine is None and other is None and fit_to_create(written) == fit_to_create(theirs)


def conversion(written: str, theirs: str) -> tuple[float, float] | None:
    """What turns values in *written* into *theirs*, as (scale, offset): value * scale + offset.

    None where the units are of different quantities, or one of them is not known.
    """
    mine, other = _meant(written), _of_server(theirs)
    if mine is None or other is None or mine.quantity != other.quantity:
        return None
    return float(mine.scale / other.scale), float((mine.offset - other.offset) / other.scale)


def quantity(unit: str) -> str | None:
    """What *unit* measures, in a word or two; None where it is not known."""
    found = _meant(unit)
    return found.quantity if found else None


def fit_to_create(unit: str) -> str:
    """The unit that a new point of a server gets: the database's, or one of our own, which begins with `_`.

    A unit of one's own has letters, `_ % / $` and characters beyond ASCII (Fantom's `Unit.checkId`); any
    other character would make every value that carries it unreadable.
    """
    symbol = canonical(unit)
    if symbol is not None:
        return symbol
    digits = unit.strip(" []()").translate(_SUPERSCRIPTS)
    own = "".join(_own_character(each) for each in unicodedata.normalize("NFC", digits))
    return f"_{own.strip('_')[:_MAX_CUSTOM].rstrip('_') or 'unit'}"


def _own_character(character: str) -> str:
    if character.isascii():
        return character if character.isalpha() or character in "_%/$" else "_"
    return character if character.isprintable() and ord(character) > 128 else "_"


_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹", "^*")
_DROPPED = str.maketrans("", "", " ^*.·⋅•_[]()")  # what `m/s^2`, `N.m`, `deg C` and `N·m` have between


def _fold(text: str) -> str:
    """*text* in one spelling: no superscripts, no signs between, one of each pair of look-alikes."""
    return unicodedata.normalize("NFKC", text.replace("º", "°").replace("²", "2")).translate(_DROPPED)


def _word(text: str) -> str:
    """A name without what its writers do not agree on: case, underscores, the plural."""
    return _fold(text).lower().replace("-", "").removesuffix("s")


def _meant(unit: str) -> _Unit | None:
    """The unit that people mean by *unit*; symbols keep their case (mW is no MW), names do not."""
    if len(unit) > 2 * _MAX_CUSTOM or unit.lstrip().startswith("_"):  # one of somebody's own
        return None
    table = _table()
    found = table.spellings.get(_fold(unit))
    return found or (table.names.get(_word(unit)) if len(unit) > 2 else None)


def _of_server(unit: str) -> _Unit | None:
    """The unit that a server means by *unit*: by its database first, where `t` is the short ton."""
    return _table().ids.get(unit.strip()) or _meant(unit)


@cache
def _table() -> _Table:
    table = _Table({}, {}, {})
    current = ""
    for line in _TABLE.strip().splitlines():
        if line.startswith("-- "):
            current = line[3:]
            continue
        name, ids, factors, *written = line.split()
        known = [] if ids in ("-", "!") else ids.split(",")
        scale, _, offset = factors.partition("+")
        symbol = None if ids == "!" else (known or [name])[-1]
        unit = _Unit(symbol, current, _fraction(scale), _fraction(offset or "0"))
        if symbol is not None:
            table.ids.update(dict.fromkeys((name, *known), unit))
        for spelling in (name, *known, *written):
            table.spellings.setdefault(_fold(spelling), unit)
        table.names.setdefault(_word(name), unit)
        for spelling in written:
            if len(word := _word(spelling)) > 4 and word.isalpha():
                table.names.setdefault(word, unit)
    return table


def _fraction(text: str) -> Fraction:
    top, _, bottom = text.partition("/")
    return Fraction(top) / Fraction(bottom or "1")

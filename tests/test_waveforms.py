"""The demo's signals are what their names say, and the same in every run."""

from __future__ import annotations

import numpy as np

from speeddata.avro.schema import parse
from speeddata.sending import waveforms


def test_every_signal_of_the_schema_is_computed():
    schema = parse(waveforms.SCHEMA_TEXT)
    assert [signal.name for signal in schema.signals] == list(waveforms.columns(0, 1, start_ns=0, rate_hz=1))
    assert (schema.abscissa.name, schema.time_unit) == ("time", "ns")


def test_the_cut_into_runs_makes_no_difference():
    whole = waveforms.columns(0, 1000, start_ns=7, rate_hz=333)
    parts = [waveforms.columns(first, 100, start_ns=7, rate_hz=333) for first in range(0, 1000, 100)]
    for name, values in whole.items():
        assert (values == np.concatenate([part[name] for part in parts])).all()


def test_times_stay_exact_after_a_day_at_a_megahertz():
    first = 86_400 * 1_000_000
    times = waveforms.columns(first, 3, start_ns=0, rate_hz=1e6)["time"]
    assert times.tolist() == [86_400_000_000_000, 86_400_000_001_000, 86_400_000_002_000]


def test_the_waves_have_their_shapes():
    columns = waveforms.columns(0, 2000, start_ns=0, rate_hz=1000)
    assert columns["sine_wave"].argmax() == 500
    assert columns["sine_wave"].argmin() == 1500
    assert set(columns["square_wave"]) == {1.0, -1.0}
    assert columns["ramp"].min() >= 0
    assert columns["ramp"].max() < 1
    assert abs(columns["noise"].mean()) < 0.05
    assert columns["noise"].std() > 0.5
    assert set(columns["message"]) == {"rising", "falling"}

"""Chunks as HDF5 would have made them: zlib alone reads them back."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from speeddata import h5chunks

both = pytest.mark.parametrize(
    "compress",
    [
        pytest.param(
            h5chunks._fast_gzip,
            marks=pytest.mark.skipif(h5chunks.isal_zlib is None, reason="no isal for this machine"),
        ),
        h5chunks._careful_gzip,
    ],
)

NOISE = np.random.default_rng(1).integers(0, 2**63, 8192)


@both
@pytest.mark.parametrize(
    "chunk",
    [
        NOISE,
        NOISE[:1],
        np.arange(10_000, dtype="<i8"),
        np.round(np.sin(np.arange(32768) / 50), 4),
        np.arange(300, dtype="<f4").reshape(100, 3),
        np.zeros(5000, "?"),
        np.frombuffer(bytes(range(256)) * 7, "V7"),
    ],
    ids=["noise", "one", "ramp", "wave", "rows", "booleans", "opaque"],
)
def test_shuffle_and_deflate_give_the_bytes_back(compress, chunk):
    filtered = compress(chunk)
    width = chunk.dtype.itemsize
    shuffled = np.frombuffer(zlib.decompress(filtered), np.uint8)
    assert shuffled.reshape(width, -1).T.tobytes() == chunk.tobytes()


@both
def test_what_gets_smaller_does_and_noise_hardly_grows(compress):
    ramp = np.arange(10_000, dtype="<i8")
    assert len(compress(ramp)) < ramp.nbytes / 20
    assert len(compress(NOISE)) < NOISE.nbytes * 1.01

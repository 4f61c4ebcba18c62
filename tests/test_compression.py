"""Codecs give back what went in, and never more than they may."""

from __future__ import annotations

import importlib
import zlib

import pytest

from speeddata.avro.compression import decompressor
from speeddata.errors import DataError

CODECS = ["deflate", "zstandard", "snappy"]


def compressed(codec, data):
    if codec == "deflate":
        return zlib.compress(data, wbits=-15)
    if codec == "zstandard":
        return pytest.importorskip("zstandard").compress(data)
    snappy = pytest.importorskip("cramjam").snappy
    return bytes(snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 300])
def test_what_went_in_comes_out(codec, data):
    packed = compressed(codec, data)
    assert decompressor(codec, 1 << 20)(memoryview(packed)) == data


@pytest.mark.parametrize("codec", CODECS)
def test_data_cut_short_is_an_error(codec):
    packed = compressed(codec, bytes(range(256)) * 300)
    for size in (0, 1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(Exception, match=r"."):
            decompressor(codec, 1 << 20)(memoryview(packed[:size]))


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_at_the_limit(codec):
    just, over, bomb = (compressed(codec, bytes(size)) for size in (1 << 20, (1 << 20) + 1, 200 << 20))
    decompress = decompressor(codec, 1 << 20)
    assert len(decompress(memoryview(just))) == 1 << 20
    for packed in (over, bomb):
        with pytest.raises(ValueError, match="too large"):
            decompress(memoryview(packed))


def test_snappy_data_with_a_wrong_checksum_is_an_error():
    packed = compressed("snappy", b"abc")
    with pytest.raises(ValueError, match="checksum"):
        decompressor("snappy", 100)(memoryview(packed[:-1] + b"!"))


def test_a_codec_that_nobody_knows_is_refused_by_name():
    with pytest.raises(DataError, match=r"a\.avro: codec 'lzma9' is not supported; .*null, deflate"):
        decompressor("lzma9", 100, where="a.avro")


@pytest.mark.parametrize(("codec", "package"), [("zstandard", "zstandard"), ("snappy", "cramjam")])
def test_a_missing_library_is_named(codec, package, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(DataError, match=f"pip install {package}"):
        decompressor(codec, 100)

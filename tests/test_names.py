"""Names and endpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.errors import UsageError
from speeddata.names import DISCOVERY, Endpoint, channel_name, derived_port, is_channel_name


@pytest.mark.parametrize("name", ["rig", "_", "A1", "rig.east-2_b", "a" * 64, "avro", "x.avro.gz"])
def test_a_name_may_hold_letters_digits_and_a_few_marks(name):
    assert is_channel_name(name)
    assert channel_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1rig",
        "-rig",
        ".rig",
        "rig.avro",
        "RIG.AVRO",
        "a" * 65,
        "a" * 300,
        "../../etc/x",
        "a/b",
        "a b",
        "rig\n",
        "rig\x00",
        "\x1b[2J",
        "ríg",
        "rig٣",
        "*",
        "a:b",
        "a,b",
        "a=b",
    ],
)
def test_a_name_that_could_be_a_path_or_a_trick_is_refused(name):
    assert not is_channel_name(name)
    with pytest.raises(UsageError, match="is no channel name; use a letter or _"):
        channel_name(name)


def test_the_refusal_of_a_long_name_is_short():
    with pytest.raises(UsageError) as caught:
        channel_name("a" * 100_000)
    assert len(str(caught.value)) < 250


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", fullmatch=True))
def test_derived_ports_ignore_case_and_stay_within_their_range(name):
    assert 20000 <= derived_port(name) <= 29999
    assert derived_port(name.upper()) == derived_port(name.lower())


def test_derived_ports_are_part_of_the_contract():
    # CRC-32 is fixed for ever: a receiver that knows the name may compute the port
    assert (derived_port("rig"), derived_port("demo"), derived_port("a")) == (23865, 26848, 25907)


@pytest.mark.parametrize(
    ("text", "endpoint", "again"),
    [
        ("127.0.0.1:26000", Endpoint("127.0.0.1", 26000), "127.0.0.1:26000"),
        ("localhost:1", Endpoint("127.0.0.1", 1), "127.0.0.1:1"),
        ("239.1.1.1:65535", Endpoint("239.1.1.1", 65535), "239.1.1.1:65535"),
        ("[::1]:5", Endpoint("::1", 5), "[::1]:5"),
        ("[FF02:0::1]:5", Endpoint("ff02::1", 5), "[ff02::1]:5"),
    ],
)
def test_an_endpoint_is_a_literal_address_and_a_port(text, endpoint, again):
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == again
    assert Endpoint.parse(again) == endpoint
    assert endpoint.address == (endpoint.host, endpoint.port)


def test_a_bare_port_needs_a_default_host():
    assert Endpoint.parse("26000", default_host="0.0.0.0") == Endpoint("0.0.0.0", 26000)
    assert Endpoint.parse("10.0.0.7:26000", default_host="0.0.0.0") == Endpoint("10.0.0.7", 26000)
    with pytest.raises(UsageError, match="write ADDR:PORT"):
        Endpoint.parse("26000")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":5",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4: 5",
        "1.2.3.4:٣",
        "rig:5",
        "1.2.3:5",
        "1.2.3.4.5:5",
        "::1:5",
        "[::1:5",
        "::1]:5",
        "[]:5",
        "[[::1]]:5",
        "[fe80::1%\x1b[m]:5",
        "1.2.3.4:5\n",
        "1.2.3.4\n:5",
        "01.2.3.4:5",
        "1.2.3.4:999999",
    ],
)
@pytest.mark.parametrize("default_host", [None, "0.0.0.0"])
def test_anything_else_is_no_endpoint(text, default_host):
    with pytest.raises(UsageError, match=r"(?s)'.*' (in '.*' )?is no (endpoint|port|IP address); "):
        Endpoint.parse(text, default_host=default_host)


def test_groups_are_told_from_hosts():
    assert DISCOVERY.is_group
    assert Endpoint("ff02::1", 5).is_group
    assert not Endpoint("127.0.0.1", 5).is_group
    assert not Endpoint("255.255.255.255", 5).is_group

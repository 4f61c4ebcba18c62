"""A server's address: one spelling, one key, no password in it, and no clear text to other hosts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from speeddata.errors import UsageError
from speeddata.haystack.targets import Target


def parse(url: str, **options: object) -> Target:
    return Target.parse(url, user="su", **options)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("https://rig.example.com/api/demo", "https://rig.example.com/api/demo/"),
        ("HTTPS://Rig.Example.COM:443//api//demo//", "https://rig.example.com/api/demo/"),
        ("https://rig.example.com", "https://rig.example.com/"),
        ("https://rig:8443/api/sys/", "https://rig:8443/api/sys/"),
        ("https://192.168.1.7/api", "https://192.168.1.7/api/"),
        ("https://[2001:DB8::0:1]:443/api", "https://[2001:db8::1]/api/"),
        ("https://bücher.example/api/Büro", "https://xn--bcher-kva.example/api/B%C3%BCro/"),
        ("https://rig/api/a%20b", "https://rig/api/a%20b/"),
        ("http://127.0.0.1:8080/api/demo", "http://127.0.0.1:8080/api/demo/"),
        ("http://127.3.2.1/", "http://127.3.2.1/"),
        ("http://[::1]:80/api", "http://[::1]/api/"),
        ("http://localhost:8080/api", "http://localhost:8080/api/"),
    ],
)
def test_every_spelling_of_an_address_becomes_the_same(given, canonical):
    target = parse(given)
    assert target.url == str(target) == canonical
    assert parse(canonical) == target


def test_its_parts_are_what_a_connection_needs():
    target = parse("https://[::1]:8443/api/demo", ca_file=Path("ca.pem"))
    assert (target.scheme, target.host, target.port, target.path) == ("https", "::1", 8443, "/api/demo/")
    assert (target.user, target.ca_file, target.secure) == ("su", Path("ca.pem"), True)
    assert target.origin == "https://[::1]:8443"


def test_clear_text_leaves_the_machine_only_when_asked_for_by_name():
    with pytest.raises(UsageError) as caught:
        parse("http://rig.example.com/api")
    assert str(caught.value) == (
        "--url: http to rig.example.com would send everything in clear text; "
        "use https://, or --allow-cleartext where that is meant"
    )
    assert not parse("http://rig.example.com/api", allow_cleartext=True).secure


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "127.0.0.1.example.com", "2130706433", "0x7f000001", "0.0.0.0", "[::]"]
)
def test_what_only_looks_like_this_machine_is_another_host(host):
    with pytest.raises(UsageError, match="clear text"):
        parse(f"http://{host}/api")


@pytest.mark.parametrize(
    "url",
    [
        "https://su:geheim@rig/api",
        "https://geheim@rig/api",
        "http://127.0.0.1:8080@geheim/api",
        "https://a:geheim@b:99999/api",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_shown(url):
    with pytest.raises(UsageError) as caught:
        parse(url)
    assert "geheim" not in str(caught.value)
    assert "--user" in str(caught.value) or "whole base" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rig",
        "rig:8080/api",
        "ftp://rig/api",
        "https://",
        "https:///api",
        "https://rig:0/api",
        "https://rig:65536/api",
        "https://rig:x/api",
        "https://rig/api?project=demo",
        "https://rig/api#demo",
        "https://rig/api?",
        "https://rig/a b",
        "https://rig/api\r\nX: y",
        "https://rig\\other/api",
        "https://rig/api/../admin",
        "https://[::1/api",
        "https://[1.2.3.4]/api",
        "https://-rig/api",
        "https://a..b/api",
        f"https://{'a' * 64}/api",
        "https://rig!/api",
    ],
)
def test_what_is_no_base_address_is_refused_with_an_example(url):
    with pytest.raises(UsageError) as caught:
        parse(url)
    assert "--url" in str(caught.value)
    assert "https://host/api/demo" in str(caught.value)


@pytest.mark.parametrize("user", ["", "a\nb", "a\0", "\x7f", "caf\udce9"])
def test_what_is_no_name_of_a_user_is_refused(user):
    with pytest.raises(UsageError, match="--user: "):
        Target.parse("https://rig/api", user=user)


def test_the_key_has_the_host_for_people_and_the_address_for_certain():
    target = parse("https://rig.example.com/api/demo")
    digest = hashlib.sha256(b"https://rig.example.com/api/demo/").hexdigest()[:12]
    assert target.key == f"rig.example.com-{digest}"


def test_a_key_is_the_same_for_every_spelling_and_user_and_another_for_every_server():
    def key(url: str, user: str = "su") -> str:
        return Target.parse(url, user=user).key

    assert key("https://rig/api/demo") == key("HTTPS://RIG:443/api/demo/", "other")
    others = ["https://rig/api/sys", "https://rig:8443/api/demo", "https://rig2/api/demo"]
    assert len({key(url) for url in ["https://rig/api/demo", *others]}) == 4


@pytest.mark.parametrize("host", ["[::1]", f"{'a' * 60}.{'b' * 60}.{'c' * 60}", "127.0.0.1"])
def test_a_key_is_fit_for_a_file_name(host):
    key = parse(f"https://{host}/api").key
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    assert len(key) <= 80
    assert key[0] not in ".-"

"""speeddata.toml: every key is known or refused by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from speeddata.errors import UsageError
from speeddata.names import Endpoint
from speeddata.settings import ChannelSettings, Settings, find, load

COMMANDS = ("relay", "tap")
SHARED = ("factor", "interface", "output", "json")
RELAY = {
    "factor": "int",
    "interface": "list",
    "output": "text",
    "json": "flag",
    "rotate-size": "text",
    "rate": "float",
}


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Settings:
        path = tmp_path / "speeddata.toml"
        path.write_text(text, "utf-8")
        return load(path)

    return write


def defaults(settings: Settings, command: str = "relay") -> dict[str, object]:
    return settings.defaults(command, RELAY, shared=SHARED, commands=COMMANDS)


def test_no_file_sets_nothing():
    assert defaults(load(None)) == {}
    assert load(None).channels() == {}


def test_a_command_takes_its_own_table_before_the_top(toml):
    settings = toml(
        'factor = 3\noutput = "all"\n[relay]\noutput = "rec"\nrotate-size = "1MiB"\n[tap]\nx = 1\n'
    )
    assert defaults(settings) == {"factor": 3, "output": "rec", "rotate-size": "1MiB"}


def test_a_shared_key_that_this_command_lacks_is_passed_over(toml):
    assert toml("factor = 3\n").defaults("ls", {}, shared=SHARED, commands=("ls",)) == {}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('interface = ["lo", "127.0.0.1"]', {"interface": ["lo", "127.0.0.1"]}),
        ('interface = "lo"', {"interface": ["lo"]}),
        ("json = true", {"json": True}),
        ("output = 5", {"output": "5"}),
    ],
)
def test_values_have_the_form_that_their_option_takes(toml, line, value):
    assert defaults(toml(line)) == value


def test_a_number_may_be_whole_where_any_number_will_do(toml):
    assert defaults(toml("[relay]\nrate = 5\n")) == {"rate": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("factr = 5", "factr: no such setting; did you mean factor?"),
        ("zzz = 5", "zzz: no such setting"),
        ("[relya]", "relya: no such setting; did you mean relay?"),
        ("[relay]\nrotate-sice = 1", "relay.rotate-sice: no such setting; did you mean relay.rotate-size?"),
        ("[relay]\nrotate_size = 1", "relay.rotate_size: no such setting; did you mean relay.rotate-size?"),
        ("relay = 5", "relay: is no table; write [relay]"),
        ('factor = "5"', "factor: '5' is not a whole number"),
        ("factor = true", "factor: 'True' is not a whole number"),
        ("factor = 5.0", "factor: '5.0' is not a whole number"),
        ("factor = [5]", "factor: '[5]' is not a whole number"),
        ("json = 1", "json: '1' is not true or false"),
        ("output = true", "output: 'True' is not text"),
        ("output = 2026-11-22", "output: '2026-11-22' is not text"),
        ("interface = [1]", "interface: '[1]' is not a list of text"),
        ("[relay]\nrate = '5'", "relay.rate: '5' is not a number"),
    ],
)
def test_a_wrong_key_or_type_is_refused_by_file_and_key(toml, tmp_path, text, message):
    settings = toml(text)
    with pytest.raises(UsageError) as caught:
        defaults(settings)
    assert str(caught.value).removeprefix(f"{tmp_path}/speeddata.toml: ") == message
    assert caught.value.status == 2


def test_what_is_no_toml_is_refused_by_file_and_line(toml, tmp_path):
    with pytest.raises(UsageError, match=r"speeddata.toml: not TOML: .*line 2"):
        toml("factor = 5\nfactor =\n")


@pytest.mark.parametrize("hostile", [b'output = "\xff"', b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000])
def test_what_is_no_utf_8_or_beyond_measure_is_refused(tmp_path, hostile):
    path = tmp_path / "x.toml"
    path.write_bytes(hostile)
    with pytest.raises(UsageError, match="not TOML"):
        load(path)


def test_a_file_that_was_named_and_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"gone.toml: No such file"):
        load(find(str(tmp_path / "gone.toml")))


def test_the_file_is_looked_for_here_then_in_the_users_configuration(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "config" / "speeddata"
    here.mkdir()
    there.mkdir(parents=True)
    monkeypatch.chdir(here)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert find(None, environ) is None
    (there / "speeddata.toml").touch()
    assert find(None, environ) == there / "speeddata.toml"
    (here / "speeddata.toml").touch()
    assert find(None, environ) == Path("speeddata.toml")
    assert find("other.toml", environ) == Path("other.toml")


def test_without_xdg_config_home_it_is_in_dot_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".config" / "speeddata").mkdir(parents=True)
    (tmp_path / ".config" / "speeddata" / "speeddata.toml").touch()
    assert find(None, {"HOME": str(tmp_path)}) == tmp_path / ".config/speeddata/speeddata.toml"


CHANNELS = """
[channels.Example]
listen = 26000
schema = "schemas/example.avsc"
full = "239.1.1.1:6000"
decimated = "239.1.1.2:6001"
factor = 7
method = "pick"

[channels.other]
listen = "239.9.9.9:6000"

[channels."dotted.name"]
full = "239.1.1.1:6001"
"""


def test_a_home_that_cannot_be_looked_into_has_no_settings():
    assert find(None, {"HOME": "/" + "x" * 300}) is None  # as root is kept out of no directory
    assert find(None, {"XDG_CONFIG_HOME": "/dev/null/config"}) is None


def test_channels_say_where_they_arrive_and_where_they_are_served(toml, tmp_path):
    assert toml(CHANNELS).channels() == {
        "example": ChannelSettings(
            name="Example",
            listen=Endpoint("0.0.0.0", 26000),
            schema=tmp_path / "schemas/example.avsc",
            full=Endpoint("239.1.1.1", 6000),
            decimated=Endpoint("239.1.1.2", 6001),
            factor=7,
            method="pick",
        ),
        "other": ChannelSettings(name="other", listen=Endpoint("239.9.9.9", 6000)),
        "dotted.name": ChannelSettings(name="dotted.name", full=Endpoint("239.1.1.1", 6001)),
    }


def test_the_tables_of_channels_are_no_options(toml):
    assert defaults(toml(CHANNELS)) == {}


def test_an_absolute_schema_stays_where_it_is(toml):
    assert toml('[channels.a]\nschema = "/etc/a.avsc"\n').channels()["a"].schema == Path("/etc/a.avsc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[channels.a]\nlisten = 'x'", "channels.a.listen: 'x' is no endpoint; write ADDR:PORT or PORT"),
        ("[channels.a]\nlisten = 99999", "channels.a.listen: '99999' in '99999' is no port"),
        ("[channels.a]\nlisen = 1", "channels.a.lisen: no such setting; did you mean channels.a.listen?"),
        (
            "[channels.a]\nfull = '10.0.0.1:5'",
            "channels.a.full: 10.0.0.1:5 is no multicast group; use an address",
        ),
        (
            "[channels.a]\ndecimated = '239.1.1.3:25999'",
            "channels.a.decimated: 239.1.1.3:25999 is where announcements go; use another group or port",
        ),
        ("[channels.a]\nfactor = 0", "channels.a.factor: 0 is below 1"),
        ("[channels.a]\nfactor = '5'", "channels.a.factor: '5' is not a whole number"),
        ("[channels.a]\nschema = ['x']", "channels.a.schema: \"['x']\" is not text"),
        ("[channels]\na = 5", "channels.a: is no table; write [channels.a]"),
        ("channels = 5", "channels: is no table; write [channels]"),
        ('[channels."../x"]\nlisten = 5', "channels.../x: '../x' is no channel name; use a letter"),
        ("[channels.a]\n[channels.A]", "channels.A: the channel is there twice"),
        (
            "[channels.a]\nfull = '239.1.1.1:5'\n[channels.b]\ndecimated = '239.1.1.1:5'",
            "channels.b: 239.1.1.1:5 is already taken by channels.a",
        ),
        (
            "[channels.a]\nfull = '239.1.1.1:5'\ndecimated = '239.1.1.1:5'",
            "channels.a: 239.1.1.1:5 is already taken by channels.a",
        ),
    ],
)
def test_a_wrong_channel_is_refused_by_file_and_key(toml, tmp_path, text, message):
    settings = toml(text)
    with pytest.raises(UsageError) as caught:
        settings.channels()
    assert str(caught.value).removeprefix(f"{tmp_path}/speeddata.toml: ").startswith(message)

"""A command of several verbs: which one a command line means, and what its help and its settings are."""

from __future__ import annotations

import sys
import types

import click
import pytest

from speeddata import cli
from speeddata.verbs import Verbs


@pytest.fixture
def post(monkeypatch, tmp_path):
    """`post("send", "x")` runs a command of two verbs; which one ran, and with what."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    ran = []

    @click.command()
    @click.argument("word", nargs=-1)
    @click.option("--size", type=int, default=1, help="How large.")
    def send(word, size):
        """Bring words to where they belong."""
        ran.append(("send", *word, size))

    @click.command()
    @click.option("--deep", is_flag=True)
    def look(deep):
        ran.append(("look", deep))

    for verb, command in (("send", send), ("look", look)):
        monkeypatch.setitem(sys.modules, f"a_room.{verb}", types.SimpleNamespace(command=command))
    verbs = {"send": "Send words.", "look": "Look at them."}
    rooms = {verb: f"a_room.{verb}" for verb in verbs}
    for name, plain in (("post", "send"), ("mail", None)):
        module = types.SimpleNamespace(command=Verbs(name, verbs, rooms, plain=plain, help="Post or mail."))
        monkeypatch.setitem(sys.modules, f"speeddata.commands.{name}", module)
    monkeypatch.setattr(cli, "COMMANDS", {"post": "A post office.", "mail": "Mail."})

    def run(*args, name="post"):
        ran.clear()
        status = cli.main([name, *args])
        return ran[0] if ran else status

    return run


def test_a_verb_that_is_named_runs(post):
    assert post("look", "--deep") == ("look", True)
    assert post("send", "a", "--size", "3") == ("send", "a", 3)


def test_where_none_is_named_the_plain_one_is_meant(post):
    assert post("a", "b") == ("send", "a", "b", 1)
    assert post("--size", "2", "a") == ("send", "a", 2)
    assert post() == ("send", 1)


def test_a_word_that_is_a_verb_is_its_argument_behind_its_name(post):
    assert post("send", "look") == ("send", "look", 1)
    assert post("./look") == ("send", "./look", 1)


@pytest.mark.parametrize("before", [("-q",), ("--verbose",), ("-C", "look"), ("--config=look", "-v")])
def test_options_of_every_command_may_stand_before_the_verb(post, tmp_path, before):
    (tmp_path / "look").write_text("")  # an empty file of settings, called like a verb
    assert post(*before, "look") == ("look", False)
    assert post(*before, "a") == ("send", "a", 1)


def test_a_command_without_a_plain_verb_wants_one(post, capsys):
    assert post("lok", name="mail") == 2
    assert capsys.readouterr().err == "speeddata: mail: has no verb 'lok'; did you mean look?\n"
    assert post("xyz", name="mail") == 2
    assert capsys.readouterr().err == "speeddata: mail: has no verb 'xyz'; choose from send, look\n"
    assert post("look", name="mail") == ("look", False)


def test_the_help_is_that_of_the_plain_verb_and_names_the_others(post, capsys):
    for asked in ("-h", "--help"):
        assert post(asked) == 0
        told = capsys.readouterr().out
        assert told.startswith("Usage: speeddata post [OPTIONS] [WORD]...\n\n  Bring words to where")
        assert "How large." in told
        assert told.endswith("Other verbs:\n  post look  Look at them.\n")


def test_without_a_plain_verb_the_help_lists_all(post, capsys):
    for args in ((), ("--help",)):
        assert post(*args, name="mail") == 0
        told = capsys.readouterr().out
        assert "Post or mail." in told
        assert told.endswith("Verbs:\n  mail send  Send words.\n  mail look  Look at them.\n")


def test_settings_of_all_verbs_stand_in_one_table(post, tmp_path, capsys):
    (tmp_path / "speeddata.toml").write_text("[post]\nsize = 7\ndeep = true\n")
    assert post("a") == ("send", "a", 7)
    assert post("look") == ("look", True)
    (tmp_path / "speeddata.toml").write_text("[post]\nsiz = 7\n")
    for args in (("a",), ("look",)):
        assert post(*args) == 2
        assert "speeddata.toml: post.siz: no such setting; did you mean post.size?" in capsys.readouterr().err


def test_a_setting_of_another_verb_is_no_flag_of_this_one(post, capsys):
    assert post("look", "--size", "3") == 2
    assert "post look: no such option '--size'" in capsys.readouterr().err


def test_values_come_from_the_environment_as_for_every_command(post, monkeypatch):
    monkeypatch.setenv("SPEEDDATA_SIZE", "9")
    assert post("a") == ("send", "a", 9)

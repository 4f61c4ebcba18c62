"""Connection strings: kept where nobody else can read them, and told to nobody."""

from __future__ import annotations

import os
import stat
import traceback

import pytest

from speeddata.errors import HostError, UsageError
from speeddata.subscription import secrets

SECRET = "hunter2/é+=="
TEXT = f"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey={SECRET}"


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


@pytest.fixture
def file(environ):
    return secrets.save("plant", TEXT, environ)


def refused(call, kind=UsageError):
    """What *call* raises, having made sure that nothing of it has the secret."""
    with pytest.raises(kind) as told:
        call()
    whole = "".join(traceback.format_exception(told.value)) + repr(told.value)
    assert "hunter2" not in whole + repr(told.value.__context__)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_it_is_kept_in_a_private_file_of_a_private_directory(environ, tmp_path):
    old = os.umask(0)
    try:
        file = secrets.save("plant", f"  {TEXT}\r\n", environ)
    finally:
        os.umask(old)
    assert file == tmp_path / "config" / "speeddata" / "destinations" / "plant"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.read_text() == TEXT + "\n"
    assert secrets.load("plant", environ) == TEXT


def test_without_xdg_it_is_below_the_home(tmp_path):
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}
    assert secrets.directory(environ) == tmp_path / ".config" / "speeddata" / "destinations"


def test_a_new_one_replaces_the_old_one_whole_and_leaves_nothing_else(environ, file):
    before = file.stat().st_ino
    secrets.save("plant", "-", environ)
    assert secrets.load("plant", environ) == "-"
    assert file.stat().st_ino != before
    assert [path.name for path in file.parent.iterdir()] == ["plant"]


def test_it_is_read_anew_each_time(environ, file):
    assert secrets.load("plant", environ) == TEXT
    secrets.save("plant", "sqlite:x", environ)
    assert secrets.load("plant", environ) == "sqlite:x"


def test_a_customer_without_one_has_none(environ, file):
    assert secrets.load("other", environ) is None
    assert secrets.remove("plant", environ)
    assert not secrets.remove("plant", environ)
    assert secrets.load("plant", environ) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o660, 0o644])
def test_a_file_that_others_can_use_is_refused_with_the_cure(environ, file, mode):
    file.chmod(mode)
    assert f"chmod 600 {file}" in refused(lambda: secrets.load("plant", environ))


def test_the_file_of_another_user_is_refused(environ, file, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert "another user" in refused(lambda: secrets.load("plant", environ))


def test_a_directory_that_others_can_write_to_is_refused(environ, file):
    file.parent.chmod(0o777)
    assert f"chmod 700 {file.parent}" in refused(lambda: secrets.save("plant", TEXT, environ))
    assert file.read_text() == TEXT + "\n"


@pytest.mark.parametrize("customer", ["", "..", "a/b", "../plant", ".new-x", "x" * 65, "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(environ, customer):
    for call in (secrets.load, lambda name, env: secrets.save(name, TEXT, env), secrets.remove):
        assert "no name of a customer" in refused(lambda call=call: call(customer, environ))


def test_a_link_counts_as_what_it_leads_to(environ, file, tmp_path):
    kept = tmp_path / "kept"
    file.rename(kept)
    file.symlink_to(kept)
    assert secrets.load("plant", environ) == TEXT
    kept.chmod(0o644)
    assert "others can read" in refused(lambda: secrets.load("plant", environ))
    kept.unlink()
    refused(lambda: secrets.load("plant", environ), HostError)


def test_a_fifo_is_refused_and_not_waited_for(environ, file):
    file.unlink()
    os.mkfifo(file, 0o600)
    assert "no plain file" in refused(lambda: secrets.load("plant", environ))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hunter2\xff", "no text"),
        (b"hunter2 " * 10_000, "too long"),
    ],
)
def test_content_that_is_no_text_is_told_without_any_of_it(environ, file, content, said):
    file.write_bytes(content)
    assert said in refused(lambda: secrets.load("plant", environ))


def test_text_that_cannot_be_written_leaves_the_old_one(environ, file):
    for text in (f"{SECRET}\udcff", " \n"):
        assert "no connection string" in refused(lambda text=text: secrets.save("plant", text, environ))
    assert secrets.load("plant", environ) == TEXT
    assert [path.name for path in file.parent.iterdir()] == ["plant"]


def test_what_systemd_keeps_comes_first(environ, file, tmp_path):
    given = tmp_path / "credentials"
    given.mkdir()
    environ["CREDENTIALS_DIRECTORY"] = str(given)
    assert secrets.load("plant", environ) == TEXT
    (given / "plant").write_text("nats://127.0.0.1/NEW\n")
    (given / "plant").chmod(0o440)
    assert secrets.load("plant", environ) == "nats://127.0.0.1/NEW"


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "config").write_text("")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    refused(lambda: secrets.save("plant", TEXT, environ), HostError)

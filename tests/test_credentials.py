"""A password comes from a file of its owner's alone, the environment, systemd or a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
import traceback

import pytest

from speeddata import credentials
from speeddata.credentials import password
from speeddata.errors import HostError, UsageError

NAME = "SPEEDDATA_HX_PASSWORD"
DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def _no_other_source(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(credentials, "_in_foreground", lambda: False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "password"
    path.write_bytes(b"from the file\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def credential(tmp_path, monkeypatch):
    directory = tmp_path / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return directory / "hxpush"


def test_the_environment_has_it(monkeypatch):
    monkeypatch.setenv(NAME, "pä ss,=\"'")
    assert password() == "pä ss,=\"'"


def test_a_file_that_was_named_comes_before_the_environment(monkeypatch, file):
    monkeypatch.setenv(NAME, "from the environment")
    assert password(file=file) == "from the file"


def test_the_environment_comes_before_systemd(monkeypatch, credential):
    credential.write_text("from systemd")
    monkeypatch.setenv(NAME, "from the environment")
    assert password() == "from the environment"


def test_a_systemd_credential_has_it_whatever_its_mode(credential):
    credential.write_text("from systemd\n")
    credential.chmod(0o440)
    assert password() == "from systemd"


def test_another_command_has_variables_and_credentials_of_its_own(monkeypatch, credential):
    credential.with_name("subscribe").write_text("its own")
    assert password("SPEEDDATA_TO_PASSWORD", credential="subscribe") == "its own"
    monkeypatch.setenv("SPEEDDATA_TO_PASSWORD", "mine")
    assert password("SPEEDDATA_TO_PASSWORD", credential="subscribe") == "mine"


def test_without_any_the_error_names_all_ways(credential, monkeypatch):
    monkeypatch.setenv(NAME, "")
    with pytest.raises(UsageError) as caught:
        password()
    assert str(caught.value) == (
        "no password given; set SPEEDDATA_HX_PASSWORD, name a file of mode 0600 with --password-file, "
        "or let systemd load the credential hxpush"
    )
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" secret \n", " secret "),
        ("gehéim\N{PILE OF POO}\n".encode(), "gehéim\N{PILE OF POO}"),
        (b"x" * 4096, "x" * 4096),
    ],
)
def test_one_end_of_line_is_cut_off_and_nothing_else(file, content, expected):
    file.write_bytes(content)
    assert password(file=file) == expected


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty, where a password was to be"),
        (b"\n", "empty, where a password was to be"),
        (b"secret\nmore\n", "more than one line, or control characters, in the password"),
        (b"sec\0ret", "more than one line, or control characters, in the password"),
        (b"secret\xff", "not UTF-8 text"),
        (b"x" * 4097, "more than 4096 bytes: no password file"),
    ],
)
def test_what_is_no_password_is_refused_without_being_shown(file, content, what):
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        password(file=file)
    assert str(caught.value) == f"{file}: {what}"
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert "xff" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666])
def test_a_file_that_others_can_reach_is_refused_with_the_cure(file, mode):
    file.chmod(mode)
    with pytest.raises(UsageError) as caught:
        password(file=file)
    assert str(caught.value) == f"{file}: others can read the password file; chmod 600 {file}"


def test_a_file_of_another_user_is_refused(file, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    with pytest.raises(UsageError, match="belongs to another user; make a copy of your own"):
        password(file=file)


def test_a_link_counts_as_what_it_leads_to(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file)
    assert password(file=link) == "from the file"
    file.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        password(file=link)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, make):
    path = tmp_path / "odd"
    make(path, 0o600)
    with pytest.raises(UsageError, match="odd: not a plain file"):
        password(file=path)


def test_a_file_that_is_not_there_is_a_mistake_of_the_command_line(tmp_path):
    with pytest.raises(UsageError, match="nowhere: No such file or directory"):
        password(file=tmp_path / "nowhere")


def test_a_file_that_cannot_be_read_is_the_hosts_word(file, monkeypatch):
    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(HostError, match="password: Permission denied"):
        password(file=file)


def test_bytes_of_the_environment_that_are_no_text_are_refused(monkeypatch):
    monkeypatch.setenv(NAME, "secret\udcff")
    with pytest.raises(UsageError) as caught:
        password()
    assert str(caught.value) == f"{NAME}: the password is not UTF-8 text"


def test_a_terminal_in_the_foreground_is_asked_without_an_echo(tmp_path):
    program = (
        "from speeddata.credentials import password; "
        f"print(len(password(who='su at rig')), file=open({str(tmp_path / 'length')!r}, 'w'))"
    )
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.pop(NAME, None)
        os.execv(sys.executable, [sys.executable, "-c", program])
    shown = b""
    try:
        shown = read_until(fd, b"Password of su at rig: ")
        os.write(fd, b"hidden\n")
        shown += read_until(fd, None)
    finally:
        os.close(fd)
        os.waitpid(pid, 0)
    assert b"hidden" not in shown
    assert (tmp_path / "length").read_text() == "6\n"


def read_until(fd, end):
    """What a terminal shows, up to *end* or its last byte."""
    shown, deadline = b"", time.monotonic() + DEADLINE_S
    while end is None or end not in shown:
        assert select.select([fd], [], [], deadline - time.monotonic())[0], shown
        try:
            data = os.read(fd, 4096)
        except OSError:  # EIO: nobody has the other end any more
            data = b""
        if not data:
            break
        shown += data
    return shown


def test_without_a_terminal_nothing_is_asked():
    program = "from speeddata.credentials import password; password()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={key: value for key, value in os.environ.items() if key != NAME},
        start_new_session=True,  # no controlling terminal, as under cron
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert "UsageError: no password given; set SPEEDDATA_HX_PASSWORD" in done.stderr

"""The one way out, and where the values of options come from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest

from speeddata import __version__, cli, errors, options

COMMANDS = list(cli.COMMANDS)


@pytest.fixture
def probe(monkeypatch, tmp_path):
    """Makes the command `probe` of a function, in place of all others; its options are decorators."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SPEEDDATA_INTERFACE")
    monkeypatch.setattr(cli, "COMMANDS", {"probe": "Does what the test wants."})

    def install(function, *decorators):
        for decorator in reversed(decorators):
            function = decorator(function)
        module = types.SimpleNamespace(command=click.command()(function))
        monkeypatch.setitem(sys.modules, "speeddata.commands.probe", module)

    return install


@pytest.fixture
def values(probe):
    """`values("-n", "7")` runs a command with many options; what they came to."""
    taken = {}

    def keep(**kwargs):
        taken.update(kwargs)

    probe(
        keep,
        options.factor,
        options.duration,
        options.interface,
        options.schema_file,
        options.as_json,
        options.output.but(default="data"),
        options.allow,
        click.option("--rotate-size", type=options.SIZE, default="50MiB"),
        click.option("--to", type=options.ENDPOINT),
        click.option("--rate", type=float),
    )

    def run(*args):
        taken.clear()
        assert cli.main(["probe", *args]) == 0
        return dict(taken)

    return run


def refuse(error):
    def command():
        raise error

    return command


# --- statuses -------------------------------------------------------------------------------------------


def test_a_command_that_returns_has_status_0(probe):
    probe(lambda: None)
    assert cli.main(["probe"]) == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.HostError("port in use", where="127.0.0.1:5", mend="name another"), 1),
        (errors.UsageError("makes no sense"), 2),
        (errors.DataError("not what it claims"), 3),
        (errors.PeerError("refused"), 4),
        (errors.PartlyDone("7 datums dropped"), 5),
        (errors.Interrupted(143), 143),
    ],
)
def test_an_error_is_told_in_one_line_and_its_class_owns_the_status(probe, capsys, error, status):
    probe(refuse(error))
    assert cli.main(["probe"]) == status
    assert capsys.readouterr() == ("", f"speeddata: {error}\n")


def test_ctrl_c_has_status_130_and_needs_no_words(probe, capsys):
    probe(refuse(KeyboardInterrupt()))
    assert cli.main(["probe"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_leaves_is_no_failure(probe, capsys):
    probe(refuse(errors.StdoutClosed()))
    assert cli.main(["probe"]) == 0
    assert capsys.readouterr().err == ""


def test_what_the_system_refuses_is_no_traceback(probe, capsys):
    probe(lambda: Path("gone.avro").read_bytes())
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr().err == "speeddata: gone.avro: No such file or directory\n"


def test_a_mistake_of_ours_keeps_its_traceback(probe):
    probe(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_a_command_may_end_with_a_status_of_its_own(probe):
    probe(lambda: click.get_current_context().exit(5))
    assert cli.main(["probe"]) == 5


# --- words for mistakes on the command line -------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["prob"], "there is no command 'prob'; did you mean probe?"),
        (["zzzzzz"], "there is no command 'zzzzzz'; choose from probe"),
        (["probe", "--factr", "5"], "probe: no such option"),
        (["probe", "-n", "0"], "--factor: 0 is below 1"),
        (["probe", "-n", "x"], "--factor: 'x' is no whole number"),
        (["probe", "-d", "5x"], "--duration: '5x' is no duration; write it like 90s, 10m, 1.5h or 100ms"),
        (["probe", "--to", "5"], "--to: '5' is no endpoint; write ADDR:PORT, such as 127.0.0.1:26000"),
        (["probe", "--allow", "x"], "--allow: 'x' is no network; write it like 192.168.1.0/24 or 10.0.0.7"),
        (["probe", "--rotate-size", "5M"], "--rotate-size: '5M' is no size; "),
        (["probe", "--duration"], "option '--duration' requires an argument"),
        (["probe", "extra"], "probe: got unexpected extra argument (extra); see `speeddata probe --help`"),
        (["--bogus"], "no such option"),
        (["probe", "-C", "gone.toml"], "gone.toml: No such file or directory"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_the_cure(values, capsys, args, line):
    assert cli.main(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"speeddata: {line}")
    assert err.count("\n") == 1


def test_a_wrong_variable_is_named(values, capsys, monkeypatch):
    monkeypatch.setenv("SPEEDDATA_DURATION", "5x")
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err.startswith("speeddata: SPEEDDATA_DURATION: '5x' is no duration; ")


# --- where values come from -----------------------------------------------------------------------------


def test_options_have_the_types_that_commands_work_with(values, tmp_path):
    taken = values(
        "-n", "7", "-d", "1.5s", "-i", "lo", "-i", "127.0.0.1", "--to", "[::1]:5", "--allow", "10.0.0.0/8"
    )
    assert taken["factor"] == 7
    assert taken["duration_ns"] == 1_500_000_000
    assert taken["interface"] == ("lo", "127.0.0.1")
    assert taken["to"].address == ("::1", 5)
    assert [str(network) for network in taken["allow"]] == ["10.0.0.0/8"]
    assert taken["rotate_size"] == 50 * 2**20
    assert taken["output"] == "data"


def test_a_variable_gives_way_to_a_flag_and_a_setting_to_a_variable(values, monkeypatch, tmp_path):
    (tmp_path / "speeddata.toml").write_text("factor = 2\n")
    assert values()["factor"] == 2
    monkeypatch.setenv("SPEEDDATA_FACTOR", "3")
    assert values()["factor"] == 3
    assert values("-n", "4")["factor"] == 4


def test_the_variable_of_interfaces_is_a_list_with_commas(values, monkeypatch):
    monkeypatch.setenv("SPEEDDATA_INTERFACE", "lo, 10.0.0.1")
    assert values()["interface"] == ("lo", "10.0.0.1")


def test_an_empty_variable_says_nothing(values, monkeypatch):
    monkeypatch.setenv("SPEEDDATA_INTERFACE", "")
    assert values()["interface"] == ()


def test_the_settings_of_a_command_are_in_its_table(values, tmp_path):
    (tmp_path / "speeddata.toml").write_text(
        'interface = "lo"\n[probe]\nrotate-size = "1KiB"\nduration = 10\njson = true\n'
        'allow = ["10.0.0.7"]\nrate = 5\n'
    )
    taken = values()
    assert taken["interface"] == ("lo",)
    assert taken["rotate_size"] == 1024
    assert taken["duration_ns"] == 10 * 10**9
    assert taken["as_json"] is True
    assert [str(network) for network in taken["allow"]] == ["10.0.0.7/32"]
    assert taken["rate"] == 5.0


@pytest.mark.parametrize("before", [True, False])
def test_settings_may_be_named_before_or_after_the_command(probe, tmp_path, before):
    (tmp_path / "other.toml").write_text("factor = 9\n")
    taken = []
    probe(lambda factor: taken.append(factor), options.factor)
    config = ["-C", "other.toml"]
    assert cli.main([*config, "probe"] if before else ["probe", *config]) == 0
    assert taken == [9]


def test_settings_may_be_named_by_a_variable(values, tmp_path, monkeypatch):
    (tmp_path / "other.toml").write_text("factor = 9\n")
    monkeypatch.setenv("SPEEDDATA_CONFIG", "other.toml")
    assert values()["factor"] == 9


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("factr = 5", "speeddata.toml: factr: no such setting; did you mean factor?"),
        ("[probe]\nrotate-size = '5M'", "speeddata.toml: rotate-size: '5M' is no size; "),
        ("factor = 0", "speeddata.toml: factor: 0 is below 1"),
        ("[probe]\nquiet = true", "speeddata.toml: probe.quiet: no such setting"),
        (
            "rotate-size = '5MB'",
            "speeddata.toml: rotate-size: no such setting",
        ),  # no option that others share
    ],
)
def test_a_wrong_setting_is_refused_by_file_and_key_even_if_a_flag_overrides_it(
    values, capsys, tmp_path, text, line
):
    (tmp_path / "speeddata.toml").write_text(text)
    assert cli.main(["probe", "-n", "5", "--rotate-size", "1MB"]) == 2
    assert capsys.readouterr().err.startswith(f"speeddata: {line}")


def test_help_needs_no_settings(values, capsys, tmp_path):
    (tmp_path / "speeddata.toml").write_text("broken")
    assert cli.main(["probe", "--help"]) == 0
    assert "--rotate-size" in capsys.readouterr().out


def test_a_schema_that_the_settings_name_is_beside_them(values, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "a.toml").write_text('[probe]\nschema = "a.avsc"\n')
    (tmp_path / "etc" / "a.avsc").write_text(
        '{"type": "record", "name": "a", "fields": [{"name": "time", "type": "long"}]}'
    )
    schema = values("-C", "etc/a.toml")["schema"]
    assert schema.read().time_unit is None
    assert schema.read("ms").time_unit == "ms"


def test_a_schema_that_cannot_be_read_is_an_error_of_usage(values):
    with pytest.raises(errors.UsageError, match=r"gone.avsc: No such file"):
        values("-s", "gone.avsc")["schema"].read()


def test_a_command_finds_the_channels_of_its_settings(probe, tmp_path):
    (tmp_path / "speeddata.toml").write_text("[channels.rig]\nlisten = 26001\n")
    taken = []
    probe(lambda: taken.append(options.current_settings().channels()["rig"].listen))
    assert cli.main(["probe"]) == 0
    assert str(taken[0]) == "0.0.0.0:26001"


@pytest.mark.parametrize("args", [["-v", "probe"], ["probe", "-v"], ["-q", "probe", "-v"]])
def test_verbosity_is_asked_for_before_or_after_the_command(probe, capsys, args):
    import logging

    probe(lambda: logging.getLogger("speeddata.x").debug("told"))
    assert cli.main(args) == 0
    assert capsys.readouterr().err == "speeddata: told\n"
    assert cli.main(["probe"]) == 0
    assert capsys.readouterr().err == ""


# --- real processes -------------------------------------------------------------------------------------


def test_help_lists_every_command_with_its_summary(run):
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    shown = " ".join(out.split())
    for name, summary in cli.COMMANDS.items():
        assert f" {name} {summary}" in shown


def test_no_arguments_show_the_help(run):
    assert run() == run("-h") == run("--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_version_and_speaks_the_common_options(run, name):
    status, out, err = run(name, "-h")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: speeddata {name} ")
    for option in ("-C, --config", "-q, --quiet", "-v, --verbose", "--version", "-h, --help"):
        assert option in out
    assert run(name, "--version") == (0, f"speeddata {__version__}\n", "")


def test_version_goes_to_stdout(run):
    assert run("--version") == (0, f"speeddata {__version__}\n", "")


PROBE = """
import os, sys, types, click
from speeddata import cli

@click.command()
def command():
    {body}

cli.COMMANDS["probe"] = "Does what the test wants."
sys.modules["speeddata.commands.probe"] = types.SimpleNamespace(command=command)
sys.exit(cli.main(["probe"]))
"""


@pytest.fixture
def process(environment, tmp_path):
    """`process(body, stdout)` runs a command of that body in a process: its status and stderr."""

    def run(body, stdout, redirection=""):
        done = subprocess.run(
            ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, PROBE.format(body=body)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr.decode()

    return run


@pytest.fixture
def deserted():
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        yield pipe


WRITES = pytest.mark.parametrize("body", ["click.echo('x')", "sys.stdout.write('x')", "os.write(1, b'x')"])


@WRITES
def test_a_reader_that_left_is_met_with_silence(process, deserted, body):
    assert process(body, deserted) == (0, "")


@WRITES
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told_in_one_line(process, body):
    with open("/dev/full", "wb") as full:
        status, err = process(body, full)
    assert status == 1
    assert re.fullmatch("speeddata: standard output: cannot write: No space left on device\n", err)


def test_an_error_with_words_still_unwritten_is_told_once(process, deserted):
    body = "sys.stdout.write('x'); raise cli.SpeedDataError('told')"
    assert process(body, deserted) == (1, "speeddata: told\n")


def test_a_stdout_that_is_closed_is_nobody_elses_number(process):
    body = "fd = os.open('/dev/null', os.O_RDWR); sys.stderr.write(f'{fd}')"
    status, err = process(body, None, "<&- >&-")
    assert (status, int(err) > 2) == (0, True)


def test_an_unknown_command_gets_the_nearest_name(run):
    assert run("tpa") == (2, "", "speeddata: there is no command 'tpa'; did you mean tap?\n")


def test_the_broken_pipe_of_another_file_is_not_taken_for_stdouts(probe, capfd):
    probe(refuse(BrokenPipeError(32, "Broken pipe")))
    assert cli.main(["probe"]) == 1
    assert capfd.readouterr().err == "speeddata: Broken pipe\n"


def test_the_installed_script_is_the_program(script_runner):
    result = script_runner.run(["speeddata", "--version"])
    assert (result.returncode, result.stdout) == (0, f"speeddata {__version__}\n")


def test_the_end_of_a_run_looks_for_no_cycles_among_what_was_loaded():
    program = (
        "import atexit, gc, sys; from speeddata.cli import main; "
        "atexit.register(lambda: print(gc.get_freeze_count(), file=sys.stderr)); "  # called after ours
        "main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stderr) > 10_000

"""The command line, without a deployment."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.app import app
from ops.supervise import data_lock

OBSERVAI = Path(sys.prefix) / "bin" / "observai"
RUNNER = CliRunner()
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
COMMANDS += [
    f"{group.typer_instance.info.name} {(command.name or command.callback.__name__)}"
    for group in app.registered_groups
    if group.typer_instance
    for command in group.typer_instance.registered_commands
    if command.callback
]


def run(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [OBSERVAI, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    """Each command's help ends in something to copy."""
    shown = RUNNER.invoke(app, [*command.split(), "--help"])

    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"observai {command}" in shown.output


def test_help_loads_no_engine() -> None:
    """`observai --help` must answer at once."""
    program = (
        "import sys; sys.argv = ['observai', '--help']\n"
        "from ops.cli.app import main\n"
        "try: main()\n"
        "finally: print(*{'numba', 'numpy', 'chdb', 'aiokafka', 'faust'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == ""


def test_a_wrong_setting_is_a_usage_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, the setting's name, no traceback."""
    monkeypatch.setenv("OBSERVAI_PORTT", "1")

    done = run("up", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("observai: OBSERVAI_PORTT: no such setting")
    assert "Traceback" not in done.stderr


def test_sql_without_a_deployment_says_what_is_missing(tmp_path: Path) -> None:
    """No key file: the message names it and the two ways on."""
    done = run("sql", "SELECT 1", cwd=tmp_path)

    assert done.returncode == 1
    assert "default.key" in done.stderr
    assert "--url and --key" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("verify",), ("replay", "--from", "2h", "--to", "1h"), ("partitions",)]
)
def test_without_a_deployment_nothing_is_said_to_be_right(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """One line and exit code 2: 1 would say that something differs."""
    done = run(*arguments, "--data-dir", "nowhere", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("observai: no `observai up` runs on nowhere: give the --data-dir")
    assert done.stderr.count("\n") == 1


def test_an_empty_span_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBSERVAI_KAFKA", "127.0.0.1:1")
    span = ("--from", "2026-01-31T08:00:00Z", "--to", "2026-01-31T07:00:00Z")

    done = run("replay", *span, "--no-compare", cwd=tmp_path)

    assert done.returncode == 2
    assert "2026-01-31T08:00:00Z is not before --to 2026-01-31T07:00:00Z" in done.stderr


def test_a_broker_that_is_away_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the client's own warnings."""
    monkeypatch.setenv("OBSERVAI_KAFKA", "127.0.0.1:1")

    done = run("partitions", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("observai: no answer from Kafka at 127.0.0.1:1")
    assert done.stderr.count("\n") == 1


def test_sql_when_nobody_answers_names_the_address(tmp_path: Path) -> None:
    """A wrong URL is one line too."""
    done = run("sql", "SELECT 1", "--url", "http://127.0.0.1:1", "--key", "k", cwd=tmp_path)

    assert done.returncode == 1
    assert "no answer from http://127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--url", "http://127.0.0.1:1"], "default.key"),
        (["--url", "http://127.0.0.1:1", "--key", "k"], "no answer from http://127.0.0.1:1"),
        (["--from", "yesterday"], "'yesterday' is no time: give RFC 3339"),
        (["--url", "http://127.0.0.1:1", "--key", "k", "--from", "1s"], "give an earlier --from"),
    ],
)
def test_verify_that_cannot_verify_is_told_from_a_difference(
    tmp_path: Path, options: list[str], words: str
) -> None:
    """Exit code 2: 1 means that something differs."""
    done = run("verify", *options, cwd=tmp_path)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tenant", "add", "a", "--set", "max_labels"), "'max_labels': give NAME=VALUE"),
        (("tenant", "set", "a", "--set", "max_labels=many"), "'max_labels=many': give NAME=VALUE"),
        (("key", "create", "--scope", "read", "--expires", "soon"), "'soon' is no span of time"),
    ],
)
def test_what_an_administrator_mistypes_is_a_usage_error(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    done = run(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_up_on_a_held_directory_says_who_holds_it(tmp_path: Path) -> None:
    """The second `up` refuses at once."""
    lock = data_lock.acquire(tmp_path / "d", "http://127.0.0.1:8080")

    done = run("up", "--data-dir", "d", cwd=tmp_path)

    lock.release()
    assert done.returncode == 1
    assert "is in use by `observai up` with process id" in done.stderr
    assert done.stdout == ""


def test_doctor_speaks_json(tmp_path: Path) -> None:
    """Each check has a name, a verdict and a detail; the exit code is the whole verdict."""
    done = run("doctor", "--json", cwd=tmp_path)

    report = json.loads(done.stdout)
    assert {"kafka files", "java", "disk", "up", "ports"} <= {
        check["check"] for check in report["checks"]
    }
    assert done.returncode == (0 if report["ok"] else 1)


def test_version_speaks_json(tmp_path: Path) -> None:
    """Versions of this program and of what it runs."""
    versions = json.loads(run("version", "--json", cwd=tmp_path).stdout)

    assert versions["kafka"] == "4.4.0"
    assert versions["observai-hub"].startswith("0.")

"""Options of the first `distribute`: they do what they say, or say that they are not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from distribute.config.settings.matrix_account import load_matrix_account
from distribute.core.errors import InputError, Unreachable
from distribute_cli.local.original_head import Head, OriginalOptions, head_as_written
from distribute_cli.main import app
from distribute_cli.output.choice import make_output

NOBODY = ("--server", "nats://127.0.0.1:1")
NOTHING = OriginalOptions(None, None, clean_output=False)
ACCOUNT = {
    "matrix_username": "lab-notify",
    "matrix_password": "hunter2",
    "homeserver_url": "https://example.org",
    "matrix_id": "@lab-notify:example.org",
}


pytestmark = pytest.mark.usefixtures("nobody_says_where_the_cluster_is")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """For what is logged: a process of its own has no other log."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "distribute_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("written", [("help",), ("help", "help"), ("--save-log", "help")])
def test_help_is_a_verb(written: tuple[str, ...]) -> None:
    assert run(*written).stdout == run("--help").stdout
    assert run(*written).exit_code == 0


@pytest.mark.parametrize("verb", ["kill", "server-status", "node-status", "template"])
def test_help_of_a_verb_is_that_of_its_option(verb: str) -> None:
    assert run("help", verb).stdout == run(verb, "--help").stdout
    assert run("help", verb).exit_code == 0


def test_help_of_no_verb_or_of_two_is_refused() -> None:
    assert "there is no verb 'kil'; did you mean 'kill'?" in run("help", "kil").stderr
    assert "help takes one verb, and not 'pull' as well" in run("help", "add", "pull").stderr
    assert "did you mean 'help'?" in run("hlep").stderr


def test_the_version_has_a_letter() -> None:
    assert run("-V").stdout == run("--version").stdout


def test_logs_are_shown_without_a_traceback() -> None:
    shown = program("--show-logs", "status", *NOBODY)
    assert shown.returncode == 3
    assert "DEBUG " in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "DEBUG" not in program("status", *NOBODY).stderr


def test_a_log_is_saved_beside_those_before_it(tmp_path: Path) -> None:
    for _ in range(2):
        assert "DEBUG" not in program("--save-log", "status", *NOBODY).stderr
    assert (tmp_path / "output.log").read_text().count("where the error came from") == 2


def test_a_log_that_cannot_be_saved_keeps_no_verb_from_its_work(tmp_path: Path) -> None:
    (tmp_path / "output.log").mkdir()
    done = program("--save-log", "template", "command")
    assert done.returncode == 0
    assert "--save-log: ./output.log can't be written: it is a folder; nothing is saved" in done.stderr


def test_services_log_into_files_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "head").touch()  # so that neither starts
    for verb in ("server", "up"):
        ended = program("--save-log", "--show-logs", verb, "--dir", "head")
        assert ended.returncode == 2
        assert (
            f"--save-log --show-logs: the services' logs are always saved, in {tmp_path}/head/logs"
            in ended.stderr
        )
        assert "DEBUG" not in ended.stderr
    assert not (tmp_path / "output.log").exists()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (("-p", "8953"), "--transport-port is not needed"),
        (("-k", "8954", "-c", "8955"), "--keepalive-port, --cancel-port are not needed"),
        (("--transport-port", "1"), "--transport-port is not needed"),
    ],
)
def test_ports_of_a_node_are_not_needed(written: tuple[str, ...], told: str) -> None:
    result = run("client", "base", *written)
    assert f"{told}: a node opens no port, it connects to the head" in result.stderr
    assert isinstance(result.exception, Unreachable)  # it went on, and nobody says where the head is


def test_the_port_of_a_node_is_not_taken_for_that_of_the_head() -> None:
    error = run("client", "base", "--ip", "127.0.0.1", "-p", "8952").exception
    assert isinstance(error, InputError)
    assert str(error) == "-p is --transport-port here; write the head's port as --port, behind --ip HOST"


def test_a_port_that_is_none_is_refused() -> None:
    assert run("client", "base", "-k", "70000").exit_code == 2


@pytest.mark.parametrize("verb", ["server-status", "node-status"])
def test_a_nodes_file_is_not_read_by_queries(verb: str) -> None:
    result = run(verb, "--nodes-file", "distribute-nodes.yaml", *NOBODY)
    assert "--nodes-file distribute-nodes.yaml is not read here: the head knows the nodes" in result.stderr
    assert isinstance(result.exception, Unreachable)


def test_the_length_of_a_pause_may_stand_alone() -> None:
    for written, told in (
        (("4x",), "T: '4x' is not a duration"),
        (("--duration", "4x"), "--duration: '4x' is not a duration"),
        (("4h", "--duration", "1h"), "T and --duration are the same: give one of them"),
    ):
        error = run("pause", *written, "--node", "ws1", *NOBODY).exception
        assert isinstance(error, InputError)
        assert str(error).startswith(told)


@pytest.mark.parametrize(
    ("host", "port", "options", "meant"),
    [
        (None, None, NOTHING, ("state/distribute/server", "127.0.0.1", 4222)),
        (None, 8952, NOTHING, ("state/distribute/server", "127.0.0.1", 8952)),
        (None, None, NOTHING._replace(save_path=Path("r")), ("r/distribute-server", "0.0.0.0", 8952)),
        (None, None, NOTHING._replace(temp_dir=Path("t")), ("state/distribute/server", "0.0.0.0", 8952)),
        ("::1", 7, NOTHING._replace(save_path=Path("r")), ("r/distribute-server", "::1", 7)),
    ],
)
def test_a_command_line_of_the_original_means_a_head_that_all_reach(
    host: str | None, port: int | None, options: OriginalOptions, meant: tuple[str, str, int], tmp_path: Path
) -> None:
    folder, *listens = meant
    head = head_as_written(make_output(as_json=False, quiet=False), None, host, port, options)
    assert head == Head(tmp_path / folder, *listens)


def test_an_old_command_line_without_a_nodes_file_means_the_one_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, old = make_output(as_json=False, quiet=False), NOTHING._replace(temp_dir=Path("t"))
    assert old.nodes_file(output) is None
    (tmp_path / "distribute-nodes.yaml").write_text("nodes: []\n")
    assert NOTHING.nodes_file(output) is None
    assert capsys.readouterr().err == ""
    assert old.nodes_file(output) == Path("distribute-nodes.yaml")
    told = capsys.readouterr().err
    assert told == "distribute: ./distribute-nodes.yaml is read, as if --nodes-file named it\n"


def test_what_is_wrong_with_the_nodes_file_that_is_there_is_said_before_anything_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "distribute-nodes.yaml").write_text("nodes: [{nam: ws1}]\n")
    error = run("server", "--save-path", "results").exception
    assert isinstance(error, InputError)
    assert str(error) == "distribute-nodes.yaml:1:10: an item of nodes has no key 'nam'; write 'name'"
    assert not (tmp_path / "results").exists()


def test_the_own_option_for_the_folder_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = OriginalOptions(Path("results"), Path("tmp"), clean_output=True)
    output = make_output(as_json=False, quiet=False)
    head = head_as_written(output, Path("own"), "127.0.0.1", 4222, options)
    assert head == Head(tmp_path / "own", "127.0.0.1", 4222)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[2].split(" ")[0] for line in told] == [
        "--save-path:", "--temp-dir", "--clean-output"
    ]  # fmt: skip
    assert f"in {tmp_path}/own;" in told[0]
    assert head.options == {"--host": None, "--port": None}


def test_an_account_for_messages_is_read_as_the_original_has_it(tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text(json.dumps(ACCOUNT))
    assert load_matrix_account(tmp_path / "account.json").model_dump() == ACCOUNT


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"matrix_id": "lab-notify"}, "matrix_id: 'lab-notify' is not a Matrix user; write \"@"),
        (
            {"homeserver_url": "example.org"},
            "homeserver_url: 'example.org' is not a homeserver's URL; write ht",
        ),
        (
            {"homeserver_url": "http://lab..org"},
            "'http://lab..org' is not a homeserver's URL; write https://",
        ),
        ({"matrix_password": ["hunter2"]}, "matrix_password takes a text, not a list"),
        ({"matrix_password": None}, "the top level needs the key 'matrix_password'"),
        ({"homeserver": "x"}, "the top level has no key 'homeserver'; write 'homeserver_url'"),
    ],
)
def test_what_is_wrong_with_an_account_is_said_before_anything_starts(
    wrong: dict[str, object], told: str, tmp_path: Path
) -> None:
    (tmp_path / "account.json").write_text(json.dumps(ACCOUNT | wrong))
    error = run("server", "--dir", "head", "-m", "account.json").exception
    assert isinstance(error, InputError)
    assert str(error).startswith("account.json:1:")
    assert told in str(error)
    assert "hunter2" not in str(error)
    assert not (tmp_path / "head").exists()

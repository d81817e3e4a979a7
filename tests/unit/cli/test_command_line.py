"""Parsing, exit codes and error messages, without a cluster."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from distribute.core.errors import (
    DistributeError,
    InputError,
    IntegrityError,
    Refused,
    StorageFull,
    Unreachable,
    exit_code,
)
from distribute_cli import commands
from distribute_cli.main import app
from distribute_cli.session import Session
from distribute_cli.verbs import (
    ALIASES,
    NOT_YET,
    VERBS,
    _of_a_cluster,
    _of_a_reader,
    _of_all,
    _of_an_answer,
    verb,
)
from plain_words import assert_plain

pytestmark = pytest.mark.usefixtures("nobody_says_where_the_cluster_is")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "distribute_cli", *arguments], capture_output=True, text=True, check=False
    )


def test_every_verb_has_its_file_and_every_file_is_a_verb() -> None:
    assert {module.name for module in pkgutil.iter_modules(commands.__path__)} == set(VERBS)


@pytest.mark.parametrize("verb", [*VERBS, *ALIASES])
def test_every_verb_explains_itself(verb: str) -> None:
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_has_help_and_is_documented(verb: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    row = next(line for line in text.splitlines() if re.match(rf"\| [^|]*`{verb}\b", line))
    several = text.partition("## Options of several verbs")[2]
    module = importlib.import_module(f"distribute_cli.commands.{verb}")
    groups = (_of_a_cluster, _of_a_reader, _of_an_answer, _of_all)
    shared = {name for group in groups for name in signature(group).parameters}
    for parameter in _parameters(module.app):
        if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
            continue
        assert parameter.help, f"{verb} does not say what {parameter.name} is"
        if parameter.param_type_name == "option":
            is_own = parameter.name not in shared or (verb in {"up", "server"} and parameter.name == "port")
            assert f"`{parameter.opts[0]}" in (row if is_own else several), parameter.opts[0]


def test_every_documented_verb_and_option_exists() -> None:
    text = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    rows = text.partition("## Verbs")[2].partition("## Options")[0].splitlines()
    listed = [row.split(" | ") for row in rows if row.startswith("| `")]
    named: set[str] = set()
    for verbs, options, *_ in listed:
        found = re.findall(r"`([a-z]+)\b", verbs)
        named.update(found)
        taken = {
            option
            for verb in found
            for parameter in _parameters(importlib.import_module(f"distribute_cli.commands.{verb}").app)
            for option in parameter.opts
        }
        assert set(re.findall(r"`(--[a-z-]+)", options)) <= taken, verbs
    assert named == set(VERBS)


def _parameters(app: typer.Typer) -> list[Any]:
    """What a verb takes, or verbs of its own take."""
    command = typer.main.get_command(app)
    return [one for each in (command, *getattr(command, "commands", {}).values()) for one in each.params]


def test_help_lists_the_verbs() -> None:
    shown = run("--help").stdout
    assert [verb for verb in VERBS if f"\n  {verb} " not in shown] == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [("stats", "status"), ("nodes-status", "node-status"), ("pul", "pull"), ("list", "ls")],
)
def test_for_a_misspelt_verb_the_nearest_one_is_suggested(written: str, meant: str) -> None:
    result = run(written)
    assert result.exit_code == 2
    assert f"there is no verb {written!r}; did you mean {meant!r}?" in result.stderr


@pytest.mark.parametrize("written", ["frobnicate", "nonsense", "results"])
def test_an_unknown_verb_is_reported(written: str) -> None:
    result = run(written)
    assert result.exit_code == 2
    assert f"there is no verb {written!r}; `distribute --help` lists the verbs" in result.stderr


@pytest.mark.parametrize("verb", NOT_YET)
def test_a_planned_verb_is_reported_as_such(verb: str) -> None:
    result = run(verb, "jane/sweep", "--duration", "1h")
    assert result.exit_code == 2
    assert f"there is no verb {verb!r} yet" in result.stderr
    assert verb not in VERBS


def test_an_unforeseen_error_is_one_line_without_a_traceback() -> None:
    async def breaks(session: Session) -> int:
        """Break."""
        raise ValueError("what nobody\nforesaw")

    error = CliRunner().invoke(verb(breaks), []).exception
    assert isinstance(error, DistributeError)
    assert str(error) == "ValueError: what nobody foresaw; --debug shows where it came from"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DistributeError("x"), 1),
        (IntegrityError("x"), 1),
        (StorageFull("x"), 1),
        (InputError("x"), 2),
        (Unreachable("x"), 3),
        (Refused("x"), 4),
    ],
)
def test_exit_codes_are_those_of_the_interface(error: DistributeError, code: int) -> None:
    assert exit_code(error) == code


def test_without_a_cluster_one_line_says_what_to_do() -> None:
    ended = program("status")
    assert (ended.returncode, ended.stdout) == (3, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(
        "distribute: no cluster is set up for you. Ask your admin for its address and put 'server: nats://"
    )


def test_debug_shows_where_an_error_came_from() -> None:
    ended = program("status", "--debug")
    assert ended.returncode == 3
    assert "Traceback" in ended.stderr
    assert "Traceback" not in program("status").stderr


def test_all_problems_of_a_file_are_reported_each_on_a_line(tmp_path: Path) -> None:
    (tmp_path / "distribute-jobs.yaml").write_text(
        "meta: {namespace: jane, batch_name: a/b, capabilites: []}\n"
        "command: {jobs: [{name: x, command: 'true'}]}\n"
    )
    ended = program("add")
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 2
    assert all(line.startswith("distribute: distribute-jobs.yaml:1:") for line in ended.stderr.splitlines())
    assert "capabilities" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["drain", "ws1", "--reason", "x" * 10_001], "--reason: 10001 characters are too many; write 10000"),
        (["drain", "ws1", "--reason", "\udcff"], "--reason: '\\udcff' is not valid Unicode"),
        (["drain", "\udcff"], "NODE: '\\udcff' can't be a name: it is not valid Unicode"),
        (["undrain", "a/b"], "NODE: 'a/b' can't be a name"),
        (["nodes", "\udcff"], "NAME: '\\udcff' can't be a name"),
        (["nodes", "--forget", ""], "--forget: a name can't be empty"),
    ],
)
def test_a_name_or_text_that_no_event_can_hold_is_refused(arguments: list[str], told: str) -> None:
    error = run(*arguments, "--server", "nats://127.0.0.1:1").exception
    assert isinstance(error, InputError)
    assert str(error).startswith(told)


def test_a_removed_current_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    error = run("up", "--dir", "cluster", "--detach").exception
    monkeypatch.chdir(tmp_path)
    assert isinstance(error, InputError)
    assert str(error) == "the current folder has been removed: change to another one (cd)"


def test_a_tilde_in_an_option_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves the one in `--output=~/jobs.yaml` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert run("template", "command", "--output=~/jobs.yaml").exit_code == 0
    assert (tmp_path / "home/jobs.yaml").is_file()
    refused = run("template", "command", "--output=~nobody-here/jobs.yaml").exception
    assert isinstance(refused, InputError)
    assert not list(tmp_path.glob("~*"))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            ("status", "jane/sweep", "--state", "runing"),
            "--state: 'runing' is not a state; did you mean 'running'? (see `distribute status",
        ),
        (
            ("kill", "jane/sweep", "--state", "running"),
            "--state takes only queued, not 'running' (see `distribute kill --help`)",
        ),
        (
            ("add", "--priority", "high"),
            "--priority takes a whole number, not 'high' (see `distribute add --help`)",
        ),
        (("add", "--priority", "101"), "--priority takes 100 or less, not 101 (see `distribute add --help`)"),
        (("add", "--prio", "1"), "there is no option --prio; did you mean --priority? (see `distribute add"),
        (("add", "--wait=3"), "--wait takes no value"),
        (("drain", "ws1", "ws2"), "drain takes NODE, and not 'ws2' as well (see `distribute drain --help`)"),
        (("template", "foo"), "'foo' is not a kind; write python, apptainer or command (see `distribute"),
        (("service", "scheduller"), "'scheduller' is not a service; did you mean 'scheduler'?"),
        (("--verson",), "there is no option --verson; did you mean --version? (see `distribute --help`)"),
        (("kill",), "BATCH|JOB is missing; write `distribute kill BATCH|JOB`"),
        (("exec", "lab/x/one"), "-- CMD… is missing; write `distribute exec JOB -- CMD…`"),
        (("logs", "a/b/c", "--attempt"), "--attempt needs a value"),
        (("sttus",), "there is no verb 'sttus'; did you mean 'status'?"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_write(written: tuple[str, ...], told: str) -> None:
    ended = program(*written)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"distribute: {told}")
    assert_plain(line)


def test_the_help_loads_nothing_that_only_verbs_need() -> None:
    """Each of these takes longer to import than all the rest of the help."""
    code = "import sys, distribute_cli.main; print({'pydantic', 'nats', 'rich', 'yaml'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_a_query_loads_neither_classes_of_events_nor_what_nats_needs_for_websockets() -> None:
    """Each of these takes a third of the time of `status`."""
    code = (
        "import sys, distribute.nats.cluster, distribute.client.queries, distribute.client.targets\n"
        "print({'aiohttp', 'distribute.core.log.events', 'distribute.core.spec.specs'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_without_a_verb_the_help_is_shown() -> None:
    ended = program()
    assert ended.returncode == 2
    assert ended.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--all"], "--all lists all jobs of one batch: name it, as NAMESPACE/BATCH"),
        (
            ["--state", "succeeded"],
            "--state: a batch is never 'succeeded'; its states are building, completed, failed, killed",
        ),
        (
            ["jane/sweep", "--state", "completed"],
            "--state: a job is never 'completed'; its states are assigned, ",
        ),
        (["jane/sweep", "--mine"], "--mine, --user and --last select batches: leave out BATCH"),
        (["jane/sweep", "--user", "joe"], "--mine, --user and --last select batches: leave out BATCH"),
        (["jane/sweep", "--last", "1"], "--mine, --user and --last select batches: leave out BATCH"),
        (["--mine", "--user", "joe"], "--mine and --user: give one of them"),
        (["--last", "0"], "--last takes 1 or more, not 0"),
    ],
)
def test_options_of_status_that_do_not_fit_together_are_refused(options: list[str], told: str) -> None:
    ended = program("status", *options)
    assert ended.returncode == 2
    assert told in ended.stderr


def test_an_unknown_state_is_refused() -> None:
    ended = program("status", "jane/sweep", "--state", "faild")
    assert ended.returncode == 2
    assert "failed" in ended.stderr

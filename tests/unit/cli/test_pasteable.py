"""Commands in messages name the cluster that the verb was sent to."""

from __future__ import annotations

from pathlib import Path

import pytest

from distribute.client.documents import IgnoredDocument
from distribute_cli.output.table_output import TableOutput
from distribute_cli.pasteable import LOCAL, READERS, SAVED, with_address
from distribute_cli.session import Where
from distribute_cli.verbs import VERBS, VerbGroup

NOTHING: IgnoredDocument = {"count": 0, "last": None}


@pytest.mark.parametrize(
    ("where", "options"),
    [
        (Where(), ""),
        (Where("nats://head"), "--server nats://head"),
        (Where("nats://[::1]:1", Path("my key")), "--server 'nats://[::1]:1' --creds 'my key'"),
        (Where(ip="head", port=7), "--ip head --port 7"),
        (Where("nats://jane:secret@head"), ""),
        (Where(saved=Path("my log")), "--from 'my log'"),
    ],
)
def test_the_address_of_a_command_line_is_made_again(where: Where, options: str) -> None:
    assert where.options == options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`distribute watch jane/x` shows it", "`distribute watch --server head jane/x` shows it"),
        ("a; `distribute status` or `distribute kill x`",
         "a; `distribute status --server head` or `distribute kill --server head x`"),
        ("`distribute up --dir D` or `distribute template python`",
         "`distribute up --dir D` or `distribute template python`"),
        ("see `distribute add --help`", "see `distribute add --help`"),
        ("distribute runs `x`", "distribute runs `x`"),
        ("`distribute pull 'a`b'`", "`distribute pull --server head 'a`b'`"),
    ],
)  # fmt: skip
def test_commands_get_the_address_that_the_verb_was_given(text: str, expected: str) -> None:
    assert with_address(text, "--server head") == expected
    assert with_address(text, "") == text


def test_commands_get_a_saved_log_only_if_they_can_read_it() -> None:
    assert with_address("`distribute status` or `distribute logs x`", "--from a.log") == (
        "`distribute status --from a.log` or `distribute logs x`"
    )


@pytest.mark.parametrize("options", ["--server head", "--from a.log"])
def test_a_command_that_names_a_saved_log_reads_no_other(options: str) -> None:
    text = "`distribute status --from b.log` reads it"
    assert with_address(text, options) == text


def test_verbs_without_an_address_are_those_that_take_none() -> None:
    assert {name for name in VERBS if "--server" not in _options(name)} == LOCAL


def test_verbs_that_read_a_saved_log_are_those_that_take_one() -> None:
    assert {name for name in VERBS if SAVED in _options(name)} == READERS


def _options(verb: str) -> set[str]:
    """The options that a verb takes, or that verbs of its own take."""
    command = VerbGroup().get_command(None, verb)
    commands = [command, *getattr(command, "commands", {}).values()]
    return {option for one in commands for parameter in one.params for option in parameter.opts}


def test_an_empty_table_sends_people_to_its_own_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    output = TableOutput()
    output.address = "--server head"
    output.batches({"batches": [], "misfits": NOTHING, "garbage": NOTHING})
    output.nodes({"nodes": []})
    printed = capsys.readouterr().out
    assert (
        "`distribute template command` writes a first one; `distribute add --server head` submits" in printed
    )
    assert "`distribute client --server head` makes a computer a node" in printed

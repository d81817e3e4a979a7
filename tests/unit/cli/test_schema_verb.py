"""`distribute schema` writes the JSON Schema of a file, and replaces nothing but an older one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from distribute.config.described.schema import Described, schema_of
from distribute_cli.main import app


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["schema", *arguments])


@pytest.mark.parametrize("kind", get_args(Described))
def test_a_schema_is_printed(kind: Described) -> None:
    said = run(kind)
    assert (said.exit_code, said.stderr) == (0, "")
    assert json.loads(said.stdout) == schema_of(kind)
    Draft202012Validator.check_schema(json.loads(said.stdout))


def test_without_a_kind_it_is_that_of_a_batch() -> None:
    assert json.loads(run().stdout)["title"] == "distribute-jobs.yaml"


def test_an_unknown_kind_is_refused() -> None:
    assert run("job").exit_code == 2


def test_a_schema_in_a_file_says_how_an_editor_takes_it(folder: Path) -> None:
    said = run("--output", "jobs.schema.json")
    assert said.stdout == "jobs.schema.json is written\n"
    assert said.stderr == (
        "for a distribute-jobs.yaml beside it, this first line shows it to your editor:\n"
        "# yaml-language-server: $schema=jobs.schema.json\n"
    )
    assert json.loads((folder / "jobs.schema.json").read_text()) == schema_of("jobs")
    assert json.loads(run("node", "--output", "n.json", "--json").stdout) == {
        "file": "n.json",
        "describes": "node.yaml",
    }
    assert run("--output", "q.json", "--quiet").output == ""


def test_an_older_schema_is_replaced(folder: Path) -> None:
    path = folder / "jobs.schema.json"
    run("--output", path.name)
    path.write_text(path.read_text().replace("retries", "repeats"))
    assert run("--output", path.name).exit_code == 0
    assert json.loads(path.read_text()) == schema_of("jobs")


@pytest.mark.parametrize("mine", ["file", "folder", "pipe", "link to nothing"])
def test_anything_else_is_kept(mine: str, folder: Path) -> None:
    path = folder / "mine"
    if mine == "file":
        path.write_text('{"$schema": "https://json-schema.org/draft/2020-12/schema"}')
    elif mine == "folder":
        path.mkdir()
    elif mine == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nothing")
    before = os.lstat(path)[:7], path.lstat().st_mtime_ns
    said = run("--output", "mine")
    assert said.exit_code != 0
    assert str(said.exception) == "mine is there already, and is no schema of distribute: name another file"
    assert (os.lstat(path)[:7], path.lstat().st_mtime_ns) == before, "only its time of access may change"
    assert [each.name for each in folder.iterdir()] == ["mine"]


def test_a_file_that_can_not_be_written_is_named_as_it_was_typed(folder: Path) -> None:
    name = "n" * 256
    said = run("--output", name)
    assert str(said.exception) == f"{name}: can't be written: its name is too long"
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_reported(folder: Path) -> None:
    said = run("--output", "none/schema.json")
    assert str(said.exception) == "none is no folder: make it first, or name another"
    assert list(folder.iterdir()) == []

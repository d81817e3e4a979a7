"""`distribute template` writes examples with all that they name, and overwrites nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner, Result

from distribute.config.described.schema import schema_of, schema_text
from distribute.config.loading import load
from distribute.core.ids import BatchId
from distribute.core.spec.specs import Resources
from distribute_cli.commands.template import FILES, TEMPLATES, Kind
from distribute_cli.main import app
from distribute_cli.schema_line import SCHEMA_FILE
from editor_kit import as_json

KINDS: tuple[Kind, ...] = get_args(Kind)
SHARED_SCRIPT = "pendulum.sh"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "anna")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["template", *arguments])


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_is_valid_with_the_files_beside_it(kind: Kind, folder: Path) -> None:
    said = run(kind, "--output", "new.yaml")
    assert (said.exit_code, names_in(folder)) == (0, {"new.yaml", SCHEMA_FILE, *FILES[kind]})
    assert said.stdout.startswith(f"new.yaml is written, and {FILES[kind][0]}")
    assert said.stderr.endswith("`distribute add new.yaml` submits it\n")
    if kind == "apptainer":
        assert "first make the image: apptainer build pendulum.sif pendulum.def\n" in said.stderr
        (folder / "pendulum.sif").touch()
    spec = load(folder / "new.yaml").spec
    assert (spec.work.kind, spec.id) == (kind, BatchId("anna", f"pendulum-{kind}"))
    assert [job.name for job in spec.work.jobs] == ["angle030", "angle150"]
    assert (spec.resources, spec.env) == (Resources(cpus=1, memory_bytes=100 << 20), {"STEP_S": "0.001"})
    assert spec.work.jobs[1].timeout_s == 20 * 60


def test_examples_need_only_what_a_fresh_node_has() -> None:
    """A node detects `python3` and `apptainer`."""
    needs = {}
    for kind in KINDS:
        run(kind, "--output", f"{kind}.yaml")
        Path("pendulum.sif").touch()
        needs[kind] = load(Path(f"{kind}.yaml")).spec.capabilities
    assert needs == {"python": {"python3"}, "command": set(), "apptainer": {"apptainer"}}


def test_every_file_of_the_examples_belongs_to_one() -> None:
    shipped = {path.name for path in TEMPLATES.iterdir() if path.is_file()}
    assert shipped == {f"{kind}.yaml" for kind in KINDS} | {
        name for names in FILES.values() for name in names
    }


def test_the_program_of_the_example_stands_alone(folder: Path) -> None:
    """`command` and `apptainer` run it with no variable and no locale set."""
    run("command")
    (folder / "distribute_save").mkdir()
    ended = subprocess.run(
        ["/bin/sh", SHARED_SCRIPT, "150"], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True
    )
    assert ended.stdout.startswith(b"released at 150 degrees, it is back after 3.535 s;\n")
    assert len((folder / "distribute_save/motion.csv").read_bytes().splitlines()) == 1 + 3536


def test_a_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    Path("distribute-jobs.yaml").write_text("mine")
    said = run("python")
    assert said.exit_code != 0
    assert "distribute-jobs.yaml is there already: name another file with --output" in str(said.exception)
    assert names_in(folder) == {"distribute-jobs.yaml"}
    assert Path("distribute-jobs.yaml").read_text() == "mine"


@pytest.mark.parametrize("mine", ["file", "folder", "link to nothing"])
def test_a_script_that_is_there_is_kept_and_named(mine: str) -> None:
    path = Path("run.py")
    if mine == "file":
        path.write_text("print('mine')")
    elif mine == "folder":
        path.mkdir()
    else:
        path.symlink_to("nothing")
    said = run("python")
    assert said.exit_code == 0
    assert said.stdout == (
        f"distribute-jobs.yaml is written, and build.py, pendulum.py and {SCHEMA_FILE} beside it\n"
    )
    assert "run.py was there already, and is kept as it is\n" in said.stderr
    assert path.is_symlink() == (mine == "link to nothing")
    assert not path.is_file() or path.read_text() == "print('mine')"


def test_scripts_of_an_earlier_example_are_used_again() -> None:
    run("python")
    said = run("python", "--output", "again.yaml")
    assert said.stdout == "again.yaml is written\n"
    assert said.stderr == (
        "`distribute run again.yaml` runs it here, `distribute add again.yaml` submits it\n"
    )


def test_an_example_goes_whole_into_another_folder_or_not_at_all(folder: Path) -> None:
    (folder / "a b").mkdir()
    said = run("command", "--output", "a b/jobs.yaml")
    assert names_in(folder / "a b") == {"jobs.yaml", SHARED_SCRIPT, SCHEMA_FILE}
    assert said.stderr == (
        "`distribute run 'a b/jobs.yaml'` runs it here, `distribute add 'a b/jobs.yaml'` submits it\n"
    )
    said = run("command", "--output", "none/jobs.yaml")
    assert str(said.exception) == "none/jobs.yaml: can't be written: there is no such file or folder"
    assert not (folder / "none").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_line_tells_editors_the_schema_beside_it(kind: Kind, folder: Path) -> None:
    run(kind)
    first, _, rest = Path("distribute-jobs.yaml").read_text().partition("\n")
    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    schema = json.loads((folder / SCHEMA_FILE).read_text())
    assert schema == schema_of("jobs")
    assert Draft202012Validator(schema).is_valid(as_json(rest))


def test_a_person_may_do_without_the_schema(folder: Path) -> None:
    said = run("command", "--no-schema")
    assert said.stdout == f"distribute-jobs.yaml is written, and {SHARED_SCRIPT} beside it\n"
    assert names_in(folder) == {"distribute-jobs.yaml", SHARED_SCRIPT}
    assert Path("distribute-jobs.yaml").read_text().startswith("meta:\n")


def test_a_schema_of_an_older_version_is_replaced(folder: Path) -> None:
    path = folder / SCHEMA_FILE
    path.write_text(schema_text("jobs").replace("retries", "repeats"))
    said = run("command")
    assert said.stdout == f"distribute-jobs.yaml is written, and {SHARED_SCRIPT} beside it\n"
    assert path.read_text() == schema_text("jobs")


def test_what_is_no_schema_of_ours_is_kept(folder: Path) -> None:
    (folder / SCHEMA_FILE).write_text("mine")
    said = run("command")
    assert said.exit_code == 0
    assert f"{SCHEMA_FILE} was there already, and is kept as it is\n" in said.stderr
    assert (folder / SCHEMA_FILE).read_text() == "mine"


def test_an_example_can_go_to_standard_output(folder: Path) -> None:
    said = run("command", "--output", "-")
    assert said.stdout.startswith("meta:\n  namespace: anna ")
    assert said.stderr == "it names pendulum.sh, which `distribute template command` writes beside it\n"
    assert names_in(folder) == set()


@pytest.mark.parametrize(
    ("login", "namespace"),
    [("null", "null"), ("1000", "1000"), ('LAB\\an"na', 'LAB\\an"na'), ("a/b", str(os.getuid()))],
)
def test_any_login_makes_a_valid_namespace(
    login: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", login)
    run("command")
    assert load(Path("distribute-jobs.yaml")).spec.namespace == namespace


def test_the_result_is_printed_in_the_chosen_form() -> None:
    Path("run.py").touch()
    said = run("python", "--json")
    assert json.loads(said.stdout) == {
        "file": "distribute-jobs.yaml",
        "kind": "python",
        "written": ["build.py", "pendulum.py", SCHEMA_FILE],
        "kept": ["run.py"],
    }
    assert run("command", "--output", "other.yaml", "--quiet").output == ""

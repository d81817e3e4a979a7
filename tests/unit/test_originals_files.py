"""Files that people have written for the first `distribute` load, and mean here what they meant there.

`test_config_loading` reads samples that have every key. Here are the edge cases.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from config_kit import write
from distribute.config.loading import LoadedBatch, batch_named_in, load
from distribute.core.errors import InputError
from distribute.core.ids import BatchId
from distribute.core.spec.recipe import Share, recipe_of
from distribute.core.spec.specs import ApptainerWork, PythonWork

PYTHON = """\
meta: {namespace: n, batch_name: b, capabilities: [python3]}
python:
  initialize: {build_file: build.py, required_files: FILES}
  jobs: [{name: j, file: run.py, required_files: OWN}]
"""
APPTAINER = """\
meta: {namespace: n, batch_name: b, capabilities: [apptainer]}
apptainer:
  initialize: {sif: build.py, required_files: FILES, required_mounts: MOUNTS}
  jobs: [{name: j, required_files: OWN}]
"""


def loaded(folder: Path, text: str) -> LoadedBatch:
    """A batch, with scripts and some data in its folder."""
    (folder / "link").symlink_to("mesh.dat")
    return load(
        write(
            folder,
            text,
            build_DOT_py=b"build",
            run_DOT_py=b"run",
            mesh_DOT_dat=b"coarse",
            fine__mesh_DOT_dat=b"fine",
        )
    )


def inputs(batch: LoadedBatch) -> dict[str, int]:
    """What the first job finds in `input`, with the number of bytes."""
    recipe = recipe_of(batch.spec, batch.spec.work.jobs[0])
    paths = [placed.path for placed in recipe.files]
    assert len(set(paths)) == len(paths), "each path has one file"
    return {
        placed.path.removeprefix("input/"): placed.file.size_bytes
        for placed in recipe.files
        if placed.path.startswith("input/")
    }


@pytest.mark.parametrize("kind", [PYTHON, APPTAINER])
@pytest.mark.parametrize(
    ("of_batch", "own", "found"),
    [
        ("[mesh.dat]", "[]", {"mesh.dat": 6}),
        ("[mesh.dat]", "[fine/mesh.dat]", {"mesh.dat": 4}),
        ("[fine/mesh.dat]", "[{path: mesh.dat}]", {"mesh.dat": 6}),
        ("[{path: mesh.dat, alias: m}]", "[{path: fine/mesh.dat, alias: m}]", {"m": 4}),
        ("[{path: mesh.dat, alias: m}]", "[fine/mesh.dat]", {"m": 6, "mesh.dat": 4}),
        ("[mesh.dat]", "[mesh.dat]", {"mesh.dat": 6}),
        ("[mesh.dat, mesh.dat]", "[]", {"mesh.dat": 6}),
        ("[mesh.dat, {path: ./mesh.dat, alias: null}]", "[]", {"mesh.dat": 6}),
        ("[mesh.dat, {path: link, alias: mesh.dat}]", "[]", {"mesh.dat": 6}),
        ("[]", "[mesh.dat, fine/../mesh.dat, mesh.dat]", {"mesh.dat": 6}),
        ("[mesh.dat, {path: mesh.dat, alias: copy}]", "[]", {"mesh.dat": 6, "copy": 6}),
    ],
)
def test_a_jobs_file_replaces_the_batchs_and_one_may_be_listed_twice(
    tmp_path: Path, kind: str, of_batch: str, own: str, found: dict[str, int]
) -> None:
    text = kind.replace("FILES", of_batch).replace("OWN", own).replace("MOUNTS", "[]")
    assert inputs(loaded(tmp_path, text)) == found


def test_a_mount_may_be_listed_twice(tmp_path: Path) -> None:
    mounts = "[/a, /b/c, /a, /a/, /./b//c]"
    text = APPTAINER.replace("FILES", "[]").replace("OWN", "[]").replace("MOUNTS", mounts)
    work = loaded(tmp_path, text).spec.work
    assert isinstance(work, ApptainerWork)
    assert work.mounts == ("/a", "/b/c")


FIRST = """\
---
meta:
  batch_name: b
  namespace: n
  matrix: null
  capabilities: [python3]
python:
  initialize: {build_file: {path: build.py}}
  jobs:
    - {name: j, file: {path: run.py}}
"""
"""A file as the first `distribute` writes it. The tables below change one thing each."""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("---\n", ""),
        ("---\n", "# a comment\n\n---\n"),
        ("---\n", "%YAML 1.1\n---\n"),
        ("run.py}}\n", "run.py}}\n...\n"),
        ("  matrix: null\n", ""),
        ("matrix: null", "matrix: ~"),
        ("matrix: null", "matrix:"),
        ("batch_name: b", '"batch_name": "b"'),
        ("{build_file: {path: build.py}}", "{build_file: build.py}"),
        ("{build_file: {path: build.py}}", "{build_file: {path: build.py, alias: null}}"),
        ("{build_file: {path: build.py}}", "{build_file: {path: ./build.py, alias: compile.py}}"),
        ("{build_file: {path: build.py}}", "{build_file: {path: build.py}, required_files: []}"),
        ("{build_file: {path: build.py}}", "{build_file: {path: build.py}, required_files: null}"),
        ("file: {path: run.py}", "file: run.py"),
        ("file: {path: run.py}", "file: {alias: mesh.dat, path: fine/../run.py}"),
        ("file: {path: run.py}", "file: &run {path: run.py}"),
        ("file: {path: run.py}", "file: {path: run.py}, required_files: []"),
        ("file: {path: run.py}", "file: {path: run.py}, required_files: null, slurm: null"),
        ("file: {path: run.py}", "file: {path: run.py}, slurm: {}"),
        ("run.py}}\n", "run.py}}\nslurm: null\n"),
        ("run.py}}\n", "run.py}}\nslurm: {time: 00:30:00, ntasks: 4, unknown: [1]}\n"),
        ("run.py}}\n", "run.py}}\napptainer: null\n"),
        ("capabilities: [python3]", "capabilities: [python3, python3]"),
        ("capabilities: [python3]", "capabilities:\n  - python3"),
        ("\n", "\r\n"),
    ],
)
def test_a_file_may_be_written_in_many_ways(tmp_path: Path, old: str, new: str) -> None:
    assert old in FIRST
    spec = loaded(tmp_path, FIRST.replace(old, new)).spec
    assert (spec.id, spec.matrix_user, spec.capabilities) == (BatchId("n", "b"), None, {"python3"})
    assert isinstance(spec.work, PythonWork)
    (job,) = spec.work.jobs
    assert (job.name, job.files, spec.files) == ("j", (), ())
    assert (spec.work.build.size_bytes, job.script.size_bytes) == (len(b"build"), len(b"run"))
    recipe = recipe_of(spec, job)
    assert recipe.argv(Share(7), "/work") == ["python3", "job.py", "7"]
    assert [placed.path for placed in recipe.files] == ["job.py"]
    assert recipe.build is not None
    assert recipe.build.argv(Share(7), "/work") == ["python3", "build.py"]


def test_an_image_runs_as_in_the_first_distribute(tmp_path: Path) -> None:
    text = APPTAINER.replace("FILES", "[mesh.dat]").replace("OWN", "[]").replace("MOUNTS", "[/cases]")
    batch = loaded(tmp_path, text)
    recipe = recipe_of(batch.spec, batch.spec.work.jobs[0])
    argv = recipe.argv(Share(4, gpus=(0,)), "/w", "/i.sif")
    assert (argv[:2], argv[-2:]) == (["apptainer", "run"], ["/i.sif", "4"])
    assert argv[argv.index("--app") + 1] == "distribute"
    assert "--nv" in argv
    assert argv[argv.index("--bind") + 1].startswith(
        "/w/input:/input:rw,/w/distribute_save:/distribute_save:rw,/w/mounts/0:/cases:rw"
    )


@pytest.mark.parametrize("capabilities", ["[]", "", "~"])
def test_a_batch_may_need_no_capabilities(tmp_path: Path, capabilities: str) -> None:
    assert loaded(tmp_path, FIRST.replace("[python3]", capabilities)).spec.capabilities == frozenset()
    missing = FIRST.replace("  capabilities: [python3]\n", "")
    assert load(write(tmp_path, missing)).spec.capabilities == frozenset()


@pytest.mark.parametrize(
    "name", ["a b", "-x", "*", "1.10", "007", "yes", "Größe", "a;b", "$(touch x)", "#1", "a: b"]
)
def test_names_stay_as_they_are(tmp_path: Path, name: str) -> None:
    text = FIRST.replace("name: j", f"name: '{name}'").replace("batch_name: b", f"batch_name: '{name}'")
    spec = loaded(tmp_path, text).spec
    assert (spec.batch, spec.work.jobs[0].name) == (name, name)


@pytest.mark.parametrize(
    "user",
    [
        "@jane:example.org",
        "@jane:example.org:8448",
        "@a:[::1]:8448",
        "@a:[2001:db8::1]",
        "@a:192.0.2.1:80",
        "@a.b=c/d_e-f+g:sub.example.org",
        "@JANE:Example.org",
        "@jane@old:example.org",
        "@a:synapse_1:8008",
        "@" + "a" * 240 + ":example.org",
    ],
)
def test_every_matrix_user_is_taken(tmp_path: Path, user: str) -> None:
    assert loaded(tmp_path, FIRST.replace("null", f'"{user}"')).spec.matrix_user == user


@pytest.mark.parametrize(
    "user",
    [
        "jane",
        "jane:example.org",
        "@jane",
        "@:example.org",
        "@a:",
        "@a b:c",
        "@a:[::1",
        "@a:b:c",
        "@a:b:123456",
    ],
)
def test_what_is_no_matrix_user_is_told(tmp_path: Path, user: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, FIRST.replace("null", f'"{user}"'))
    (problem,) = caught.value.problems
    assert problem.partition("yaml:")[2] == (
        f"5:11: matrix: '{user}' is not a Matrix user; write \"@jane:example.org\", with the quotes"
    )


NODES = "nodes:\n  - {ip: 192.0.2.7, name: ws07, capabilities: [gfortran], transport_port: 8953}\n"
JOB = "  jobs:\n    - {name: j, file: {path: run.py}}\n"
APPTAINER_TOO = f"{FIRST}apptainer: {{initialize: {{sif: run.py}}, jobs: [{{name: a}}]}}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            NODES,
            (
                "1:1: this is a list of nodes, not a batch; `distribute server --nodes-file` reads it, "
                "and `distribute template` shows what a batch looks like"
            ),
        ),
        (
            FIRST.replace("python:", "singularity:"),
            (
                "7:1: the top level has no key 'singularity'; "
                "Singularity is called Apptainer now: write 'apptainer'"
            ),
        ),
        (
            FIRST.replace("python:", "docker:"),
            (
                "7:1: the top level has no key 'docker'; write 'apptainer', "
                "and make its image of that one: see docs/containers.md, under Docker"
            ),
        ),
        (
            APPTAINER_TOO,
            (
                "11:1: a batch has one kind, but this one has 'apptainer' here and 'python' on line 7; "
                "put them into two files"
            ),
        ),
        (FIRST.replace(JOB, "  jobs: []\n"), "9:9: jobs is empty; write jobs: [{name: re100, file: run.py}]"),
        (
            FIRST + "    - {name: j, file: run.py}\n",
            "11:14: two jobs are called 'j', here and on line 10; rename one",
        ),
        (
            FIRST.replace("path: run.py", "path: /home/jane/run.py"),
            ("10:30: there is no file '/home/jane/run.py' on this computer; write the path that it has here"),
        ),
        (
            FIRST.replace("{path: build.py}}", "{path: build.py}, required_files: [gone.dat]}"),
            (
                "8:63: there is no file 'gone.dat' (looked for 'HERE/gone.dat'); "
                "write a path relative to the folder of this file, or an absolute one"
            ),
        ),
        (
            FIRST.replace("batch_name: b", "batch_name: a/b"),
            "3:15: batch_name: 'a/b' can't be a name: names become folders, so '/' and NUL are out",
        ),
        (FIRST.replace("matrix:", "matrix_user:"), "5:3: meta has no key 'matrix_user'; write 'matrix'"),
        (
            FIRST.replace("matrix: null", "matrix: @jane:lab.org"),
            "5:11: '@' can't start a text without quotes; write matrix: \"@jane:lab.org\"",
        ),
        (
            FIRST.replace("  jobs:", "\tjobs:"),
            "9:1: a tab in the indentation; write spaces instead: '  jobs:'",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_what_to_write(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, text)
    (problem,) = caught.value.problems
    assert problem.partition("yaml:")[2].replace(str(tmp_path), "HERE") == told


def test_a_list_of_nodes_names_no_batch(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a list of nodes, not a batch"):
        batch_named_in(write(tmp_path, NODES))


def test_a_batch_that_also_lists_nodes_is_told_of_that_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the top level has no key 'nodes'"):
        loaded(tmp_path, FIRST + NODES)

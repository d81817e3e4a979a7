"""The files that a jobs file names are found, and sent as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_kit import MODE, age, entry, write
from distribute.config.loading import load
from distribute.core.spec.specs import PythonWork


@pytest.mark.parametrize("name", ["a b.dat", "*.dat", "é.dat", "a\nb", "-rf", "x" * 255])
def test_files_with_unusual_names_are_found(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    age(tmp_path / name)
    quoted = '"' + name.replace("\n", "\\n") + '"'
    text = (
        "meta: {namespace: n, batch_name: b}\n"
        f"command: {{jobs: [{{name: j, command: [x], required_files: [{quoted}]}}]}}\n"
    )
    assert load(write(tmp_path, text)).spec.work.jobs[0].files == (entry(name, b"x"),)


def test_paths_are_relative_to_the_file_or_to_home_or_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("project", "home", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.dat").write_text(folder)
        age(tmp_path / folder / f"{folder}.dat")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    text = (
        "meta: {namespace: n, batch_name: b}\ncommand:\n  jobs:\n    - name: j\n      command: [x]\n"
        f"      required_files: [project.dat, ~/home.dat, {tmp_path}/elsewhere/elsewhere.dat, ./link]\n"
    )
    (tmp_path / "project" / "link").symlink_to(tmp_path / "elsewhere" / "elsewhere.dat")
    (tmp_path / "project" / "distribute-jobs.yaml").write_text(text)
    loaded = load(Path("project/distribute-jobs.yaml"))
    assert loaded.spec.work.jobs[0].files == (
        entry("project.dat", b"project"),
        entry("home.dat", b"home"),
        entry("elsewhere.dat", b"elsewhere"),
        entry("link", b"elsewhere"),
    )
    assert len(loaded.sources) == 3


def test_two_dots_behind_a_link_mean_what_they_mean_to_the_kernel(tmp_path: Path) -> None:
    """Of a link to the folder of the batch's file, and of a link in a path of that file."""
    (tmp_path / "data/batches/v2/sub").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/batches").symlink_to(tmp_path / "data/batches")
    (tmp_path / "data/batches/current").symlink_to("v2/sub")
    (tmp_path / "data/mesh.dat").write_text("of the folder above")
    (tmp_path / "data/batches/v2/grid.dat").write_text("of version 2")
    for wrong in ("work/mesh.dat", "data/batches/grid.dat"):
        (tmp_path / wrong).write_text("wrong")
    (tmp_path / "data/batches/b.yaml").write_text(
        "meta: {namespace: n, batch_name: b}\ncommand:\n  initialize:\n"
        "    required_files: [../mesh.dat, current/../grid.dat]\n  jobs: [{name: j, command: x}]\n"
    )
    sources = load(tmp_path / "work/batches/b.yaml").sources
    assert {path.read_text() for path in sources.values()} == {"of the folder above", "of version 2"}


def test_an_executable_file_stays_executable(tmp_path: Path) -> None:
    text = "meta: {namespace: n, batch_name: b}\ncommand:\n  jobs: [{name: a, command: input/solver}]\n"
    path = write(
        tmp_path,
        text + "  initialize: {required_files: [solver, mesh.dat]}\n",
        solver=b"s",
        mesh_DOT_dat=b"m",
    )
    (tmp_path / "solver").chmod(0o755)
    assert [(file.alias, file.executable, file.mode) for file in load(path).spec.files] == [
        ("solver", True, 0o755),
        ("mesh.dat", False, MODE),
    ]


def test_jobs_that_share_a_file_share_one_object(tmp_path: Path) -> None:
    jobs = "".join(f"    - {{name: j{n}, file: run.py, required_files: [mesh.dat]}}\n" for n in range(1000))
    text = (
        "meta: {namespace: n, batch_name: b}\n"
        f"python:\n  initialize: {{build_file: run.py}}\n  jobs:\n{jobs}"
    )
    loaded = load(write(tmp_path, text, run_DOT_py=b"run", mesh_DOT_dat=b"mesh"))
    assert len(loaded.sources) == 2
    work = loaded.spec.work
    assert isinstance(work, PythonWork)
    assert len({id(job.files[0]) for job in work.jobs}) == 1
    assert len({id(job.script) for job in work.jobs}) == 1

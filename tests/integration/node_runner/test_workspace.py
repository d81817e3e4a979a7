"""A job finds its files in a workspace of its own, and the next job finds none of its changes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from distribute.core.errors import DistributeError, StorageFull
from distribute.core.spec.recipe import build_of, recipe_of
from distribute.core.spec.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    PythonJob,
    PythonWork,
)
from distribute.memory.store import FileStore
from distribute_services.node_runner.disk import files
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.workspace import Workspace, Workspaces
from distribute_services.node_runner.keeper import procfs

from .conftest import AddInput
from .costs import cpu_s_of
from .small_disk import small_disk


def contents(folder: Path) -> dict[str, str]:
    """The files below a folder with their content, and the empty folders as paths that end in `/`."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[f"{name}/"] = ""
    return found


async def python_batch(add_input: AddInput) -> BatchSpec:
    mesh = await add_input(b"mesh", "mesh.dat")
    jobs = []
    for number in (1, 2):
        own = await add_input(f"own {number}".encode(), "own.dat")
        script = await add_input(f"script {number}".encode(), "re100.py")
        jobs.append(PythonJob(name=f"job{number}", script=script, files=(own,)))
    build = await add_input(b"build script", "compile.py")
    work = PythonWork(build=build, jobs=tuple(jobs))
    return BatchSpec(namespace="lab", batch="sweep", files=(mesh,), work=work)


async def build(workspaces: Workspaces, spec: BatchSpec) -> Workspace:
    recipe = build_of(spec)
    assert recipe is not None
    return await workspaces.make(recipe, None)


def do(workspace: Workspace, *argv: str) -> None:
    """Run a command in a job's folder."""
    subprocess.run(argv, cwd=workspace.folder, check=True)


def command_batch(*jobs: CommandJob, files: tuple[InputFile, ...] = ()) -> BatchSpec:
    return BatchSpec(namespace="lab", batch="sweep", files=files, work=CommandWork(jobs=jobs or (TRUE,)))


TRUE = CommandJob(name="true", command=("true",))


async def test_what_a_python_build_finds(workspaces: Workspaces, add_input: AddInput) -> None:
    built = await build(workspaces, await python_batch(add_input))
    assert contents(built.folder) == {
        "build.py": "build script",
        "input/mesh.dat": "mesh",
        "initial_files/mesh.dat": "mesh",
        "distribute_save/": "",
    }


async def test_what_a_python_job_finds(workspaces: Workspaces, add_input: AddInput) -> None:
    spec = await python_batch(add_input)
    built = await build(workspaces, spec)
    (built.folder / "solver").write_text("compiled")
    (built.folder / "solver").chmod(0o755)
    (built.folder / "current").symlink_to("solver")
    (built.folder / "distribute_save" / "log").write_text("of the build")
    (built.folder / "input" / "mesh.dat").write_text("mesh, refined")
    (built.folder / "initial_files" / "mesh.dat").unlink()
    (built.folder / "job.py").write_text("none of the build's business")
    job = await workspaces.make(recipe_of(spec, spec.work.jobs[1]), built)
    assert contents(job.folder) == {
        "build.py": "build script",
        "job.py": "script 2",
        "input/mesh.dat": "mesh, refined",
        "input/own.dat": "own 2",
        "initial_files/mesh.dat": "mesh",
        "distribute_save/": "",
        "solver": "compiled",
        "current": "compiled",
    }
    assert (job.folder / "current").readlink() == Path("solver")
    assert os.access(job.folder / "solver", os.X_OK)


async def test_what_a_python_job_without_a_build_finds(workspaces: Workspaces, add_input: AddInput) -> None:
    spec = await python_batch(add_input)
    plain = spec.model_copy(update={"work": PythonWork(jobs=spec.work.jobs)})
    recipe = recipe_of(plain, plain.work.jobs[0])
    assert recipe.build is None
    assert contents((await workspaces.make(recipe, None)).folder) == {
        "job.py": "script 1",
        "input/mesh.dat": "mesh",
        "input/own.dat": "own 1",
        "initial_files/mesh.dat": "mesh",
        "distribute_save/": "",
    }


async def test_a_jobs_file_replaces_one_of_the_batch_whatever_the_build_left_there(
    workspaces: Workspaces, add_input: AddInput
) -> None:
    spec = await python_batch(add_input)
    own = await add_input(b"finer", "mesh.dat")
    job = spec.work.jobs[0].model_copy(update={"files": (own,)})
    built = await build(workspaces, spec)
    for left in ("as it was", "changed", "a folder"):
        mesh = built.folder / "input" / "mesh.dat"
        if left == "changed":
            mesh.write_text("refined by the build")
        elif left == "a folder":
            mesh.unlink()
            mesh.mkdir()
            (mesh / "part").touch()
        found = contents((await workspaces.make(recipe_of(spec, job), built)).folder)
        assert (found["input/mesh.dat"], found["initial_files/mesh.dat"]) == ("finer", "mesh"), left


async def test_jobs_never_see_each_others_changes(workspaces: Workspaces, add_input: AddInput) -> None:
    spec = await python_batch(add_input)
    built = await build(workspaces, spec)
    (built.folder / "table").write_text("as built")
    first = await workspaces.make(recipe_of(spec, spec.work.jobs[0]), built)
    for name in ("table", "input/mesh.dat", "initial_files/mesh.dat", "job.py", "build.py"):
        with (first.folder / name).open("r+") as file:
            file.write("XXXX")
    (first.folder / "left by the first").touch()
    before = await workspaces.make(recipe_of(spec, spec.work.jobs[0]), built)
    await workspaces.remove(first)
    for job in (before, await workspaces.make(recipe_of(spec, spec.work.jobs[0]), built)):
        found = contents(job.folder)
        assert not [name for name, content in found.items() if "XXXX" in content or "left" in name]
        assert found["table"] == "as built"


async def test_a_command_job_finds_its_files(workspaces: Workspaces, add_input: AddInput) -> None:
    shared = await add_input(b"#!/bin/sh\n", "tool", executable=True)
    odd, long = await add_input(b"odd", "name with\nnewline"), await add_input(b"long", "n" * 255)
    spec = command_batch(CommandJob(name="job", command="./input/tool", files=(odd, long)), files=(shared,))
    job = await workspaces.make(recipe_of(spec, spec.work.jobs[0]), None)
    assert contents(job.folder) == {
        "input/tool": "#!/bin/sh\n",
        "input/name with\nnewline": "odd",
        f"input/{'n' * 255}": "long",
        "distribute_save/": "",
    }
    assert os.access(job.input / "tool", os.X_OK)
    assert (job.input / "name with\nnewline").stat().st_mode & 0o777 == 0o644


async def test_a_jobs_files_have_their_modes_and_times(workspaces: Workspaces, add_input: AddInput) -> None:
    """`make` in a job builds what is older than its source, and ssh refuses a key that others may read."""
    attributes = {"key": (0o600, 978_307_200_123_456_789), "read only": (0o444, 0), "closed": (0o000, 1)}
    files = []
    for name, (mode, mtime_ns) in attributes.items():
        file = await add_input(b"the same content", name)
        files.append(file.model_copy(update={"mode": mode, "mtime_ns": mtime_ns}))
    spec = command_batch(CommandJob(name="job", command="true", files=tuple(files)))
    job = await workspaces.make(recipe_of(spec, spec.work.jobs[0]), None)
    found = {path.name: path.stat() for path in job.input.iterdir()}
    assert {name: (status.st_mode & 0o777, status.st_mtime_ns) for name, status in found.items()} == {
        **attributes,
        "closed": (0o400, 1),  # the job may read what it was given
    }


async def test_an_apptainer_job_has_fresh_mounts(workspaces: Workspaces, add_input: AddInput) -> None:
    image = await add_input(b"image", "image.sif")
    job = ApptainerJob(name="job")
    work = ApptainerWork(image=image, mounts=("/scratch", "/tmp/cache"), jobs=(job,))
    spec = BatchSpec(namespace="lab", batch="sweep", work=work)
    workspace = await workspaces.make(recipe_of(spec, job), None)
    assert contents(workspace.folder) == {
        "input/": "",
        "distribute_save/": "",
        "container/": "",
        "mounts/0/": "",
        "mounts/1/": "",
    }


async def test_links_of_a_build_do_not_redirect_a_jobs_files(
    tmp_path: Path, workspaces: Workspaces, add_input: AddInput
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "own.dat").write_text("precious")
    (home / "job.py").write_text("precious")
    spec = await python_batch(add_input)
    built = await build(workspaces, spec)
    await workspaces.remove(Workspace(built.input, built.input, built.input, built.input, built.input))
    built.input.symlink_to(home)
    (built.folder / "job.py").symlink_to(home / "job.py")
    job = await workspaces.make(recipe_of(spec, spec.work.jobs[0]), built)
    assert contents(job.input) == {"mesh.dat": "mesh", "own.dat": "own 1"}
    assert contents(home) == {"own.dat": "precious", "job.py": "precious"}


@pytest.mark.parametrize("umask", [0o022, 0o077])
async def test_an_untouched_workspace_is_used_again(workspaces: Workspaces, umask: int) -> None:
    spec = command_batch()
    before = os.umask(umask)
    try:
        first = await workspaces.make(recipe_of(spec, TRUE), None)
    finally:
        os.umask(before)
    first.stdout.write_text("printed")
    await workspaces.remove(first)
    again = await workspaces.make(recipe_of(spec, TRUE), None)
    assert again == first
    assert not again.stdout.exists()
    await workspaces.remove(again)  # its process could not be started: there is no output
    assert await workspaces.make(recipe_of(spec, TRUE), None) == first


@pytest.mark.parametrize(
    "touch",
    [
        "touch file",
        "touch input/file",
        "touch distribute_save/file",
        "mkdir distribute_save/folder",
        "touch ../file",
        "chmod 700 input",
        "rmdir input && ln -s / input",
        "rmdir distribute_save",
        "rm -r ../job",
        "mkfifo 'odd\nname'",
        "ln ../stdout file",
        "mkdir -p deep/read-only && chmod 0 deep/read-only deep",
    ],
)
async def test_a_job_finds_nothing_of_the_job_before(workspaces: Workspaces, touch: str) -> None:
    spec = command_batch()
    first = await workspaces.make(recipe_of(spec, TRUE), None)
    first.stdout.touch()
    do(first, "sh", "-c", touch)
    await workspaces.remove(first)
    assert not first.slot.exists()
    second = await workspaces.make(recipe_of(spec, TRUE), None)
    assert contents(second.slot) == {"job/input/": "", "job/distribute_save/": ""}


async def test_folders_too_deep_for_any_path_are_removed(workspaces: Workspaces) -> None:
    job = await workspaces.make(recipe_of(command_batch(), TRUE), None)
    do(job, "python3", "-c", "import os\nfor _ in range(1500):\n    os.mkdir('deep'); os.chdir('deep')")
    await workspaces.remove(job)
    assert not job.slot.exists()


async def test_clear_removes_what_an_earlier_run_left(tmp_path: Path, cache: InputCache) -> None:
    workspaces = Workspaces(tmp_path / "work", cache)
    old = await workspaces.make(recipe_of(command_batch(), TRUE), None)
    restarted = Workspaces(tmp_path / "work", cache)
    await restarted.clear()
    assert not old.slot.exists()
    assert (await restarted.make(recipe_of(command_batch(), TRUE), None)).save.is_dir()


async def test_clear_leaves_the_slots_that_jobs_of_an_earlier_run_use(
    tmp_path: Path, cache: InputCache, caplog: pytest.LogCaptureFixture
) -> None:
    workspaces = Workspaces(tmp_path / "work", cache)
    _, old, kept = [await workspaces.make(recipe_of(command_batch(), TRUE), None) for _ in range(3)]
    restarted = Workspaces(tmp_path / "work", cache)
    await restarted.clear({kept.slot.name})
    assert not old.slot.exists()
    assert restarted.in_slot(kept.slot.name, None) == kept
    assert kept.save.is_dir()
    new = await restarted.make(recipe_of(command_batch(), TRUE), None)
    assert (new.slot != kept.slot, caplog.text) == (True, "")


async def test_a_missing_input_leaves_no_half_made_workspace(tmp_path: Path, workspaces: Workspaces) -> None:
    missing = InputFile(alias="missing", sha256="0" * 64, size_bytes=1)
    with pytest.raises(DistributeError, match="not in the store"):
        await workspaces.make(recipe_of(command_batch(files=(missing,)), TRUE), None)
    assert list((tmp_path / "work").iterdir()) == []


async def test_a_full_disk_is_an_error_and_frees_its_room(
    tmp_path: Path, store: FileStore, add_input: AddInput
) -> None:
    spec = command_batch(files=(await add_input(os.urandom(3 << 20)),))
    with small_disk(tmp_path / "disk", 4) as disk:
        workspaces = Workspaces(disk / "work", InputCache(tmp_path / "cache", store))
        first = await workspaces.make(recipe_of(spec, TRUE), None)
        with pytest.raises(StorageFull, match="no room on this computer"):
            await workspaces.make(recipe_of(spec, TRUE), None)
        with pytest.raises(StorageFull, match="no room on this computer"):
            await workspaces.make(recipe_of(spec, TRUE), first)
        await workspaces.remove(first)
        assert (await workspaces.make(recipe_of(spec, TRUE), None)).input.is_dir()


async def test_a_cancelled_copy_ends_at_once() -> None:
    """Otherwise it would go on filling a workspace that is being removed."""
    before = set(procfs.own_children())
    copying = asyncio.create_task(files._run("sleep", "1000"))
    async with asyncio.timeout(60):
        while not (program := set(procfs.own_children()) - before):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    copying.cancel()
    await asyncio.wait({copying})
    assert copying.cancelled()
    assert not program & set(procfs.own_children())


async def test_a_workspace_without_files_is_cheap(workspaces: Workspaces) -> None:
    """The bound is twenty times what we measured. It catches new folders and threads for every workspace."""
    spec = command_batch()

    async def make_and_remove() -> None:
        await workspaces.remove(await workspaces.make(recipe_of(spec, TRUE), None))

    assert await cpu_s_of(make_and_remove) < 0.5e-3


async def test_many_workspaces_can_be_made_at_once(workspaces: Workspaces, add_input: AddInput) -> None:
    spec = await python_batch(add_input)
    built = await build(workspaces, spec)
    jobs = await asyncio.gather(
        *(workspaces.make(recipe_of(spec, spec.work.jobs[n % 2]), built) for n in range(8))
    )
    assert len({job.slot for job in jobs}) == 8
    assert [(job.folder / "job.py").read_text()[-1] for job in jobs] == ["1", "2"] * 4

"""Each job has its own copy of the build, at the path of the build: as root and as a user."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from distribute.core.spec.recipe import Recipe, build_of, recipe_of
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, InputFile
from distribute.inputs.listed import Hasher
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import folder_tree
from distribute.memory.store import FileStore
from distribute_services.node_runner.disk.cache import InputCache
from distribute_services.node_runner.disk.private_copies import Way, copy_out, find_out
from distribute_services.node_runner.disk.workspace import Workspace, Workspaces
from distribute_services.node_runner.host.keeping import Refusal
from distribute_services.node_runner.host.refusals import reason_of
from distribute_services.node_runner.keeper.guest import Manners
from distribute_services.node_runner.keeper.spawning import CannotSpawn, spawn
from distribute_services.node_runner.keeper.view import Looks, View
from distribute_services.node_runner.results.outside import look_outside

from .as_user import as_nobody, folder_of_nobody


def _input(alias: str) -> InputFile:
    """An input whose content is its alias."""
    content = alias.encode()
    return InputFile(alias=alias, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


JOB = CommandJob(name="a", command="true", files=(_input("own"),))
SPEC = BatchSpec(
    namespace="lab",
    batch="sweep",
    files=(_input("mesh"),),
    work=CommandWork(build="make", jobs=(JOB,)),
)


def recipe_of_build() -> Recipe:
    recipe = build_of(SPEC)
    assert recipe is not None
    return recipe


@dataclass
class Lab:
    """A node's folder, where jobs get their copies in one way."""

    folder: Path
    way: Way
    workspaces: Workspaces = field(init=False)
    built: Workspace = field(init=False)
    store: FileStore = field(init=False)

    async def build(self, *script: str) -> Workspace:
        """Run a build."""
        self.store = store = FileStore(self.folder / "store")
        for file in (*SPEC.files, *JOB.files):
            path = self.folder / file.alias
            path.write_text(file.alias)
            await store.put_input(path, file.sha256)
        copies = find_out(self.folder, self.way)
        assert copies.way == self.way
        self.workspaces = Workspaces(self.folder / "work", InputCache(self.folder / "cache", store), copies)
        self.built = await self.workspaces.make(recipe_of_build(), None)
        await run(self.built, "\n".join(script))
        return self.built

    async def job(self) -> Workspace:
        return await self.workspaces.make(recipe_of(SPEC, JOB), self.built)


ENV = {"PATH": "/usr/bin:/bin", "odd.name": "kept", "HOME": "/nowhere"}


def start(
    argv: Sequence[str], folder: str, env: dict[str, str], stdout: Path, view: View | None
) -> int | str:
    """Start a process as the keeper does. Returns its pid, or why it can't be started."""
    with contextlib.chdir("."):  # the keeper's own folder is `/`
        try:
            return spawn(list(argv), folder, env, str(stdout), Manners(), view)
        except CannotSpawn as error:
            looks = error.looks or Looks(True, True, False)
            refusal = Refusal(error.step, error.code, error.text, looks)
            return reason_of(refusal, argv[0], folder, stdout)


def started(workspace: Workspace, *argv: str, env: dict[str, str] = ENV) -> int | str:
    return start(argv, workspace.seen, env, workspace.stdout, workspace.view)


async def exit_code(process: int | str) -> int:
    """Wait for the end of a process that was started."""
    assert isinstance(process, int), process
    _, status = await asyncio.wait_for(asyncio.to_thread(os.waitpid, process, 0), 60)
    return os.waitstatus_to_exitcode(status)


async def run(workspace: Workspace, script: str, *, fails: bool = False) -> str:
    """Run a shell script as a job. Returns what it printed."""
    code = await exit_code(started(workspace, "/bin/sh", "-euc", script))
    printed = workspace.stdout.read_text()
    assert (code != 0) is fails, printed
    workspace.stdout.unlink()
    return printed


Scenario = Callable[[Lab], Coroutine[None, None, None]]
Try = Callable[[Scenario], None]


@pytest.fixture(params=[("root", "overlay"), ("root", "bind"), ("user", "overlay"), ("user", "bind")])
def attempt(request: pytest.FixtureRequest) -> Iterator[Try]:
    """Try a scenario as this user, with copies made in this way."""
    who, way = request.param
    if os.geteuid() != 0:
        pytest.skip("needs root, to be root and others")
    with folder_of_nobody() as folder:

        def work(scenario: Scenario) -> None:
            asyncio.run(scenario(Lab(folder, way)))

        found: list[str] = []
        if who == "root":
            found.append(find_out(folder, way).way)
            if found != [way]:
                pytest.skip(f"this computer has no {way} for root")
            yield work
        else:

            def ask() -> None:
                (folder / "way").write_text(find_out(folder, way).way)

            as_nobody(ask)
            if (folder / "way").read_text() != way:
                pytest.skip(f"this computer has no {way} for a user")
            yield lambda scenario: as_nobody(lambda: work(scenario))


def test_a_job_saves_to_where_it_was_built(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        built = await lab.build(
            'printf \'#!/bin/sh\\necho "$1" > %s/distribute_save/result\\n\' "$PWD" > save.sh',
            "chmod +x save.sh; mkdir sub; echo first > sub/table; pwd > where",
        )
        job = await lab.job()
        printed = await run(job, "./save.sh result; pwd; cat where; echo second >> sub/table; cat sub/table")
        assert printed.split() == [str(built.folder)] * 2 + ["first", "second"]
        assert (job.save / "result").read_text() == "result\n"
        assert (built.folder / "sub/table").read_text() == "first\n"
        assert not any(built.save.iterdir())

    attempt(scenario)


def test_jobs_at_the_same_time_never_meet(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("pwd > where; echo 0 > counter")
        script = (
            'cd /; p=$(cat {p}/where); echo {n} > "$p/counter"; read -r x < {fifo};'
            ' cp "$p/counter" "$p/distribute_save/"'
        )
        jobs = [await lab.job() for _ in range(3)]
        fifos = [lab.folder / f"fifo{number}" for number in range(3)]
        for fifo in fifos:
            os.mkfifo(fifo)
        texts = [script.format(p=lab.built.folder, n=number, fifo=fifo) for number, fifo in enumerate(fifos)]
        running = [asyncio.create_task(run(job, text)) for job, text in zip(jobs, texts, strict=True)]
        for fifo in fifos:  # all have written their own number before any goes on
            await asyncio.to_thread(fifo.write_text, "\n")
        await asyncio.gather(*running)
        assert [(job.save / "counter").read_text() for job in jobs] == ["0\n", "1\n", "2\n"]
        assert (lab.built.folder / "counter").read_text() == "0\n"

    attempt(scenario)


def test_a_virtual_environment_of_the_build_is_the_jobs_own(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("/usr/bin/python3 -m venv --without-pip venv")
        job = await lab.job()
        printed = await run(
            job,
            ". venv/bin/activate; python -c 'import sys, pathlib; print(sys.prefix);"
            ' pathlib.Path(sys.prefix, "added").touch()\'; ls venv/added',
        )
        assert printed.split() == [f"{lab.built.folder}/venv", "venv/added"]
        assert not (lab.built.folder / "venv/added").exists()

    if not Path("/usr/bin/python3").exists():
        pytest.skip("this computer has no Python of its own")
    attempt(scenario)


def test_a_job_keeps_its_user_and_its_environment(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("true")
        job = await lab.job()
        assert await exit_code(started(job, "/usr/bin/env")) == 0
        assert sorted(job.stdout.read_text().splitlines()) == sorted(f"{k}={v}" for k, v in ENV.items())
        printed = await run(
            await lab.job(), "id -u; id -g; grep CapEff /proc/self/status; touch file; stat -c %u file"
        )
        user, group, _, powers, owner = printed.split()
        assert (int(user), int(group), int(owner)) == (os.getuid(), os.getgid(), os.getuid())
        if os.getuid() != 0:
            assert int(powers, 16) == 0

    attempt(scenario)


def test_a_job_finds_its_files_over_those_of_the_build(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build(
            "rm input/mesh; mkdir input/own; touch input/own/deep; echo of the build > distribute_save/log"
        )
        job = await lab.job()
        printed = await run(job, "cat input/mesh; echo; cat input/own; echo; ls distribute_save; ls -a")
        assert printed.split() == ["mesh", "own", ".", "..", "distribute_save", "input"]

    attempt(scenario)


def test_a_jobs_folder_hides_the_one_that_the_build_left(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build(
            "mkdir -p input/case/d; touch input/case/d/built; mkdir input/whole; touch input/whole/x"
        )
        folder = lab.folder / "own folder"
        (folder / "d").mkdir(parents=True)
        (folder / "d" / "own").write_text("own")
        listed = Hasher().listed(folder_tree(str(folder), Exclude(())), "it")
        for sha256, source in listed.sources.items():
            await lab.store.put_input(source, sha256)
        job = JOB.model_copy(update={"folders": (listed.folder("case"), listed.folder(None, "*"))})
        spec = SPEC.model_copy(update={"folders": (listed.folder("whole"),)})
        workspace = await lab.workspaces.make(recipe_of(spec, job), lab.built)
        printed = await run(workspace, "echo more > input/case/d/more; find input -type f | sort")
        own = ["input/case/d/more", "input/case/d/own", "input/d/own", "input/mesh", "input/own"]
        assert printed.split() == [*own, "input/whole/x"]

    attempt(scenario)


def test_a_shared_file_is_as_the_build_left_it(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("echo refined > input/mesh")
        assert await run(await lab.job(), "cat input/mesh") == "refined\n"
        await lab.build("rm -r input; ln -s / input")
        assert await run(await lab.job(), "cat input/mesh; ls input") == "meshmesh\nown\n"

    attempt(scenario)


def test_results_moved_or_linked_from_the_build_are_whole(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("echo a > a; echo b > b; mkdir tree; echo c > tree/c; mkdir gone; echo d > gone/d")
        job = await lab.job()
        await run(
            job,
            "mv a distribute_save/; ln b distribute_save/b; mv tree distribute_save/; rm -r gone;"
            " echo new > new; mv new distribute_save/new; mkdir distribute_save/x; rmdir distribute_save/x",
        )
        found = {str(path.relative_to(job.save)) for path in job.save.rglob("*")}
        assert found == {"a", "b", "tree", "tree/c", "new"}
        texts = [(job.save / name).read_text() for name in ("a", "b", "tree/c", "new")]
        assert texts == ["a\n", "b\n", "c\n", "new\n"]

    attempt(scenario)


@pytest.mark.parametrize("is_absolute", [False, True])
def test_results_behind_a_link_to_a_folder_of_the_build_are_whole(attempt: Try, is_absolute: bool) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("mkdir tables; echo a > tables/a; echo b > tables/b")
        job = await lab.job()
        where = f"{lab.built.folder}/tables" if is_absolute else "tables"
        await run(job, f"rm -r distribute_save tables/b; echo c > tables/c; ln -s {where} distribute_save")
        assert job.view is not None
        whole = job.slot / "whole"
        whole.mkdir()
        assert await copy_out(job.view, "distribute_save", whole)
        assert {path.name: path.read_text() for path in whole.iterdir()} == {"a": "a\n", "c": "c\n"}

    attempt(scenario)


@pytest.mark.parametrize("where", ["/etc", "..", ".", "nowhere", "file"])
def test_a_link_out_of_the_working_directory_is_not_followed(attempt: Try, where: str) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("touch file")
        job = await lab.job()
        await run(job, f"rm -r distribute_save; ln -s {where} distribute_save")
        assert job.view is not None
        whole = job.slot / "whole"
        whole.mkdir()
        assert not await copy_out(job.view, "distribute_save", whole)
        assert list(whole.iterdir()) == []

    attempt(scenario)


def test_what_a_job_left_elsewhere_is_told_without_what_was_built(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("echo built > built; echo changed > changed; echo moded > moded")
        job = await lab.job()
        await run(job, "echo more >> changed; echo forgotten > forgotten; chmod 700 moded; rm built")
        outside = look_outside(job.folder, given={"input/own", "input/mesh"}, built=lab.built.folder)
        assert outside is not None
        assert {file.path for file in outside.largest} == {"changed", "forgotten"}

    attempt(scenario)


def test_the_build_is_whole_after_its_jobs_and_nothing_of_them_stays(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("mkdir tree; echo a > tree/a; echo b > b; ln b c")
        for _ in range(2):
            job = await lab.job()
            assert await run(job, "cat tree/a c; rm -r tree b c; mkdir tree; ls -A tree") == "a\nb\n"
            await lab.workspaces.remove(job)
            assert not job.slot.exists()

    attempt(scenario)


def test_a_program_of_the_build_is_found_by_its_path(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build("mkdir bin; printf '#!/bin/sh\\necho found\\n' > bin/tool; chmod +x bin/tool")
        for path in (f"{lab.built.folder}/bin:/bin", "bin:/bin"):
            job = await lab.job()
            assert await exit_code(started(job, "tool", env={"PATH": path})) == 0
            assert job.stdout.read_text() == "found\n"

    attempt(scenario)


def test_a_program_that_cannot_start_is_refused_with_the_reason(attempt: Try) -> None:
    async def scenario(lab: Lab) -> None:
        await lab.build(
            "echo text > text; echo true > script; chmod +x script; mkdir folder",
            "printf '#!/no/such\\n' > other; chmod +x other",
        )

        async def reason(*argv: str, env: dict[str, str] = ENV) -> str:
            refused = started(await lab.job(), *argv, env=env)
            assert isinstance(refused, str)
            return refused.partition("can't be started: ")[2]

        assert await reason("./missing") == "'./missing': there is no such file or folder"
        assert await reason("nowhere") == "no such program in the PATH of this node"
        assert "is not executable" in await reason("./text")
        assert "a script needs a first line" in await reason("./script")
        assert await reason("./folder") == "'./folder' is a folder"
        assert "the interpreter named in the first line" in await reason("./other")
        assert "not valid" in await reason("true", "a\0b")
        assert "not valid" in await reason("true", env={"A=B": "c"})
        assert await run(await lab.job(), "echo it still works") == "it still works\n"

    attempt(scenario)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_folder_on_an_overlay_gets_another_way(tmp_path: Path) -> None:
    """An overlay can't have its own layer on an overlay: that is the disk of most containers."""
    outer = find_out(tmp_path)
    if outer.way != "overlay":
        pytest.skip("this computer has no overlay")
    built, own, scratch = tmp_path / "built", tmp_path / "own", tmp_path / "scratch"
    for folder in (built, own, scratch):
        folder.mkdir()
    code = (
        f"import pathlib, sys; sys.path[:] = {sys.path!r};"
        "from distribute_services.node_runner.disk import private_copies;"
        "print(private_copies.find_out(pathlib.Path()).way)"
    )

    async def scenario() -> None:
        view = outer.view(built, own, scratch)
        process = start([sys.executable, "-c", code], str(built), ENV, tmp_path / "out", view)
        assert await exit_code(process) == 0, (tmp_path / "out").read_text()

    asyncio.run(scenario())
    assert (tmp_path / "out").read_text() == "bind\n"

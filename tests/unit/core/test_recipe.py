"""Recipes: a job's files, folders, command and environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from distribute.core.spec.placed import Placed
from distribute.core.spec.recipe import Bind, Recipe, Share, build_of, recipe_of
from distribute.core.spec.setup_script import Login
from distribute.core.spec.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    PythonJob,
    PythonWork,
    SignalBefore,
)

FILE = InputFile(alias="file", sha256="0" * 64, size_bytes=0)
MESH = InputFile(alias="mesh.dat", sha256="1" * 64, size_bytes=4)
OWN = InputFile(alias="own.dat", sha256="2" * 64, size_bytes=3)
SCRIPT = InputFile(alias="re100.py", sha256="3" * 64, size_bytes=3)
PYTHON = PythonWork(build=FILE, jobs=(PythonJob(name="job", script=SCRIPT, files=(OWN,)),))


def spec(work: PythonWork | CommandWork | ApptainerWork, **fields: object) -> BatchSpec:
    return BatchSpec.model_validate({"namespace": "lab", "batch": "sweep", "work": work, **fields})


def first(batch: BatchSpec) -> Recipe:
    return recipe_of(batch, batch.work.jobs[0])


def test_the_recipe_of_a_python_job() -> None:
    recipe = first(spec(PYTHON, files=(MESH,), timeout_s=60, build_timeout_s=5))
    assert recipe.argv(Share(3), "/w/job") == ["python3", "job.py", "3"]
    shared = (Placed("input/mesh.dat", MESH, keep=True), Placed("initial_files/mesh.dat", MESH, keep=True))
    assert recipe.files == (*shared, Placed("input/own.dat", OWN), Placed("job.py", SCRIPT))
    assert recipe.folders == ("initial_files",)
    assert recipe.timeout_s == 60
    assert recipe.build is not None
    assert recipe.build.argv(Share(3), "/w/job") == ["python3", "build.py"]
    assert recipe.build.files == (*shared, Placed("build.py", FILE))
    assert recipe.build.timeout_s == 5


@pytest.mark.parametrize(
    ("args", "argv"), [(None, ["4"]), ((), []), (("--re", "100", ""), ["--re", "100", ""])]
)
def test_a_python_job_gets_its_own_arguments_or_else_the_number_of_its_cores(
    args: tuple[str, ...] | None, argv: list[str]
) -> None:
    job = PythonJob(name="job", script=SCRIPT, args=args)
    recipe = first(spec(PythonWork(build=FILE, jobs=(job,))))
    assert recipe.argv(Share(4), "/w/job") == ["python3", "job.py", *argv]
    assert recipe.environment({}, Share(4), folder="/w", node="ws07", attempt=1)["DISTRIBUTE_CPUS"] == "4"


def test_a_python_batch_may_have_no_build() -> None:
    batch = spec(PythonWork(jobs=(PythonJob(name="job", script=SCRIPT),)), files=(MESH,))
    assert (build_of(batch), first(batch).build, batch.needs_build) == (None, None, False)
    assert {placed.path for placed in first(batch).files} == {
        "input/mesh.dat",
        "initial_files/mesh.dat",
        "job.py",
    }


def test_a_file_of_a_job_replaces_one_of_the_batch_that_has_its_name() -> None:
    finer = OWN.model_copy(update={"alias": "mesh.dat"})
    job = PythonJob(name="job", script=SCRIPT, files=(finer,))
    batch = spec(PythonWork(build=FILE, jobs=(job,)), files=(MESH, FILE))
    kept = [
        Placed("input/file", FILE, keep=True),
        Placed("initial_files/mesh.dat", MESH, keep=True),
        Placed("initial_files/file", FILE, keep=True),
    ]
    recipe = first(batch)
    assert recipe.files == (*kept, Placed("input/mesh.dat", finer), Placed("job.py", SCRIPT))
    assert recipe.build is not None
    assert recipe.build.files[0] == Placed("input/mesh.dat", MESH, keep=True), "the build finds the batch's"


def test_grace_and_warning_of_a_job_are_its_own_or_those_of_its_batch() -> None:
    usr1, term = SignalBefore(signal="USR1", before_s=5), SignalBefore(signal="TERM", before_s=7)
    plain = CommandJob(name="plain", command="x")
    own = CommandJob(name="own", command="x", grace_s=0, signal_before=term, timeout_s=30)
    batch = spec(CommandWork(build="make", jobs=(plain, own)), timeout_s=60, grace_s=20, signal_before=usr1)
    assert (recipe_of(batch, plain).grace_s, recipe_of(batch, plain).warning) == (20, usr1)
    assert (recipe_of(batch, own).grace_s, recipe_of(batch, own).warning) == (0, term)
    build = build_of(batch)
    assert build is not None
    assert (build.grace_s, build.warning) == (20, None), "the warning is before the timeout of a job"
    untimed = recipe_of(spec(CommandWork(jobs=(plain,)), signal_before=usr1), plain)
    assert (untimed.grace_s, untimed.warning) == (None, None)


def test_a_warning_that_would_come_before_its_job_begins_does_not_come() -> None:
    warning = SignalBefore(signal="USR1", before_s=60)
    job = CommandJob(name="job1", command="x")
    batch = spec(CommandWork(jobs=(job,)), timeout_s=100, signal_before=warning)
    assert recipe_of(batch, job, edited_timeout_s=61).warning == warning
    for edited_timeout_s in (60.0, 10.0, 0.0):
        assert recipe_of(batch, job, edited_timeout_s=edited_timeout_s).warning is None


def test_the_recipe_of_a_command_job() -> None:
    words = CommandJob(name="words", command=("./solver", "--re", "100"), timeout_s=5)
    line = CommandJob(name="line", command="./solver > log")
    batch = spec(CommandWork(jobs=(words, line)), timeout_s=60)
    assert recipe_of(batch, words).argv(Share(1), "/w/job") == ["./solver", "--re", "100"]
    assert recipe_of(batch, line).argv(Share(1), "/w/job") == ["/bin/sh", "-c", "./solver > log"]
    assert (recipe_of(batch, words).timeout_s, recipe_of(batch, line).timeout_s) == (5, 60)
    assert recipe_of(batch, words).build is None
    build = build_of(spec(CommandWork(build="make", jobs=(words,))))
    assert build is not None
    assert build.argv(Share(1), "/w/job") == ["/bin/sh", "-c", "make"]
    timed = build_of(spec(CommandWork(build="make", jobs=(words,)), timeout_s=60))
    assert timed is not None
    assert timed.timeout_s is None, "the timeout of a batch is that of its jobs"


def test_the_recipe_of_an_apptainer_job() -> None:
    batch = spec(ApptainerWork(image=FILE, mounts=("/scratch",), jobs=(ApptainerJob(name="job"),)))
    recipe = first(batch)
    assert build_of(batch) is None
    assert recipe.image == FILE
    assert recipe.folders == ("container", "mounts/0")
    assert recipe.binds == (
        Bind("input", "/input"),
        Bind("distribute_save", "/distribute_save"),
        Bind("mounts/0", "/scratch"),
    )
    binds = "/w/job/input:/input:rw,/w/job/distribute_save:/distribute_save:rw,/w/job/mounts/0:/scratch:rw"
    own = ["--pid", "--contain", "--workdir", "/w/job/container"]
    app = ["--app", "distribute", "--bind", binds, "/cache/image", "4"]
    assert recipe.argv(Share(4), "/w/job", "/cache/image") == ["apptainer", "run", *own, *app]
    with_gpu = ["apptainer", "run", *own, "--nv", *app]
    assert recipe.argv(Share(4, gpus=(1,)), "/w/job", "/cache/image") == with_gpu


@pytest.mark.parametrize("folder", ["/a, b", "/a:b", "/a,:b"])
def test_a_folder_that_apptainer_can_not_bind_by_its_path_is_bound_by_its_name(folder: str) -> None:
    recipe = first(spec(ApptainerWork(image=FILE, jobs=(ApptainerJob(name="job"),))))
    argv = recipe.argv(Share(1), folder, "/image")
    assert argv[-3:] == ["input:/input:rw,distribute_save:/distribute_save:rw", "/image", "1"]
    variables = recipe.environment({}, Share(1), folder=folder, node="ws07", attempt=1)
    assert "APPTAINER_TMPDIR" not in variables


def script(argv: list[str]) -> str:
    """The script of a shell, which must be its last argument."""
    assert argv[-2] == "-c"
    return argv[-1]


def test_setup_lines_run_by_a_login_shell_unless_the_batch_names_another() -> None:
    job = CommandJob(name="a", command=("./solver", "--re", "it's"))
    work = CommandWork(build="make", jobs=(job,))
    assert first(spec(work)).argv(Share(1), "/w") == ["./solver", "--re", "it's"]
    with_setup = spec(work, setup=("module load gcc",))
    argv = first(with_setup).argv(Share(1), "/w")
    assert argv[:-1] == ["bash", "-l", "-c"]
    lines = script(argv).splitlines()
    assert lines.index("eval 'module load gcc'") < lines.index("exec ./solver --re 'it'\"'\"'s'")
    build = build_of(spec(work, setup=("module load gcc",), shell=("/opt/bin/sh",)))
    assert build is not None
    argv = build.argv(Share(1), "/w")
    assert argv[:-1] == ["/opt/bin/sh", "-c"]
    assert "eval make" in script(argv)


def test_the_shell_of_a_batch_runs_its_texts() -> None:
    work = CommandWork(jobs=(CommandJob(name="a", command="for i in {1..3}; do :; done"),))
    argv = first(spec(work, shell=("bash",))).argv(Share(1), "/w")
    assert argv[:-1] == ["bash", "-c"]
    assert "eval 'for i in {1..3}; do :; done'" in script(argv)


def test_the_setup_of_an_apptainer_job_runs_before_the_container_starts() -> None:
    work = ApptainerWork(image=FILE, jobs=(ApptainerJob(name="job"),))
    plain = first(spec(work)).argv(Share(4), "/w", "/cache/image")
    lines = script(first(spec(work, setup=("true",))).argv(Share(4), "/w", "/cache/image")).splitlines()
    assert f"exec {' '.join(plain)}" in lines
    assert "export A=2" in script(
        first(spec(work, setup=("true",))).argv(Share(4), "/w", "/i", Login({"A": "2"}))
    )


def environment(batch: BatchSpec, share: Share, gpus: Sequence[str] | None = None) -> dict[str, str]:
    base = {"PATH": "/bin"}
    return first(batch).environment(base, share, folder="/w/job", node="ws07", attempt=2, gpus=gpus)


def test_the_environment_of_a_job() -> None:
    assert environment(spec(PYTHON), Share(4, memory_bytes=8 << 30)) == {
        "PATH": "/bin",
        "OMP_NUM_THREADS": "4",
        "PYTHONUNBUFFERED": "1",
        "DISTRIBUTE_NAMESPACE": "lab",
        "DISTRIBUTE_BATCH": "sweep",
        "DISTRIBUTE_JOB": "job",
        "DISTRIBUTE_ATTEMPT": "2",
        "DISTRIBUTE_NODE": "ws07",
        "DISTRIBUTE_CPUS": "4",
        "DISTRIBUTE_GPUS": "0",
        "DISTRIBUTE_MEMORY_BYTES": str(8 << 30),
        "DISTRIBUTE_INPUT": "/w/job/input",
        "DISTRIBUTE_SAVE": "/w/job/distribute_save",
    }


def test_a_job_sees_no_gpus_but_its_own() -> None:
    gpus = ["4", "GPU-5a1d", "7"]
    with_two = environment(spec(PYTHON), Share(1, gpus=(0, 2)), gpus)
    assert (with_two["CUDA_VISIBLE_DEVICES"], with_two["DISTRIBUTE_GPUS"]) == ("4,7", "2")
    assert with_two["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID", "CUDA counts GPUs as the driver does"
    with_none = environment(spec(PYTHON), Share(1), gpus)
    assert (with_none["CUDA_VISIBLE_DEVICES"], with_none["DISTRIBUTE_GPUS"]) == ("", "0")


def test_a_build_sees_all_gpus_that_the_node_lends_and_no_others() -> None:
    build = build_of(spec(PYTHON))
    assert build is not None
    found = build.environment({}, Share(4), folder="/w/build", node="ws07", gpus=["1", "3"])
    assert found["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert "DISTRIBUTE_GPUS" not in found


def test_own_variables_replace_defaults_but_not_the_jobs_names() -> None:
    job = PythonJob(name="job", script=FILE, env={"MODE": "job", "DISTRIBUTE_JOB": "another"})
    batch = spec(
        PythonWork(build=FILE, jobs=(job,)),
        env={"MODE": "batch", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "0,1,2,3"},
    )
    found = environment(batch, Share(4, gpus=(3,)), list("0123"))
    names = ("MODE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "DISTRIBUTE_JOB")
    assert [found[name] for name in names] == ["job", "1", "3", "job"]


def test_the_environment_of_a_job_in_a_container() -> None:
    """In it, its own variables win over the image's, which win over the node's."""
    env = {"MODE": "job", "PATH": "/opt/bin", "APPTAINER_BIND": "/data", "A.B": "dot", "LD_PRELOAD": "lib.so"}
    job = ApptainerJob(name="job", env=env)
    node = {
        "PATH": "/bin",
        "HOME": "/home/jane",
        "USER": "jane",
        "LD_LIBRARY_PATH": "/opt/lib",
        "SHELL": "/bin/zsh",
        "TMPDIR": "/scratch",
        "LC_CTYPE": "de_DE.UTF-8",
        "TZ": "Europe/Berlin",
        "LICENSE": "27000@head",
    }
    recipe = first(spec(ApptainerWork(image=FILE, jobs=(job,))))
    found = recipe.environment(
        node, Share(4, gpus=(1,)), folder="/w/job", node="ws07", attempt=2, gpus=["0", "1"]
    )
    in_container = {
        "MODE": "job",
        "PATH": "/opt/bin",
        "LD_PRELOAD": "lib.so",
        "DISTRIBUTE_NAMESPACE": "lab",
        "DISTRIBUTE_BATCH": "sweep",
        "DISTRIBUTE_JOB": "job",
        "DISTRIBUTE_ATTEMPT": "2",
        "DISTRIBUTE_NODE": "ws07",
        "DISTRIBUTE_CPUS": "4",
        "DISTRIBUTE_GPUS": "1",
        "DISTRIBUTE_MEMORY_BYTES": "0",
        "DISTRIBUTE_INPUT": "/input",
        "DISTRIBUTE_SAVE": "/distribute_save",
        "CUDA_VISIBLE_DEVICES": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert found == {
        **{f"APPTAINERENV_{name}": value for name, value in in_container.items()},
        "PATH": "/bin",
        "HOME": "/home/jane",
        "USER": "jane",
        "LD_LIBRARY_PATH": "/opt/lib",
        "TZ": "Europe/Berlin",
        "LICENSE": "27000@head",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "4",
        "PYTHONUNBUFFERED": "1",
        "A.B": "dot",
        "APPTAINER_BIND": "/data",
        "APPTAINER_NO_EVAL": "1",
        "APPTAINER_DISABLE_CACHE": "false",
        "APPTAINER_TMPDIR": "/w/job/container",
    }


def test_the_environment_of_a_build() -> None:
    build = build_of(spec(PYTHON, env={"CC": "gcc"}))
    assert build is not None
    found = build.environment({"PATH": "/bin"}, Share(8), folder="/w/job", node="ws07")
    assert (found["CC"], found["DISTRIBUTE_CPUS"]) == ("gcc", "8")
    assert not found.keys() & {"DISTRIBUTE_JOB", "DISTRIBUTE_ATTEMPT", "DISTRIBUTE_GPUS"}


def test_a_recipe_looks_at_no_other_job_of_its_batch() -> None:
    """A node holds of a batch of 100,000 jobs only those that it runs."""
    jobs = tuple(CommandJob(name=f"job{number}", command=("true", str(number))) for number in range(3))
    whole, alone = (spec(CommandWork(jobs=some)) for some in (jobs, jobs[1:2]))
    assert recipe_of(whole, jobs[1]) == recipe_of(alone, jobs[1])


def identity(work: PythonWork | CommandWork = PYTHON, **fields: Any) -> str:
    build = build_of(spec(work, **fields))
    assert build is not None
    return build.identity()


SETUPS: tuple[dict[str, Any], ...] = (
    {"setup": ("module load gcc/12",)},
    {"setup": ("module load gcc/13",)},
    {"setup": ("module load gcc/13",), "shell": ("bash",)},
    {"shell": ("bash",)},
)


def test_two_builds_are_the_same_if_what_they_run_and_find_is() -> None:
    same = identity(files=(MESH,), env={"A": "1", "B": "2"})
    later = MESH.model_copy(update={"mtime_ns": 5})
    assert identity(files=(later,), env={"B": "2", "A": "1"}, batch="other", build_timeout_s=5) == same
    differ = [
        identity(files=(MESH,), env={"A": "1"}),
        identity(files=(MESH,), env={"A": "1", "B": "3"}),
        identity(files=(OWN,), env={"A": "1", "B": "2"}),
        identity(files=(MESH.model_copy(update={"alias": "m"}),), env={"A": "1", "B": "2"}),
        identity(files=(MESH.model_copy(update={"mode": 0o755}),), env={"A": "1", "B": "2"}),
        identity(PYTHON.model_copy(update={"build": SCRIPT}), files=(MESH,), env={"A": "1", "B": "2"}),
        identity(CommandWork(build="make", jobs=(CommandJob(name="a", command="a"),)), files=(MESH,)),
        *(identity(files=(MESH,), env={"A": "1", "B": "2"}, **other) for other in SETUPS),
    ]
    assert len({same, *differ}) == len(differ) + 1


def test_a_batch_can_want_its_build_to_run_always() -> None:
    for rebuild in (None, "always"):
        build = build_of(spec(PYTHON, rebuild=rebuild))
        assert build is not None
        assert build.always is (rebuild is not None)

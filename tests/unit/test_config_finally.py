"""`finally` in a jobs file: the job that runs when all others are over."""

from pathlib import Path

import pytest

from config_kit import write
from distribute.config.loading import load
from distribute.core.errors import InputError
from distribute.core.spec.recipe import recipe_of
from distribute.core.spec.specs import CommandJob, PythonJob
from git_kit import repository

META = "meta: {namespace: n, batch_name: b}\n"
TWO = META + "command: {jobs: [{name: a, command: x}]}\n"


def problems(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        load(write(folder, text))
    return "\n".join(caught.value.problems)


def test_it_is_the_last_job_of_the_batch(tmp_path: Path) -> None:
    text = TWO + 'finally: {name: plot, command: [plot], timeout: 5m, resources: {cpus: 2}, env: {A: "1"}}'
    spec = load(write(tmp_path, text)).spec
    job = spec.work.jobs[-1]
    assert isinstance(job, CommandJob)
    assert (spec.last_job, job.name, job.command, job.timeout_s) == ("plot", "plot", ("plot",), 300)
    assert [recipe_of(spec, each).wants_results for each in spec.work.jobs] == [False, True]


def test_it_has_a_name_without_one(tmp_path: Path) -> None:
    assert load(write(tmp_path, TWO + "finally: {command: plot}")).spec.last_job == "finally"


def test_a_batch_without_it_has_no_last_job(tmp_path: Path) -> None:
    assert load(write(tmp_path, TWO + "finally:")).spec.last_job is None


def test_it_comes_after_the_jobs_of_a_sweep(tmp_path: Path) -> None:
    text = META + 'sweep: {grid: {re: [1, 2]}}\ncommand: {job: {command: "x {re}"}}\nfinally: {command: plot}'
    spec = load(write(tmp_path, text)).spec
    assert [job.name for job in spec.work.jobs] == ["re1", "re2", "finally"]


def test_a_script_of_python_has_its_files(tmp_path: Path) -> None:
    for name in ("run.py", "plot.py", "style.txt"):
        (tmp_path / name).write_text(name)
    text = META + (
        "python: {jobs: [{name: a, file: run.py}]}\n"
        "finally: {file: plot.py, args: [--log], required_files: [style.txt]}"
    )
    loaded = load(write(tmp_path, text))
    job = loaded.spec.work.jobs[-1]
    assert isinstance(job, PythonJob)
    assert (job.args, [file.alias for file in job.files]) == (("--log",), ["style.txt"])
    assert job.script.sha256 in loaded.sources


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{name: a, command: plot}", "two jobs are called 'a', here and"),
        ("{command: plot, file: plot.py}", "finally has no key 'file' in a batch of command; it may have"),
        ("{command: plot, cpus: 1}", "finally has no key 'cpus'"),
        ("{name: plot}", "finally needs the key 'command'; write command:"),
        ("[{command: plot}, {command: table}]", "finally takes one job, not a list"),
        ("plot", "finally takes keys with values, not 'plot'"),
        ("{command: plot, required_files: [missing.txt]}", "missing.txt"),
        ("{command: plot, required_files: [{path: a.txt, alias: results}]}", "./input/results is where"),
        ("{command: plot, signal_before: {signal: USR1, seconds: 5}}", "the job 'finally' has no timeout"),
        ("{name: a/b, command: plot}", "'a/b' can't be a name"),
    ],
)
def test_what_can_not_run_last_is_refused(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    found = problems(tmp_path, f"{TWO}finally: {written}")
    assert said in found
    assert "distribute-jobs.yaml:3" in found


def test_a_name_that_the_sweep_gives_is_taken(tmp_path: Path) -> None:
    text = META + (
        'sweep: {grid: {re: [1, 2]}}\ncommand: {job: {command: "x {re}"}}\n'
        "finally: {name: re2, command: plot}"
    )
    assert "re2" in problems(tmp_path, text)


def test_an_input_of_the_batch_does_not_hide_the_results(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a")
    batch = "command: {initialize: {required_files: [results]}, jobs: [{name: a, command: x}]}\n"
    assert "./input/results is where" in problems(tmp_path, META + batch + "finally: {command: plot}")


@pytest.mark.parametrize("written", ["results", "results/", '"res*"', "{git: results}"])
def test_no_input_of_it_hides_the_results(tmp_path: Path, written: str) -> None:
    repository(tmp_path / "results")
    text = TWO + f"finally: {{command: plot, required_files: [{written}]}}"
    assert "./input/results is where" in problems(tmp_path, text)

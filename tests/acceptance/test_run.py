"""`distribute run`: batches on this computer, without a cluster."""

from __future__ import annotations

import json
import shutil

import psutil
import pytest
import yaml

from acceptance.person import PATIENCE_S, Person
from acceptance.run_kit import LOOP, is_gone, results, tree, with_one_node
from container_kit import build_image, definition, need_apptainer


@pytest.mark.parametrize("kind", ["python", "command"])
def test_a_template_runs_as_it_is(jane: Person, kind: str) -> None:
    jane.runs("template", kind)
    said = jane.runs("run")
    assert "completed: 2 of 2 jobs succeeded" in said.stdout
    written = jane.home / "distribute-run" / f"pendulum-{kind}"
    text = "\n".join(path.read_text() for path in (written / "angle150").iterdir())
    assert "released at 150 degrees, it is back after" in text
    assert (written / "angle030" / "motion.csv").read_text().startswith("time_s,degrees\n0.000,30.0000\n")
    assert is_gone(jane)


def test_a_sweep_runs_with_a_file_of_each_job_and_one_that_is_made_for_it(jane: Person) -> None:
    (jane.home / "cases").mkdir()
    for name in ("a", "b"):
        (jane.home / "cases" / f"{name}.dat").write_text(name)
    (jane.home / "case.in.j2").write_text("re = {{ re * 2 }}\n")
    (jane.home / "distribute-jobs.yaml").write_text(
        "meta: {namespace: jane, batch_name: swept, resources: {cpus: 1}}\n"
        'sweep: {each: "cases/*.dat", grid: {re: [1, 2]}, name: "{stem}{re}"}\n'
        "command: {job: {command: 'cat {file} input/case.in', required_files: [{template: case.in.j2}]}}\n"
    )
    assert "completed: 4 of 4 jobs succeeded" in jane.runs("run").stdout
    written = jane.home / "distribute-run" / "swept"
    printed = {path.parent.name: path.read_text() for path in written.glob("*/stdout.txt")}
    assert printed == {"a1": "are = 2\n", "a2": "are = 4\n", "b1": "bre = 2\n", "b2": "bre = 4\n"}
    jane.runs("run", "--job", "b1", "--save-dir", "one")
    assert (jane.home / "one" / "swept" / "b1" / "stdout.txt").read_text() == "bre = 2\n"


def test_a_sweep_runs_with_a_folder_of_each_job_and_globs_that_meet(jane: Person) -> None:
    """Each case has its own needs, as OpenFOAM's would."""
    for name in ("pipe", "bend"):
        for file in ("system/controlDict", "0/U", "0/p", "log.old"):
            path = jane.home / "cases" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {path.name}\n")
    (jane.home / "distribute-jobs.yaml").write_text(
        "meta: {namespace: jane, batch_name: cases}\n"
        'sweep: {each: "cases/*"}\n'
        "command:\n"
        "  job:\n"
        "    command: 'cat {file}/0/U && ls -A {file} input/fields/*/0'\n"
        '    resources: {cpus: "{number}"}\n'
        '    timeout: "{number}h"\n'
        "    required_files:\n"
        '      - {path: "cases/*/0/U", alias: fields, exclude: ["log.*"]}\n'
        '      - {path: "cases/*/0/p", alias: fields}\n'
    )
    jane.runs("run", "--job", "bend")
    written = jane.home / "distribute-run" / "cases" / "bend" / "stdout.txt"
    assert written.read_text() == (
        "bend U\ninput/bend:\n0\nlog.old\nsystem\n\n"
        "input/fields/bend/0:\nU\np\n\ninput/fields/pipe/0:\nU\np\n"
    )


def test_the_template_of_containers_runs_as_it_is(jane: Person) -> None:
    """But for the image that its own image is made from: this one comes from no network."""
    need_apptainer()
    jane.runs("template", "apptainer")
    own = (jane.home / "pendulum.def").read_text().partition("From: alpine:3.22\n")[2]
    shutil.move(build_image(jane.home, definition(own, programs=("sh", "awk"))), jane.home / "pendulum.sif")
    said = jane.runs("run")
    assert "completed: 2 of 2 jobs succeeded" in said.stdout
    assert (
        "is back after 3.535 s"
        in (jane.home / "distribute-run/pendulum-apptainer/angle150/stdout.txt").read_text()
    )


ODD = (
    "echo printed; cd distribute_save; echo run > x.sh; chmod 750 x.sh; ln -s x.sh link; mkdir -p empty a/b;"
    " head -c 9000000 /dev/zero > large; echo deep > a/b/deep; touch -d 2020-02-02 x.sh; cat ../input/data"
)


def test_results_are_those_of_a_cluster_byte_for_byte(jane: Person) -> None:
    (jane.home / "data").write_text("of the batch\n")
    (jane.home / "own").write_text("of the job\n")
    jobs = [
        {"name": "odd", "command": ODD},
        {"name": "own", "command": "cat input/*; cp made distribute_save", "required_files": ["own"]},
        {"name": "fails", "command": "echo half > distribute_save/half; echo wrong >&2; exit 3"},
        {"name": "slow", "command": f"echo begun; {LOOP}", "timeout": "3s", "grace": "0s"},
        {"name": "silent", "command": "true"},
        {"name": "again", "command": "echo $DISTRIBUTE_ATTEMPT >> distribute_save/$DISTRIBUTE_ATTEMPT;"
         " [ $DISTRIBUTE_ATTEMPT = 2 ]", "retries": 1},
    ]  # fmt: skip
    meta = {"namespace": "jane", "batch_name": "mix", "resources": {"cpus": 1}}
    initialize = {"required_files": ["data"], "build": "echo building; tr a-z A-Z < input/data > made"}
    batch = {"meta": meta, "command": {"initialize": initialize, "jobs": jobs}}
    (jane.home / "b.yaml").write_text(yaml.safe_dump(batch))
    jane.runs("template", "python")
    (jane.home / "show.py").write_text("import sys; print(sys.argv, open('initial_files/data').read())")
    (jane.home / "p.yaml").write_text(
        "meta: {namespace: jane, batch_name: plain}\n"
        "python:\n  initialize: {required_files: [data]}\n"
        "  jobs: [{name: re1, file: show.py, args: [--re, 1.10, ~/x, '']}, {name: cores, file: show.py}]\n"
    )
    batches = (("b.yaml", "mix", 1), ("distribute-jobs.yaml", "pendulum-python", 0), ("p.yaml", "plain", 0))
    for file, _, code in batches:
        jane.runs("run", file, "--save-dir", "here", code=code)
    jane.runs("up", "--nodes", "1", "--detach")
    for file, _, code in batches:
        jane.runs("add", file, "--wait", code=code)
        jane.runs("pull", file, "--save-dir", "there")
    jane.runs("down")
    for _, name, _ in batches:
        here, there = (with_one_node(tree(jane.home / side / name)) for side in ("here", "there"))
        assert here == there
    plain = jane.home / "here" / "plain"
    assert (plain / "re1/stdout.txt").read_text() == "['job.py', '--re', '1.10', '~/x', ''] of the batch\n\n"
    assert (plain / "cores/stdout.txt").read_text().startswith("['job.py', '")
    here = tree(jane.home / "here" / "mix")
    assert {"odd/empty", "odd/link", "again/2", "fails/half", "slow/stdout.txt"} <= here.keys()
    for name in ("odd/x.sh", "odd/large"):
        assert {(jane.home / side / "mix" / name).stat().st_nlink for side in ("here", "there")} == {1}
    assert (jane.home / "here/mix/odd/x.sh").stat().st_mtime_ns == (
        (jane.home / "there/mix/odd/x.sh").stat().st_mtime_ns
    )


@pytest.mark.skipif(psutil.cpu_count(logical=False) == 1, reason="two jobs need a core each")
def test_jobs_that_fit_beside_one_another_run_together(jane: Person) -> None:
    """Each waits for the other."""
    meet = "touch {home}/{me}; while [ ! -e {home}/{other} ]; do sleep 0.05; done; taskset -cp $$"
    jobs = {
        me: meet.format(home=jane.home, me=me, other=other) for me, other in (("one", "two"), ("two", "one"))
    }
    jane.runs("run", jane.writes("b", jobs, timeout="100s"))
    cores = {(results(jane) / name / "stdout.txt").read_text().rpartition(": ")[2] for name in jobs}
    assert len(cores) == 2, "each is pinned to its own core"


def test_failures_are_told_with_their_last_lines_and_retries(jane: Person) -> None:
    jobs = {"good": "true", "bad": "echo why it failed; exit 7", "silent": "kill -9 $$"}
    said = jane.runs("run", jane.writes("b", jobs, retries=1), code=1)
    assert said.stderr.startswith("running 3 jobs of jane/b on this computer\n")
    assert "bad failed" in said.stderr
    assert "(exit 7); it runs again (attempt 2)\n    why it failed\n" in said.stderr
    assert "good succeeded after" in said.stderr
    assert "what bad printed: distribute-run/b/bad/stdout.txt" in said.stderr
    assert "what silent printed" not in said.stderr, "it has no file"
    assert said.stdout.startswith("jane/b failed: 2 of 3 jobs failed: first bad (exit 7 on ")


def test_a_build_that_fails_is_told(jane: Person) -> None:
    jane.writes("b", {"a": "true", "c": "true"})
    batch = json.loads((jane.home / "b.yaml").read_text())
    batch["command"]["initialize"] = {"build": "echo no compiler; exit 2"}
    (jane.home / "b.yaml").write_text(json.dumps(batch))
    said = jane.runs("run", "b.yaml", code=1)
    assert "the build failed: " in said.stderr
    assert "    no compiler\n" in said.stderr
    (printed,) = (results(jane)).glob("b_build_output-*.txt")
    assert printed.read_text() == "no compiler\n"
    assert f"what the build printed: distribute-run/b/{printed.name}\n" in said.stderr
    assert "what a printed" not in said.stderr


def test_the_output_of_the_only_job_comes_as_it_is_printed(jane: Person) -> None:
    go = jane.home / "go"
    jane.writes(
        "b", {"a": f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; printf last", "c": "false"}
    )
    process = jane.starts("run", "b.yaml", "--job", "a")
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    go.touch()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "lastjane/b completed: 1 of 1 job succeeded\n")
    assert "results: 1 file (10B) in distribute-run/b\n" in err


def test_a_job_that_is_not_there_is_refused_with_the_one_that_was_meant(jane: Person) -> None:
    said = jane.runs("run", jane.writes("b", {"re100": "true", "re400": "true"}), "--job", "re10", code=4)
    assert said.stderr == (
        "distribute: jane/b has no job 're10'; did you mean 're100'? its jobs are re100, re400\n"
    )


def test_programs_get_one_document(jane: Person) -> None:
    found = jane.asks("run", jane.writes("b", {"a": "echo left > distribute_save/u", "c": "true"}))
    assert (found["state"], found["jobs"]["succeeded"], found["files"]) == ("completed", 2, 2)
    assert {job["job"]: job["state"] for job in found["job_list"]} == {"a": "succeeded", "c": "succeeded"}
    assert (found["folder"], found["problems"], found["left_out"]) == ("distribute-run/b", [], [])
    quiet = jane.runs("run", "b.yaml", "--clean-save", "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_a_batch_that_asks_for_more_than_there_is_is_refused_by_name(jane: Person) -> None:
    (jane.home / "image.sif").write_text("not looked at")
    meta = {"namespace": "jane", "batch_name": "b", "capabilities": ["openfoam"]}
    meta["resources"] = {"cpus": 5000, "memory": "900T", "gpus": 99}
    work = {"initialize": {"sif": "image.sif"}, "jobs": [{"name": "a"}, {"name": "c"}]}
    (jane.home / "b.yaml").write_text(json.dumps({"meta": meta, "apptainer": work}))
    (jane.home / "bin").mkdir()
    for program in ("rm", "chmod", "cat"):
        (jane.home / "bin" / program).symlink_to(shutil.which(program) or "")
    jane.sets(PATH=str(jane.home / "bin"))
    said = jane.runs("run", "b.yaml", code=4)
    for words in (
        "which this computer lacks apptainer: it is not installed",
        "this computer lacks openfoam, which `capabilities` asks for; if it has that, say so: --capability",
        "a and 1 more job ask for 5000 cpus, and this computer has",
        "a and 1 more job ask for 900T of memory, and this computer has",
        "a and 1 more job ask for 99 GPUs, and this computer has",
    ):
        assert words in said.stderr
    assert "running" not in said.stderr, "nothing began"
    assert not (results(jane)).exists()
    assert is_gone(jane)


def test_a_capability_that_a_person_knows_of_counts(jane: Person) -> None:
    file = jane.writes("b", {"a": "true"}, capabilities=["openfoam"])
    jane.runs("run", file, code=4)
    jane.runs("run", file, "--capability", "openfoam")

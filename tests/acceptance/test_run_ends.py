"""However `distribute run` is ended, nothing of it goes on, and nothing that jobs left is lost."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from acceptance.person import PATIENCE_S, Person, runs, until
from acceptance.run_kit import LOOP, begun, is_gone, left_of_runs, pid_in, processes_of, results

KIND = "trap 'echo cleaned > distribute_save/end; exit 1' TERM; echo $$ > {home}/kind; " + LOOP
STUBBORN = "trap '' TERM; echo half > distribute_save/half; echo $$ > {home}/stubborn; " + LOOP


def writes_jobs_that_stay(jane: Person) -> None:
    if psutil.cpu_count(logical=False) == 1:
        pytest.skip("two jobs need a core each")
    jobs = {name: text.format(home=jane.home) for name, text in (("kind", KIND), ("stubborn", STUBBORN))}
    file = jane.home / jane.writes("b", jobs | {"waits": "true"}, grace="1s")
    batch = json.loads(file.read_text())
    batch["command"]["jobs"][0]["grace"] = "1m"  # a busy computer gives `kind` its turn within that
    file.write_text(json.dumps(batch))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_ends_its_jobs_and_keeps_what_they_left(
    jane: Person, number: signal.Signals
) -> None:
    writes_jobs_that_stay(jane)
    process = begun(jane, "kind", "stubborn")
    jobs = [pid_in(jane.home / name) for name in ("kind", "stubborn")]
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    if number is not signal.SIGHUP:
        assert "jane/b killed by" in out
        assert "kind was killed after" in err
    assert not any(map(runs, jobs))
    assert is_gone(jane)
    assert (results(jane) / "kind/end").read_text() == "cleaned\n"
    assert (results(jane) / "stubborn/half").read_text() == "half\n"


def test_a_second_ctrl_c_ends_the_jobs_at_once(jane: Person) -> None:
    jane.writes("b", {"stubborn": STUBBORN.format(home=jane.home)}, grace="10m")
    process = begun(jane, "stubborn")
    job = pid_in(jane.home / "stubborn")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "once more ends them at once" not in (line := process.stderr.readline()):
        assert line, "it has ended"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGINT
    assert not runs(job)
    assert is_gone(jane)


def test_killed_by_sigkill_it_leaves_no_job_and_no_folder(jane: Person) -> None:
    jane.writes("b", {"stubborn": STUBBORN.format(home=jane.home)}, grace="10m")
    process = begun(jane, "stubborn")
    job = pid_in(jane.home / "stubborn")
    process.kill()
    until(lambda: not runs(job) and is_gone(jane))


def test_the_jobs_end_also_if_the_program_that_runs_them_is_killed(jane: Person) -> None:
    """The next run removes the folder that it left."""
    jane.writes("b", {"stubborn": STUBBORN.format(home=jane.home)}, grace="1s")
    process = begun(jane, "stubborn")
    job = pid_in(jane.home / "stubborn")
    (program,) = (child for child in psutil.Process(process.pid).children())
    program.kill()
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "the program that runs the jobs ended by itself (SIGKILL)" in err
    until(lambda: not runs(job) and not processes_of(jane.home))
    assert len(left_of_runs(jane)) == 1
    jane.runs("run", jane.writes("next", {"a": "true"}))
    assert is_gone(jane)


def test_whoever_stops_reading_ends_the_run(jane: Person) -> None:
    jane.writes("b", {"a": f"echo $$ > {jane.home}/pid; while :; do echo more; sleep 0.05; done"})
    reading, writing = os.pipe()
    process = jane.starts("run", "b.yaml", stdout=writing)
    os.close(writing)
    job = pid_in(jane.home / "pid")
    os.close(reading)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGPIPE
    assert not runs(job)
    assert is_gone(jane)

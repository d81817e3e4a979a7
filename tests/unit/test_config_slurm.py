"""The section `slurm`: options of sbatch, with those that we don't know."""

from __future__ import annotations

from pathlib import Path

import pytest

from config_kit import META, write
from distribute.config.loading import LoadedBatch, load
from distribute.config.sections import slurm_section
from distribute.config.sections.slurm_section import Slurm
from distribute.core.errors import InputError

NO_OPTION = "is not an option of sbatch, and is left out; write a long option without '--', such as qos"


def loaded(folder: Path, top: str, of_job: str = "{}") -> LoadedBatch:
    """A batch with two jobs that have the section `of_job`."""
    jobs = "".join(f"    - {{name: {name}, command: x, slurm: {of_job}}}\n" for name in "ab")
    return load(write(folder, f"{META}command:\n  jobs:\n{jobs}slurm: {top}\n"))


def of_batch(batch: LoadedBatch) -> Slurm:
    assert batch.file.slurm is not None
    return batch.file.slurm


@pytest.mark.parametrize(
    ("written", "passed_on"),
    [
        ("{qos: long, gres: 'gpu:2', mem: 1G}", {"qos": "long", "gres": "gpu:2", "mem": "1G"}),
        ("{gpus-per-node: 2, mem: 010}", {"gpus_per_node": "2", "mem": "010"}),
        ("{exclude: [n1, n2], nodelist: []}", {"exclude": "n1,n2", "nodelist": ""}),
        ("{comment: '  two words '}", {"comment": "two words"}),
        ('{comment: "one line\\n"}', {"comment": "one line"}),
        ("{exclusive: , requeue: true, hold: yes, nice: ~, contiguous: ''}", dict.fromkeys(
            ("exclusive", "requeue", "hold", "nice", "contiguous"), "")),
        ("{exclusive: user, nice: 100}", {"exclusive": "user", "nice": "100"}),
        ("{exclusive: no, requeue: false, qos: , gres: null}", {}),
        ("{kill_on_invalid_dep: yes}", {"kill_on_invalid_dep": "yes"}),
    ],
)  # fmt: skip
def test_options_that_we_do_not_know_are_passed_on(
    tmp_path: Path, written: str, passed_on: dict[str, str]
) -> None:
    batch = loaded(tmp_path, written, written)
    assert of_batch(batch).model_extra == passed_on
    assert [slurm and slurm.model_extra for slurm in batch.slurm_of_jobs] == [passed_on] * 2
    assert batch.warnings == ()


def test_an_option_may_have_the_hyphens_of_sbatch(tmp_path: Path) -> None:
    section = of_batch(loaded(tmp_path, "{cpus-per-task: 3, mail-type: END, ntasks: 1}"))
    assert (section.cpus_per_task, section.mail_type, section.ntasks, section.model_extra) == (
        3,
        "END",
        1,
        {},
    )


def test_the_name_with_underscores_counts_where_both_are_there(tmp_path: Path) -> None:
    section = of_batch(loaded(tmp_path, "{cpus-per-task: 3, cpus_per_task: 4, mem-per-cpu: 1M}"))
    assert (section.cpus_per_task, section.mem_per_cpu) == (4, "1M")


@pytest.mark.parametrize(
    ("written", "key", "value", "told"),
    [
        ("{qoss: long}", "qoss", "long", "did you mean 'qos'?"),
        ("{cpu_per_task: 4}", "cpu_per_task", "4", "did you mean 'cpus_per_task'?"),
        ("{QOS: long}", "QOS", "long", "did you mean 'qos'?"),
        ("{walltime: 1}", "walltime", "1", "did you mean 'time'?"),
        ("{frobnicate: 1}", "frobnicate", "1", "SLURM's sbatch has no such option"),
    ],
)
def test_an_option_that_looks_misspelt_is_passed_on_with_a_warning(
    tmp_path: Path, written: str, key: str, value: str, told: str
) -> None:
    batch = loaded(tmp_path, written)
    assert of_batch(batch).model_extra == {key: value}
    assert batch.warnings == (
        f"{tmp_path / 'distribute-jobs.yaml'}:6:9: slurm: '{key}' is passed on to sbatch as it is; {told}",
    )


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            "{gres: {gpu: 2}}",
            "'gres' takes one text, not a mapping, and is left out; write gres: 'TEXT'",
        ),
        ("{exclude: [[n1]]}", "'exclude' takes one text, not a list, and is left out; write exclude: 'TEXT'"),
        ("{--qos: long}", f"'--qos' {NO_OPTION}"),
        ('{"a b; touch x": 1}', f"'a b; touch x' {NO_OPTION}"),
    ],
)
def test_what_can_not_be_passed_on_is_left_out_with_a_warning(
    tmp_path: Path, written: str, told: str
) -> None:
    batch = loaded(tmp_path, written)
    assert of_batch(batch).model_extra == {}
    assert batch.warnings == (f"{tmp_path / 'distribute-jobs.yaml'}:6:9: slurm: {told}",)


def test_a_warning_is_told_once_however_many_jobs_it_concerns(tmp_path: Path) -> None:
    batch = loaded(tmp_path, "{qoss: long}", "{qoss: long, constrain: x, exclusive: }")
    assert [warning.partition("yaml:")[2] for warning in batch.warnings] == [
        "4:49: slurm: 'constrain' is passed on to sbatch as it is; did you mean 'constraint'?",
        "6:9: slurm: 'qoss' is passed on to sbatch as it is; did you mean 'qos'?",
    ]


def test_an_option_that_a_misspelt_one_resembles_is_looked_for_only_if_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes half a millisecond."""
    looked_for: list[str] = []
    monkeypatch.setattr(slurm_section, "nearest", lambda word, known: looked_for.append(word))
    warnings = loaded(tmp_path, "{" + ", ".join(f"x{number}: 1" for number in range(100)) + "}").warnings
    assert len(looked_for) == len(warnings) - 1 == 20


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            '{partition: "a\\nb"}',
            "partition: 'a\\nb' has more than one line; write the option on one line",
        ),
        ('{qos: "a\\u2028b"}', "qos: 'a\\u2028b' has more than one line; write the option on one line"),
        ('{qos: "a\\0b"}', "qos: 'a\\x00b' contains a NUL, which can't be passed to a program; remove it"),
        ("{nodes: two}", "nodes takes a whole number, not 'two'; write nodes: 1"),
        ("[qos]", "slurm takes keys with values, not a list; write slurm: {partition: long}"),
    ],
)
def test_what_could_break_a_script_is_refused(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, written)
    assert [problem.split(": ", 1)[1] for problem in caught.value.problems] == [told]

"""The JSON Schemas and the loader agree: a schema is never stricter, and looser only where it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import distribute_cli
from config_kit import META, job
from distribute.config.sections.jobs_file import ApptainerInitialize, Meta
from distribute.config.sections.section import Section
from documents_kit import FILES, kinds, metas
from editor_kit import assert_valid, marked, refused, validator

CLI = Path(distribute_cli.__file__).parent
DATA = Path(__file__).parent / "data"
WHOLE_FILES = sorted([*CLI.glob("templates/*.yaml"), *CLI.glob("example/*.yaml"), *DATA.glob("*.yaml")])


@pytest.fixture(autouse=True, scope="module")
def _in_a_folder_with_files(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ["mesh.dat", *FILES]:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).touch()
        Path("filled.dat").write_text("filled")
        yield


@pytest.mark.parametrize("path", WHOLE_FILES, ids=lambda path: path.name)
def test_files_that_we_ship_are_valid(path: Path) -> None:
    text = path.read_text()
    assert (problems_of_keys(text), marked(text)) == ([], [])


VALUES = [
    "timeout: 90",
    "timeout: 1.5",
    "timeout: '90'",
    "timeout: 1h30m10s",
    "timeout: 1h 30m",
    "timeout: ' 2d '",
    "timeout: 0.5h",
    "timeout: ",
    "timeout: ~",
    "grace: 0",
    "grace: 0s",
    "grace: '0'",
    "retries: 0",
    "retries: '3'",
    "retries: 1.0",
    "retries: 010",
    "retries: +5",
    "retries: 1_0",
    "retries: ",
    "resources: ",
    "resources: {}",
    "resources: {memory: 8G}",
    "resources: {memory: 8 gib}",
    "resources: {memory: 1.5T}",
    "resources: {memory: 1024}",
    "resources: {memory: 0}",
    "resources: {memory: , gpus: }",
    "resources: {gpus: '1'}",
    "resources: {gpus: {}}",
    "resources: {gpus: {count: 2, memory: 20G, model: 'RTX.*|(?i)a100'}}",
    "resources: {gpus: {model: 4090}}",
    "timeout: 9, signal_before: {signal: usr1, seconds: 1}",
    "timeout: 9, signal_before: {signal: SigTerm, seconds: 1s}",
    "required_files: ",
    "required_files: []",
    "required_files: [mesh.dat]",
    "required_files: [{path: mesh.dat}]",
    "required_files: [{path: mesh.dat, alias: }]",
    "required_files: [{path: mesh.dat, alias: 010}]",
    "required_files: [{path: mesh.dat, alias: no}]",
    "env: ",
    "env: {A: 1, b_2: yes, C: 1e3, _: '', D: 2026-11-27, E: 12:30:00}",
    "slurm: ",
    "slurm: {time: 01:30:00, ntasks: '4', mail_user: }",
    "slurm: {qos: long, exclusive: , no-kill: true, gres: [gpu:1, x], odd: {a: b}, cpus-per-task: 2}",
]


@pytest.mark.parametrize("keys", VALUES)
def test_every_form_of_a_value_is_valid(keys: str) -> None:
    assert_valid(job(keys))


NAMES = ["1.10", "010", "no", "1e3", "'~'", "0x1F", "12:30:00", "2026-11-27", "...", "a b", "日本"]
NAMES += ['"a\\n"', '".\\n"', "'*'", '"a\\tb"', "n" * 255]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_a_folder_can_have_is_valid(name: str) -> None:
    meta = f"meta: {{namespace: {name}, batch_name: {name}}}\n"
    text = f"{meta}command: {{jobs: [{{name: {name}, command: {name}}}]}}"
    assert_valid(text)


OF_BATCHES = [
    "matrix: ",
    'matrix: "@j:localhost:8448"',
    'matrix: "@j:[::1]:8448"',
    "capabilities: ",
    "capabilities: [gpu, 3.12, yes]",
    "priority: -100",
    "priority: ",
    "setup: module load gcc",
    "setup: [module load gcc, ulimit -s unlimited]",
    "setup: ''",
    "setup: []",
    "setup: ",
    "shell: zsh",
    "shell: /bin/bash -eo pipefail",
    "shell: \"'/opt/a b/zsh' -l\"",
    "rebuild: always",
    "rebuild: ",
    "build_timeout: 20m",
]


@pytest.mark.parametrize("keys", OF_BATCHES)
def test_every_form_of_a_value_of_a_batch_is_valid(keys: str) -> None:
    text = META.replace("}", f", {keys}}}") + "command: {jobs: [{name: a, command: [x, 1, true, 1.5]}]}"
    assert_valid(text)


ONE_JOB = "command: {jobs: [{name: a, command: x}]}"


def test_a_kind_without_a_value_may_stand_beside_the_batchs_own() -> None:
    text = f"{META}{ONE_JOB}\npython:\napptainer: ~\n"
    assert_valid(text)


WRONG = [
    "",
    "[]",
    "text",
    META,
    ONE_JOB,
    f"meta: {{namespace: n}}\n{ONE_JOB}",
    f"meta: {{namespace: n, batch_name: }}\n{ONE_JOB}",
    f"meta: {{namespace: a/b, batch_name: b}}\n{ONE_JOB}",
    f"meta: {{namespace: '', batch_name: b}}\n{ONE_JOB}",
    f"meta: {{namespace: ., batch_name: ..}}\n{ONE_JOB}",
    f"meta: {{namespace: [n], batch_name: b}}\n{ONE_JOB}",
    f"meta: {{namespace: {'n' * 256}, batch_name: b}}\n{ONE_JOB}",
    f"meta:\n{ONE_JOB}",
    f"{META}{ONE_JOB}\npython: {{initialize: {{build_file: run.py}}, jobs: [{{name: a, file: run.py}}]}}",
    f"{META}command:",
    f"{META}command: {{}}",
    f"{META}command: {{jobs: }}",
    f"{META}command: {{jobs: []}}",
    f"{META}command: {{jobs: [{{name: a}}]}}",
    f"{META}command: {{jobs: [{{command: x}}]}}",
    f"{META}command: {{jobs: [{{name: a, command: }}]}}",
    f"{META}command: {{jobs: [{{name: a, command: ''}}]}}",
    f"{META}command: {{jobs: [{{name: a, command: []}}]}}",
    f"{META}command: {{jobs: [{{name: a, command: [x, [y]]}}]}}",
    f"{META}command: {{jobs: [{{name: a, command: [x, ]}}, ~]}}",
    f"{META}command: {{jobs: [{{name: a, command: {{x: y}}}}]}}",
    f"{META}command: {{jobs: {{name: a, command: x}}}}",
    f"{META}command: {{initialize: {{build: ''}}, jobs: [{{name: a, command: x}}]}}",
    f"{META}command: {{initialize: {{build: [make]}}, jobs: [{{name: a, command: x}}]}}",
    f"{META}command: {{initialise: {{}}, jobs: [{{name: a, command: x}}]}}",
    f"{META}python: {{initialize: {{build_file: []}}, jobs: [{{name: a, file: run.py}}]}}",
    f"{META}python: {{initialize: [], jobs: [{{name: a, file: run.py}}]}}",
    f"{META}python: {{jobs: [{{name: a, file: run.py, args: --re}}]}}",
    f"{META}python: {{jobs: [{{name: a, file: run.py, args: {{re: 1}}}}]}}",
    f"{META}python: {{jobs: [{{name: a, file: run.py, args: [[--re]]}}]}}",
    f"{META}python: {{jobs: [{{name: a, file: run.py, args: [~]}}]}}",
    f"{META}python: {{initialize: {{build_file: build.py}}, jobs: [{{name: a}}]}}",
    f"{META}python: {{initialize: {{build_file: build.py}}, jobs: [{{name: a, file: {{alias: x}}}}]}}",
    f"{META}apptainer: {{jobs: [{{name: a}}]}}",
    f"{META}apptainer: {{initialize: {{sif: [solver.sif]}}, jobs: [{{name: a}}]}}",
    f"{META}singularity: {{initialize: {{sif: solver.sif}}, jobs: [{{name: a}}]}}",
    f"{META}{ONE_JOB}\nslurm: 3",
    f"{META}{ONE_JOB}\nslurm: {{nodes: 0}}",
    f"{META}{ONE_JOB}\nslurm: {{ntasks: many}}",
    f"{META}{ONE_JOB}\nname: x",
    *(
        META.replace("}", f", {keys}}}") + ONE_JOB
        for keys in (
            'matrix: "jane:lab.org"',
            "matrix: [x]",
            "capabilities: gpu",
            "capabilities: ['']",
            "capabilities: [~]",
            f"capabilities: [{'c' * 257}]",
            f"capabilities: [{', '.join(f'c{number}' for number in range(1001))}]",
            "priority: 101",
            "priority: -101",
            "priority: high",
            "priority: 1.5",
            "priority: true",
            "setup: ['']",
            "setup: [~]",
            "setup: {module: gcc}",
            "shell: fish",
            "shell: ''",
            "shell: [bash]",
            "rebuild: yes",
            "rebuild: never",
            "name_space: n",
        )
    ),
    *(
        job(keys)
        for keys in (
            "timeout: 2 hors",
            "timeout: 0",
            "timeout: 0s",
            "timeout: -5",
            "timeout: ''",
            "timeout: true",
            "timeout: [1h]",
            "timeout: 10000000001",
            "grace: soon",
            "grace: 601",
            "grace: -1",
            "retries: 101",
            "retries: -1",
            "retries: 1.5",
            "retries: many",
            "retries: ''",
            "resources: 4",
            "resources: [4]",
            "resources: {cpus: 0}",
            "resources: {cpus: 65537}",
            "resources: {cpu: 4}",
            "resources: {memory: 8 gigs}",
            "resources: {memory: -1}",
            f"resources: {{memory: {2**64}}}",
            "resources: {gpus: many}",
            "resources: {gpus: -1}",
            "resources: {gpus: 1025}",
            "resources: {gpus: [1]}",
            "resources: {gpus: {number: 1}}",
            "resources: {gpus: {count: -1}}",
            "resources: {gpus: {model: [a]}}",
            f"resources: {{gpus: {{model: {'a' * 129}}}}}",
            "timeout: 9, signal_before: USR1",
            "timeout: 9, signal_before: {signal: USR1}",
            "timeout: 9, signal_before: {seconds: 1}",
            "timeout: 9, signal_before: {signal: KILL, seconds: 1}",
            "timeout: 9, signal_before: {signal: 10, seconds: 1}",
            "timeout: 9, signal_before: {signal: USR1, seconds: 0}",
            "required_files: mesh.dat",
            "required_files: [[mesh.dat]]",
            "required_files: [~]",
            "required_files: ['']",
            "required_files: [{alias: a}]",
            "required_files: [{path: mesh.dat, alias: a/b}]",
            "required_files: [{path: mesh.dat, alias: ''}]",
            "required_files: [{path: mesh.dat, name: a}]",
            "env: [A]",
            "env: {A: }",
            "env: {A: [x]}",
            "env: {1A: x}",
            "env: {A-B: x}",
            "env: {DISTRIBUTE_CPUS: 3}",
            f"env: {{{', '.join(f'A{number}: x' for number in range(1001))}}}",
            "requred_files: []",
            "requred_files: ",
        )
    ),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_with_a_key_is_found_by_both(text: str) -> None:
    assert refused(text)
    assert marked(text)


LOOSER = {
    "files that are not there": job("required_files: [missing.dat]"),
    "two jobs of one name": f"{META}command: {{jobs: [{{name: a, command: x}}, {{name: a, command: y}}]}}",
    "two files of one name": job("required_files: [mesh.dat, {path: filled.dat, alias: mesh.dat}]"),
    "a warning without a timeout": job("signal_before: {signal: USR1, seconds: 1}"),
    "a bound, if the value has a unit": job("grace: 1d, timeout: 999999999999d, resources: {memory: 9999P}"),
    "a bound, if the value is in quotes": job("retries: '101'"),
    "a number in a notation that is not ours": job("timeout: 5., retries: 1."),
    "a regular expression": job("resources: {gpus: {model: '(RTX'}}"),
    "bytes of a name": job("required_files: [{path: mesh.dat, alias: " + "日" * 90 + "}]"),
    "a NUL": job('env: {A: "\\0"}'),
    "a quote that nothing closes": META.replace("}", ', shell: "bash \'"}') + ONE_JOB,
}
"""What only the loader finds. A JSON Schema can't say it, or only so that nobody could read it."""


@pytest.mark.parametrize("text", LOOSER.values(), ids=LOOSER)
def test_what_a_schema_can_not_say_is_left_to_the_loader(text: str) -> None:
    assert refused(text)
    assert marked(text) == []


PIECES_OF_MOUNTS = ["/", ".", "..", "input", "distribute_save", "a", ":", ",", "\n", " "]
PIECES_OF_SHELLS = ["/", " ", "sh", "ba", "fi", "-l", '"', "'", "\\", "opt"]


# The `$` of Python also stands before a newline at the end, that of JavaScript does not.
@given(
    st.lists(st.sampled_from(PIECES_OF_MOUNTS), max_size=8).map("".join).map(lambda text: text.rstrip("\n"))
)
def test_a_schema_knows_which_mounts_are_possible(mount: str) -> None:
    valid = is_valid("ApptainerInitialize", {"sif": "a", "required_mounts": [mount]})
    assert valid == is_accepted(ApptainerInitialize, {"sif": "a", "required_mounts": [mount]})


@given(st.lists(st.sampled_from(PIECES_OF_SHELLS), max_size=8).map("".join))
def test_a_schema_knows_which_shells_are_possible(shell: str) -> None:
    """But for texts with quotes, which it does not judge."""
    has_quotes = any(quote in shell for quote in "\"'\\")
    meta = {"namespace": "n", "batch_name": "b", "shell": shell}
    assert is_valid("Meta", meta) == (has_quotes or is_accepted(Meta, meta))


def is_accepted(section: type[Section], value: object) -> bool:
    try:
        section.model_validate(value)
    except ValidationError:
        return False
    return True


def is_valid(section: str, value: object) -> bool:
    definitions = validator("jobs").schema["$defs"]
    return validator("jobs").evolve(schema=definitions[section] | {"$defs": definitions}).is_valid(value)


@given(metas, kinds, st.booleans())
@settings(max_examples=150)
def test_every_correct_batch_is_valid(
    meta: dict[str, Any], kind: tuple[str, dict[str, Any]], is_flow: bool
) -> None:
    text = yaml.safe_dump({"meta": meta, kind[0]: kind[1]}, default_flow_style=is_flow)
    assert_valid(text)


@given(st.sampled_from(WHOLE_FILES), st.data())
@settings(max_examples=200)
def test_whatever_the_loader_accepts_is_valid(path: Path, data: st.DataObject) -> None:
    """A value somewhere in a file becomes another."""
    document = yaml.safe_load(path.read_text())
    holder, key = data.draw(st.sampled_from(list(places(document))))
    holder[key] = data.draw(st.sampled_from(STRANGE))
    text = yaml.safe_dump(document)
    if not problems_of_keys(text):
        assert marked(text) == []


STRANGE: list[Any] = [None, 0, 1, -1, 1.5, True, [], ["x"], {}, {"path": "x"}]
STRANGE += ["", "x", "0", "5s", "8G", "a/b", ".", "/"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a value, as what holds it, and its key or index there."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def problems_of_keys(text: str) -> list[str]:
    """What the loader finds wrong, but for files that are not there."""
    return [problem for problem in refused(text) if ": there is no file " not in problem]

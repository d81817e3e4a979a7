"""Correct documents of every kind, made by hypothesis, and the files that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from distribute.config.sections.units import format_duration
from distribute.core.ids import check_name

FILES = [
    "build.py",
    "run.py",
    "solver.sif",
    "solver.c",
    "data/mesh.dat",
    "data/re100.json",
    "data/re400.json",
]


def _is_name(text: str) -> bool:
    try:
        check_name(text)
    except ValueError:
        return False
    return True


# YAML can hold all characters but surrogates. NUL can't be passed to a program.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
lines = texts.filter(lambda text: len(text.strip().splitlines()) < 2)
names = st.one_of(
    st.sampled_from(["no", "1e3", "1.10", "null", "~", "@a:b", "*", "a: b", "- x", "{x}", "#", "<<"]),
    texts.filter(_is_name),
)
gpu_kinds = st.fixed_dictionaries(
    {},
    optional={
        "count": st.integers(0, 2**10),
        "memory": st.integers(0, 2**63 - 1),
        "model": st.sampled_from(["RTX.*", "A100|H100", ""]),
    },
)
resources = st.fixed_dictionaries(
    {},
    optional={
        "cpus": st.integers(1, 2**16),
        "memory": st.integers(0, 2**63 - 1),
        "gpus": st.integers(0, 2**10) | gpu_kinds,
    },
)
graces = st.integers(0, 600) | st.sampled_from(["0s", "10m", 0.5]) | st.none()
timeouts = st.integers(1, 10**10).flatmap(lambda s: st.sampled_from([s, float(s), format_duration(s)]))
envs = st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), texts, max_size=3)
file_refs = st.one_of(
    st.sampled_from(FILES),
    st.fixed_dictionaries({"path": st.sampled_from(FILES)}, optional={"alias": names | st.none()}),
)
file_lists = st.lists(file_refs, max_size=3, unique_by=lambda ref: _name_of(ref))
overrides = {
    "resources": resources | st.none(),
    "timeout": timeouts | st.none(),
    "grace": graces,
    "retries": st.integers(0, 100) | st.none(),
    "env": envs,
    "slurm": st.fixed_dictionaries({}, optional={"time": lines, "ntasks": st.integers(1, 99), "qos": lines})
    | st.none(),
}


def _name_of(ref: Any) -> str:
    path, alias = (ref, None) if isinstance(ref, str) else (ref["path"], ref.get("alias"))
    return alias or Path(path).name


def _jobs(**required: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    entry = st.fixed_dictionaries(
        {"name": names, **required}, optional={"required_files": file_lists, **overrides}
    )
    return st.lists(entry, min_size=1, max_size=3, unique_by=lambda job: str(job["name"]))


metas = st.fixed_dictionaries(
    {"namespace": names, "batch_name": names},
    optional={
        "matrix": st.sampled_from(["@jane:lab.org", "@j:localhost:8448", None]),
        "capabilities": st.lists(texts.filter(bool), max_size=3),
        "priority": st.integers(-100, 100),
        "resources": resources | st.none(),
        "timeout": timeouts | st.none(),
        "grace": graces,
        "retries": st.integers(0, 100),
    },
)
commands = texts.filter(bool) | st.lists(texts, min_size=1, max_size=3)
builds = st.fixed_dictionaries({}, optional={"build": texts.filter(bool)})
kinds = st.one_of(
    st.fixed_dictionaries(
        {"jobs": _jobs(file=file_refs, args=st.lists(texts | st.integers(), max_size=3) | st.none())},
        optional={
            "env": envs,
            "initialize": st.fixed_dictionaries({}, optional={"build_file": file_refs | st.none()}),
        },
    ).map(lambda batch: ("python", batch)),
    st.fixed_dictionaries(
        {"jobs": _jobs(command=commands)},
        optional={
            "env": envs,
            "initialize": st.fixed_dictionaries({}, optional={"build": texts.filter(bool)}),
        },
    ).map(lambda batch: ("command", batch)),
    st.fixed_dictionaries(
        {
            "initialize": st.fixed_dictionaries(
                {"sif": file_refs}, optional={"required_mounts": st.just(["/solver/cases", "/b c"])}
            ),
            "jobs": _jobs(),
        },
        optional={"env": envs},
    ).map(lambda batch: ("apptainer", batch)),
)

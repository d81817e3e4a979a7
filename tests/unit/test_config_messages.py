"""Whatever stands where in a settings file or a file of jobs: a message is ours, and one can act on it.

`pytest -rP` prints them all, to be read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config_kit import META
from distribute.config.loading import load
from distribute.config.settings.settings import load_client_settings, load_node_settings, load_server_settings
from distribute.core.errors import InputError
from plain_words import assert_plain

SLURM = {
    "nodes": 1,
    "ntasks": 2,
    "cpus_per_task": 1,
    "mem_per_cpu": "10M",
    "time": "00:30:00",
    "job_name": "j",
}
NEEDS = {"resources": {"cpus": 1, "memory": "1G", "gpus": 0}, "timeout": "2h", "retries": 1}
FILES = ["a.dat", {"path": "a.dat", "alias": "b.dat"}]
HEAD = {
    "meta": {
        "namespace": "n",
        "batch_name": "b",
        "matrix": "@jane:lab.org",
        "capabilities": ["gpu"],
        "priority": 1,
        "setup": ["module load gcc"],
        "shell": "bash -l",
        **NEEDS,
    },
    "slurm": SLURM,
}
JOB = {"name": "j", "required_files": FILES, "env": {"A": "b"}, "slurm": SLURM, **NEEDS}
BATCHES: dict[str, dict[str, Any]] = {
    "python": {
        "initialize": {"build_file": "a.dat", "required_files": ["c.dat"]},
        "jobs": [{**JOB, "file": {"path": "a.dat"}}],
    },
    "command": {
        "initialize": {"build": "make", "required_files": ["c.dat"]},
        "env": {"A": "b"},
        "jobs": [{**JOB, "command": ["x", "y"]}, {"name": "k", "command": "x y"}],
    },
    "apptainer": {
        "initialize": {"sif": "a.dat", "required_mounts": ["/m"], "required_files": ["c.dat"]},
        "jobs": [JOB],
    },
}
SETTINGS: dict[str, tuple[Callable[[Path], object], dict[str, Any]]] = {
    "client.yaml": (load_client_settings, {"server": "nats://h:1", "creds": "a"}),
    "node.yaml": (
        load_node_settings,
        {
            "name": "w",
            "capabilities": ["gpu"],
            "cpus": 2,
            "memory": "1G",
            "gpus": 1,
            "work_dir": "/w",
            "nice": 3,
            "max_cache": "1G",
            "keep_free": "1G",
            "max_processes": 100,
            "build_copies": "bind",
            "pause_when_active": "15m",
            "lend": "18:00-08:00, sat, sun",
            "load_limit": 2,
            "vacate_after": "1h",
            "max_unseen": "1d",
            "superseded_keep": "7d",
            "env": {"A": "b"},
            "path": ["/opt/bin"],
        },
    ),
    "server.yaml": (
        load_server_settings,
        {
            "out_of_touch": "15s",
            "lost_after": "1m",
            "patience_growth": 0.1,
            "longest_patience": "30m",
            "inputs_keep": "7d",
        },
    ),
}
WRONG: list[Any] = [
    None, [], {}, [[]], [None], {"a": 1}, {"": None}, "", " ", "no", "-1", "1.5", "nan", "inf", "1e999",
    "9" * 30, "9" * 5000, "x" * 5000, "a/b", "..", "a\0b", "~nobody", "\ud800", "a\nb", ":", "é" * 200,
]  # fmt: skip


def places(value: Any, loc: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each place of a document, and one key more in each mapping."""
    yield loc
    if isinstance(value, dict):
        yield (*loc, "unknwon")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*loc, key))


def changed(value: Any, loc: tuple[Any, ...], new: Any) -> Any:
    """The document with `new` at a place."""
    if not loc:
        return new
    if isinstance(value, list):
        return [changed(item, loc[1:], new) if index == loc[0] else item for index, item in enumerate(value)]
    return {**value, loc[0]: changed(value.get(loc[0]), loc[1:], new)}


def check_all(right: dict[str, Any], read: Callable[[Path], object], path: Path) -> None:
    path.write_text(json.dumps(right))
    read(path)
    messages: set[str] = set()
    for loc in places(right):
        for wrong in WRONG:
            path.write_text(json.dumps(changed(right, loc, wrong)))
            try:
                read(path)
            except InputError as error:
                assert_plain(str(error))
                messages.update(line.partition(": ")[2] for line in str(error).splitlines())
    assert messages
    print("\n".join(sorted(messages)))


@pytest.mark.parametrize("kind", BATCHES)
def test_whatever_stands_in_a_file_of_jobs_the_message_is_plain(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.dat", "c.dat"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    check_all(HEAD | {kind: BATCHES[kind]}, load, Path("jobs.yaml"))


@pytest.mark.parametrize("name", SETTINGS)
def test_whatever_stands_in_a_settings_file_the_message_is_plain(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read, right = SETTINGS[name]
    check_all(right, read, Path(name))


def test_a_file_that_can_t_be_read_is_told_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("file").write_text(META)
    for name in ("none", "loop", "file/below", ".", "x" * 300, "\0", "/proc/self/mem"):
        with pytest.raises(InputError) as caught:
            load(Path(name))
        assert_plain(str(caught.value))

"""Places of values in a file whose nodes are not kept."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from distribute.config.yaml import yaml_source
from distribute.config.yaml.yaml_source import LOADERS, Document, Loader, Loc


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest) -> Any:
    return request.param


LONG = (
    "meta: &m {timeout: 1h, name: n}\njobs:\n"
    + "".join(f"- name: job{n}\n  env: {{SEED: '{n}'}}\n  slurm: {{<<: *m, time: 1}}\n" for n in range(500))
    + "<<: *m\nname: own\nslurm: {time: 2}\n"
)


@pytest.mark.parametrize("of_key", [False, True])
def test_places_around_a_long_list_are_found(
    loader: Loader, of_key: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are among its first items, among its last, before it or behind it."""
    small = Document(LONG, "f", loader)
    monkeypatch.setattr(yaml_source, "KEPT_CHARS", 0)
    monkeypatch.setattr(yaml_source, "LOOKED_AT", 10)
    large = Document(LONG, "f", loader)
    places: list[Loc] = [
        (),
        ("jobs",),
        ("meta", "timeout"),
        ("timeout",),
        ("name",),
        ("slurm", "time"),
        ("gone",),
    ]
    keys: list[Loc] = [
        (),
        ("name",),
        ("env", "SEED"),
        ("slurm", "time"),
        ("slurm", "timeout"),
        ("slurm", "x"),
    ]
    places += [("jobs", number, *loc) for number in (0, 9, 10, 499, 500) for loc in keys]
    assert [large.offset(loc, of_key=of_key) for loc in places] == [
        small.offset(loc, of_key=of_key) for loc in places
    ]


def test_to_find_a_place_in_the_first_of_many_jobs_takes_little_memory(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_source, "KEPT_CHARS", 0)
    monkeypatch.setattr(yaml_source, "LOOKED_AT", 10)
    document = Document(LONG, "f", loader)
    tracemalloc.start()
    try:
        document.offset(("jobs", 3, "slurm", "time"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(LONG)

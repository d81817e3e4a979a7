"""A jobs file that we write means what it was written from, also to other readers of YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from ruamel.yaml import YAML

from distribute.config.checking.check import check
from distribute.config.checking.input_files import InputFiles
from distribute.config.loading import load
from distribute.config.sections.jobs_file import JobsFile
from distribute.config.yaml.yaml_source import Document
from distribute.config.yaml_writer import yaml_of
from documents_kit import FILES, kinds, metas
from hypothesis_kit import FAIL_BY_CHANCE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("writer")
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def read(path: Path) -> JobsFile:
    return check(Document.read(path), InputFiles(path.parent))


@given(meta=metas, kind=kinds)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[*FAIL_BY_CHANCE, HealthCheck.function_scoped_fixture],
)
def test_what_is_written_is_read_as_the_same_batch(
    folder: Path, meta: dict[str, Any], kind: tuple[str, Any]
) -> None:
    first, second = folder / "first.yaml", folder / "second.yaml"
    first.write_text(yaml.safe_dump({"meta": meta, kind[0]: kind[1]}))
    text = yaml_of(read(first))
    second.write_text(text)
    batch, again = load(first), load(second)
    assert again.spec == batch.spec
    assert again.file.slurm == batch.file.slurm
    assert again.slurm_of_jobs == batch.slurm_of_jobs
    assert yaml_of(read(second)) == text


@pytest.mark.parametrize(
    "name",
    ["no", "1e3", "1.10", "0o17", "00:30:00", "null", "~", "@a", ".5", ".inf", "-", "+1", "=", "2030-01-01"],
)
def test_other_readers_take_a_name_for_a_text(folder: Path, name: str) -> None:
    """The first `distribute` reads YAML 1.2, in which `1e3` and `0o17` are numbers."""
    path = folder / "named.yaml"
    path.write_text(
        f"meta: {{namespace: n, batch_name: '{name}'}}\ncommand: {{jobs: [{{name: a, command: x}}]}}"
    )
    text = yaml_of(read(path))
    for version in ("1.1", "1.2"):
        reader = YAML(typ="safe")
        reader.version = version
        assert reader.load(text)["meta"]["batch_name"] == name
    assert yaml.safe_load(text)["meta"]["batch_name"] == name

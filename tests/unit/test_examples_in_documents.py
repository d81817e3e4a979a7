"""Every YAML file that README.md and docs/ show is loaded, and valid by its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from distribute.config.loading import load
from distribute.config.settings.settings import load_client_settings, load_node_settings
from editor_kit import marked

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for number, text in enumerate(BLOCK.findall(page.read_text()))
]
IS_FILE = {"build_file", "file", "sif", "path"}


def files_in(value: Any) -> Iterator[str]:
    """The files that an example names."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if key in IS_FILE and isinstance(inner, str):
            yield inner
        elif key == "required_files":
            yield from (name for name in inner if isinstance(name, str))
        yield from files_in(inner)
    for item in value if isinstance(value, list) else ():
        yield from files_in(item)


def completed(text: str) -> str:
    """A part of a batch that shows only `meta`, with what it needs besides."""
    if "namespace" not in text:
        text = text.replace("meta:\n", "meta:\n  namespace: n\n  batch_name: b\n")
    has_kind = re.search(r"^(python|command|apptainer):", text, re.MULTILINE)
    return text if has_kind else f"{text}command: {{jobs: [{{name: a, command: x}}]}}\n"


@pytest.mark.parametrize("text", SHOWN)
def test_an_example_is_right(text: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    if text.startswith("slurm:"):
        path.write_text(text)
        load_client_settings(path)
        assert marked(text, "client") == []
        return
    if not text.startswith("meta:"):
        path.write_text(text)
        load_node_settings(path)
        assert marked(text, "node") == []
        return
    whole = completed(text)
    for name in files_in(yaml.safe_load(whole)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    path.write_text(whole)
    load(path)
    assert marked(whole) == []


def test_there_are_examples() -> None:
    """Or the test above tests nothing."""
    pages = {str(shown.id).partition(".")[0] for shown in SHOWN}
    assert {"jobs-file", "containers", "environment", "mpi", "lab", "slurm", "workstation"} <= pages

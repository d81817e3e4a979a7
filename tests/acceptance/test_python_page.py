"""The examples of docs/python.md and README.md work as they stand there, and so does the notebook."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from mypy import api as mypy
from nbclient import NotebookClient
from traitlets.config import Config

from acceptance.cluster_kit import as_person, person_with_cluster
from acceptance.pages import ROOT
from acceptance.person import Person

SECONDS = 400
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def program_of(page: str) -> str:
    """All examples of a page, as one program."""
    return "\n".join(_BLOCK.findall((ROOT / page).read_text()))


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with person_with_cluster(tmp_path_factory.mktemp("jane"), "--cpus", "2") as person:
        person.sets(MPLCONFIGDIR=str(person.home / "matplotlib"))
        yield person


def runs(person: Person, page: str, folder: Path) -> str:
    """Run a page's examples in a folder, without a screen. Returns what they print."""
    (folder / "page.py").write_text(program_of(page))
    done = subprocess.run(
        [sys.executable, "-W", "error", "page.py"],
        cwd=folder,
        env={**person.environment, "MPLBACKEND": "Agg"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_examples_of_the_page_work(jane: Person, tmp_path: Path) -> None:
    said = runs(jane, "docs/python.md", tmp_path)
    assert "0.1    247.401206  240.00\n" in said
    assert "good day\n" in said
    assert "completed 2\n" in said
    assert "Batch(): timeout: 'soon' is not a duration; write 90s" in said
    added = jane.runs("add", str(tmp_path / "distribute-jobs.yaml"), "--dry")
    assert "lab/written would be submitted: 2 jobs" in added.stdout


def test_the_example_of_the_readme_draws_a_plot(jane: Person, tmp_path: Path) -> None:
    script = re.search(r"^cat > walk.py <<'END'\n(.*?)^END$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert script is not None
    (tmp_path / "walk.py").write_text(script[1])
    runs(jane, "README.md", tmp_path)
    (plot,) = tmp_path.glob("*.png")
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_the_examples_are_typed(page: str, tmp_path: Path) -> None:
    """As in a person's own project, in which mypy is strict."""
    path = tmp_path / "page.py"
    path.write_text(program_of(page))
    options = ["--strict", "--ignore-missing-imports", "--cache-dir", str(ROOT / ".mypy_cache" / "pages")]
    out, err, code = mypy.run([*options, str(path)])
    assert (code, err) == (0, ""), out


def test_the_notebook_works_from_a_sweep_to_a_plot(jane: Person, tmp_path: Path) -> None:
    notebook: Any = nbformat.read(ROOT / "docs" / "sweep.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    # By default, its kernel gets ports that are free, and another program may take one before it does.
    sockets = Config(KernelManager={"transport": "ipc", "ip": str(tmp_path / "kernel")})
    with as_person(jane, tmp_path):
        done = NotebookClient(
            notebook,
            config=sockets,
            timeout=SECONDS,
            startup_timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
    shown = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert [output for output in shown if output["output_type"] == "error"] == []
    data = [output["data"] for output in shown if "data" in output]
    assert any("image/png" in each for each in data)
    bars = [each["text/html"] for each in data if "8/8" in each.get("text/plain", "")]
    assert bars, "the bar of `wait` is shown below its cell"

"""The recipes of docs/environment.md work as pasted, wherever their tool is installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.lab import Json, open_lab
from acceptance.pages import ROOT

PAGE = (ROOT / "docs" / "environment.md").read_text()
RECIPES: dict[str, Json] = {
    heading: yaml.safe_load(block)
    for heading, block in re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
}
MODULE = """\
#%Module1.0
prepend-path PATH {bin}
setenv FFTW_HOME {home}
"""


def prints(*argv: str) -> str | None:
    """What a command prints; None if it fails."""
    found = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def has_modules() -> bool:
    """Does a login shell have `module`?"""
    return prints("bash", "-lc", "type module") is not None


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def outputs(folder: Path, batch: Json, *options: str) -> dict[str, list[str]]:
    """Run a batch on a node with these options. Returns the lines that each job printed."""
    quick = ["--niceness", "0", "--env", "PIP_DISABLE_PIP_VERSION_CHECK=1", "--env", "PIP_NO_INDEX=1"]
    async with open_lab(folder, {"ws1": ["--cpus", "2", *quick, *options]}) as lab:
        name = f"lab/{batch['meta']['batch_name']}"
        await lab.add(batch)
        if batch["command"].get("initialize"):
            await lab.event("build_finished", batch=name)
        await lab.over(name)
        pulled, _ = await lab.pull(name)
        jobs = [job["name"] for job in batch["command"]["jobs"]]
        return {job: (pulled / job / "stdout.txt").read_text().splitlines() for job in jobs}


def a_wheel(folder: Path) -> Path:
    """A package in a file, so that no index is needed."""
    wheel = folder / "greet-1.0-py3-none-any.whl"
    info = "greet-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("greet.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greet\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def with_requirements(batch: Json, folder: Path) -> Json:
    """The batch, with a file of requirements; its jobs import what that names."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"greet @ {a_wheel(folder).as_uri()}\n")
    batch["command"]["initialize"]["required_files"] = [str(requirements)]
    for job in batch["command"]["jobs"]:
        job["command"] = yaml.safe_load(
            yaml.safe_dump(job["command"]).replace("import sys", "import greet, sys")
        )
    return batch


def test_every_recipe_of_the_page_is_tried() -> None:
    tried = {"Setup lines", "Modules", "conda", "uv"}
    tried |= {"A virtual environment of the node", "A virtual environment of the batch"}
    assert RECIPES.keys() == tried


async def test_modules(tmp_path: Path) -> None:
    if not has_modules():
        pytest.skip("no modules in a login shell: apt-get install environment-modules, or lmod")
    program(tmp_path / "fftw" / "bin" / "fftw-wisdom", 'echo "$1" of "$FFTW_HOME"')
    modules = tmp_path / "modules"
    modules.mkdir()
    home = tmp_path / "fftw"
    (modules / "fftw").write_text(MODULE.format(bin=home / "bin", home=home))
    batch = RECIPES["Modules"]
    batch["meta"]["setup"].insert(0, f"module use {shlex.quote(str(modules))}")
    batch["command"]["jobs"].append({"name": "two", "command": "module list; fftw-wisdom again"})
    found = await outputs(tmp_path / "lab", batch)
    assert found["one"][-1] == f"--version of {home}"
    assert found["two"][-1] == f"again of {home}"
    assert any("fftw" in line for line in found["two"][:-1]), "`module` works in the command, too"


async def test_conda(tmp_path: Path) -> None:
    conda = shutil.which("conda")
    if conda is None:
        pytest.skip("conda is not installed")
    base = prints(conda, "info", "--base")
    assert base is not None
    env = tmp_path / "sim"
    (env / "conda-meta").mkdir(parents=True)  # an environment without packages: no channel is needed
    (env / "conda-meta" / "history").touch()
    (env / "bin").mkdir()
    program(env / "bin" / "python3", "echo $CONDA_PREFIX")
    batch: Any = yaml.safe_load(
        yaml.safe_dump(RECIPES["conda"])
        .replace("/opt/miniforge", base)
        .replace("conda activate sim", f"conda activate {env}")
    )
    assert (await outputs(tmp_path / "lab", batch))["one"][-1] == str(env)


async def test_a_virtual_environment_of_the_node(tmp_path: Path) -> None:
    assert prints(sys.executable, "-m", "venv", "--without-pip", f"{tmp_path}/sim") is not None
    batch = yaml.safe_load(
        yaml.safe_dump(RECIPES["A virtual environment of the node"]).replace("/opt/sim", f"{tmp_path}/sim")
    )
    assert await outputs(tmp_path / "lab", batch) == {"one": [f"{tmp_path}/sim"]}


async def test_a_virtual_environment_of_the_batch(tmp_path: Path) -> None:
    python = shutil.which("python3", path=os.defpath)
    if python is None or prints(python, "-c", "import ensurepip") is None:
        pytest.skip("the Python of this computer can't make virtual environments")
    batch = with_requirements(RECIPES["A virtual environment of the batch"], tmp_path)
    found = await outputs(tmp_path / "lab", batch, "--env", f"PATH={os.defpath}")
    assert found["one"] == found["two"]
    assert found["one"][0].endswith("/job/env")


async def test_uv(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(uv)
    batch = with_requirements(RECIPES["uv"], tmp_path)
    batch["command"]["env"]["PATH"] += f":{tmp_path}/bin"
    (prefix,) = (await outputs(tmp_path / "lab", batch))["one"]
    assert prefix.endswith("/job/env")

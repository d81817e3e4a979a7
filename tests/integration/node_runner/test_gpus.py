"""The GPUs of a computer. A library of ours stands in for NVIDIA's, below the real `nvidia-ml-py`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from distribute_services.node_runner.host import ask as ask_module
from distribute_services.node_runner.host import gpus as gpus_module
from distribute_services.node_runner.host.detect import detect
from distribute_services.node_runner.host.gpus import Gpu, find_gpus, loads, visible

MIB = 1 << 20
SOURCE = Path(__file__).with_name("fake_nvml.c")

TWO = "NVIDIA GeForce RTX 3090|24576|1024|37|GPU-11aa\nNVIDIA GeForce GT 710|2048|0|0|GPU-22bb\n"
PARTS = (
    "NVIDIA A100-SXM4-40GB|40960|0|0|GPU-11aa\n+NVIDIA A100 MIG 1g.5gb|4864|0|0|MIG-1\n"
    "+NVIDIA A100 MIG 2g.10gb|9856|0|0|MIG-2\nNVIDIA A100-SXM4-40GB|40960|0|50|GPU-22bb\n"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler for the library that stands in for NVIDIA's")
    path = tmp_path_factory.mktemp("nvml") / gpus_module.NVML_LIBRARY
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(path), str(SOURCE)], check=True)
    return path


@pytest.fixture
def nvml(library: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process, and those that it starts, find the library."""
    monkeypatch.setattr(gpus_module, "NVML_LIBRARY", str(library))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("FAKE_GPUS", TWO)
    monkeypatch.setattr(ask_module, "ASK_TIMEOUT_S", 60.0)  # Python has to begin first
    return monkeypatch


async def test_nvml_tells_model_and_memory(nvml: pytest.MonkeyPatch) -> None:
    assert await find_gpus() == (
        Gpu("NVIDIA GeForce RTX 3090", 24576 * MIB, "0", "GPU-11aa", 37.0, 1024 * MIB),
        Gpu("NVIDIA GeForce GT 710", 2048 * MIB, "1", "GPU-22bb", 0.0, 0),
    )
    assert await loads() == {"0": 37.0, "1": 0.0}


async def test_a_gpu_in_mig_mode_is_lent_by_its_instances(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("FAKE_GPUS", PARTS)
    found = await find_gpus()
    assert [(gpu.word, gpu.memory_bytes // MIB) for gpu in found] == [
        ("MIG-1", 4864),
        ("MIG-2", 9856),
        ("1", 40960),
    ]
    assert (await loads())["MIG-1"] == 0.0, "an instance has no such figure"


async def test_a_gpu_that_shares_the_computers_memory_has_none_of_its_own(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("FAKE_GPUS", "NVIDIA GB10|0|0|5|GPU-1\n")
    assert await find_gpus() == (Gpu("NVIDIA GB10", 0, "0", "GPU-1", 5.0),)


@pytest.mark.parametrize(
    ("mood", "says"), [("fail", "NVML failed with exit code 1"), ("hang", "did not answer")]
)
async def test_a_broken_driver_is_logged_and_lends_no_gpu(
    nvml: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mood: str, says: str
) -> None:
    nvml.setenv("FAKE_NVML", mood)
    if mood == "hang":
        nvml.setattr(ask_module, "ASK_TIMEOUT_S", 2.0)
    assert await find_gpus() == ()
    assert says in caplog.text
    assert await loads() == {}


async def test_a_node_lends_the_gpus_that_its_environment_leaves_it(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("CUDA_VISIBLE_DEVICES", "1")
    lent = await detect()
    assert lent.capacity.gpus == ("NVIDIA GeForce GT 710",)
    assert "gpu" in lent.capacity.capabilities
    assert [gpu.word for gpu in lent.gpus] == ["1"]
    nvml.setenv("CUDA_VISIBLE_DEVICES", "")
    lent = await detect()
    assert lent.capacity.gpus == ()
    assert "gpu" not in lent.capacity.capabilities
    assert lent.hides_gpus, "its jobs may not use them either"


async def test_a_computer_without_gpus_loads_no_library_and_hides_nothing() -> None:
    if Path("/dev/nvidiactl").exists() or "CUDA_VISIBLE_DEVICES" in os.environ:
        pytest.skip("this computer has GPUs")
    lent = await detect()
    assert (lent.gpus, lent.hides_gpus) == ((), False)


FOUND = (Gpu("a", 1, "0", "GPU-11aa"), Gpu("b", 1, "1", "GPU-22bb"), Gpu("c", 1, "MIG-33cc", "MIG-33cc"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (None, "abc"),
        ("", ""),
        ("1", "b"),
        (" 1 , 0 ", "ba"),
        ("0,-1,1", "a"),
        ("-1", ""),
        ("NoDevFiles", ""),
        ("0,7,1", "a"),
        ("GPU-2", "b"),
        ("GPU-", ""),
        ("MIG-33cc,0", "ca"),
        ("2", ""),
        ("0,0", "a"),
        ("²", ""),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(words: str | None, names: str) -> None:
    assert "".join(gpu.name for gpu in visible(FOUND, words)) == names

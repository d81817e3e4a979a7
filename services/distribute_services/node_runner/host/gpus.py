"""The GPUs of this computer, as NVML tells of them or, where that is not installed, `nvidia-smi`."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

import orjson

from distribute_services.node_runner.host.ask import ask

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable that limits CUDA programs to some GPUs. This process obeys it as they do."""

NVML_LIBRARY = "libnvidia-ml.so.1"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU. `word` names it in CUDA_VISIBLE_DEVICES: its index or, if it is a part of a GPU (MIG), its uuid.

    `memory_bytes` is 0 and `uuid` empty if they are unknown. `percent` and `memory_used_bytes` are its load.
    """

    name: str
    memory_bytes: int
    word: str
    uuid: str = ""
    percent: float = 0.0
    memory_used_bytes: int = 0


async def find_gpus() -> tuple[Gpu, ...]:
    """All GPUs of this computer, in order of index. Logs it if the driver is broken."""
    if _has_nvml():
        program = "distribute_services.node_runner.host.nvml"
        answer = await ask("NVML", sys.executable, "-P", "-m", program)
        return tuple(Gpu(**gpu) for gpu in orjson.loads(answer)) if answer else ()
    if not (names := await _nvidia_smi("name")):
        return ()
    others = await asyncio.gather(_nvidia_smi("memory.total"), _nvidia_smi("uuid"))
    columns = zip_longest(names, *others, fillvalue="")
    return tuple(
        Gpu(name, int(_figure(memory) * _MIB), str(index), uuid)
        for index, (name, memory, uuid) in enumerate(islice(columns, len(names)))
    )


async def loads() -> dict[str, float]:
    """How busy each GPU is, in percent, by its word. Empty if the driver is broken."""
    if _has_nvml():
        return {gpu.word: gpu.percent for gpu in await find_gpus()}
    return {str(index): _figure(text) for index, text in enumerate(await _nvidia_smi("utilization.gpu"))}


def visible(found: Sequence[Gpu], words: str | None) -> tuple[Gpu, ...]:
    """Those GPUs that CUDA would use if CUDA_VISIBLE_DEVICES were `words`. None: it is not set.

    As CUDA reads it: indices or the beginnings of uuids, up to the first that names no GPU.
    """
    if words is None:
        return tuple(found)
    chosen: list[Gpu] = []
    for word in map(str.strip, words.split(",")):
        gpu = _named(found, word)
        if gpu is None or gpu in chosen:
            break
        chosen.append(gpu)
    return tuple(chosen)


def _named(found: Sequence[Gpu], word: str) -> Gpu | None:
    if word.isascii() and word.isdecimal():
        return next((gpu for gpu in found if gpu.word == str(int(word))), None)
    named = [gpu for gpu in found if word and gpu.uuid.startswith(word)]
    return named[0] if len(named) == 1 else None


_MIB = 1 << 20


async def _nvidia_smi(figure: str) -> list[str]:
    """One figure of every GPU, in order of index; empty if the driver is broken."""
    query = [f"--query-gpu={figure}", "--format=csv,noheader,nounits"]
    answer = await ask("nvidia-smi", "nvidia-smi", *query)
    return answer.splitlines() if answer is not None else []


def _figure(text: str) -> float:
    """A figure; 0 if the driver says `[N/A]`, as it does of the load of a GPU in partitions (MIG)."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _has_nvml() -> bool:
    try:
        ctypes.CDLL(NVML_LIBRARY)
    except OSError:
        return False
    return True

"""`python -m distribute_services.node_runner.host.nvml`: prints what NVML says of this computer's GPUs.

A process of its own: a call into a broken driver may never return, and the driver's library takes memory that
the runner would keep.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson
import pynvml

from distribute_services.node_runner.host.gpus import Gpu


def found() -> Iterator[Gpu]:
    """The GPUs, in order of index. Of a GPU in MIG mode, its instances: CUDA can use nothing else of it."""
    pynvml.nvmlInit()
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        if _is_partitioned(handle):
            yield from (_gpu(part, pynvml.nvmlDeviceGetUUID(part)) for part in _partitions(handle))
        else:
            yield _gpu(handle, str(index))


def _gpu(handle: Any, word: str) -> Gpu:
    total_bytes, used_bytes = _memory(handle)
    return Gpu(
        name=pynvml.nvmlDeviceGetName(handle),
        memory_bytes=total_bytes,
        word=word,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        percent=_percent(handle),
        memory_used_bytes=used_bytes,
    )


def _memory(handle: Any) -> tuple[int, int]:
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    except pynvml.NVMLError_NotSupported:
        return 0, 0  # it has none of its own, but that of the computer
    return memory.total, memory.used


def _percent(handle: Any) -> float:
    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except pynvml.NVMLError_NotSupported:
        return 0.0  # a MIG instance has no such figure


def _is_partitioned(handle: Any) -> bool:
    try:
        current, _pending = pynvml.nvmlDeviceGetMigMode(handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)


def _partitions(handle: Any) -> Iterator[Any]:
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError_NotFound:
            continue  # no instance was made there


def main() -> int:
    """Print the GPUs as JSON. Returns 1, and says why on stderr, if NVML fails."""
    try:
        print(orjson.dumps([asdict(gpu) for gpu in found()]).decode())
    except pynvml.NVMLError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

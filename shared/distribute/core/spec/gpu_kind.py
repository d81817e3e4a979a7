"""Which GPUs suit a job that asks for a model, or for memory."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Protocol

from distribute.core.words import counted, format_size, quoted

MAX_MODEL_CHARS = 128

_TOLERANCE = 10
"""A GPU that is sold with 24G tells of 22.2G to 24G: the driver and ECC take the rest. So a tenth less than
what is asked for suits, too."""


class GpuKind(NamedTuple):
    """What each GPU of a job must be. `model` is a regular expression for a part of its name, in any case."""

    memory_bytes: int = 0
    model: str = ""


def check_model(model: str) -> str:
    """Return the regular expression.

    Raises:
        ValueError: it is not valid.
    """
    if problem := _compiled(model)[1]:
        raise ValueError(problem)
    return model


def gpus_in_words(count: int, kind: GpuKind | None) -> str:
    """`2 GPUs`, or `2 GPUs (RTX.*, 20G)`."""
    if kind is None:
        return counted(count, "GPU")
    size = format_size(kind.memory_bytes) if kind.memory_bytes else ""
    return f"{counted(count, 'GPU')} ({', '.join(filter(None, (kind.model, size)))})"


@lru_cache(maxsize=1 << 10)
def suitable(gpus: tuple[str, ...], memory_bytes: tuple[int, ...], kind: GpuKind | None) -> tuple[int, ...]:
    """The indices of a node's GPUs that suit, those with the least memory first: the large ones stay free."""
    known = (*memory_bytes, *[0] * len(gpus))
    found = [
        (known[index], index)
        for index, name in enumerate(gpus)
        if kind is None or (_is_large_enough(known[index], kind) and _has_model(name, kind.model))
    ]
    return tuple(index for _, index in sorted(found))


def _is_large_enough(memory_bytes: int, kind: GpuKind) -> bool:
    return memory_bytes * _TOLERANCE >= kind.memory_bytes * (_TOLERANCE - 1)


def _has_model(name: str, model: str) -> bool:
    pattern, _ = _compiled(model)
    return not model or (pattern is not None and pattern.search(name) is not None)


class _Pattern(Protocol):
    def search(self, text: str) -> object | None: ...


@lru_cache(maxsize=1 << 10)
def _compiled(model: str) -> tuple[_Pattern | None, str]:
    """The expression, and what is wrong with it.

    By RE2, which takes linear time: `re` could take years for what a person submits, and stop the scheduler.
    """
    import re2  # takes 2 MB, and hardly anybody asks for a model

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    try:
        return re2.compile(model, options), ""
    except re2.error as error:
        (cause,) = error.args
        return None, f"{quoted(model)} is not a valid regular expression: {cause.decode(errors='replace')}"

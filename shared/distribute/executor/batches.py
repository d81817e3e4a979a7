"""The batches of an executor: what each of its jobs needs, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources
from distribute.executor import run_calls
from distribute.executor.own_code import OwnCode
from distribute.executor.pickling import PYTHON, Packer, library

if TYPE_CHECKING:
    from distribute.executor.calls import Call

BUDGET_S = 1.0
"""Calls that the executor grouped begin within so many seconds of its start. A job hands others back."""


@dataclass(frozen=True)
class Needs:
    """What each job of an executor needs, and where its batches are listed. `name` begins their names."""

    namespace: str
    name: str
    resources: Resources
    capabilities: frozenset[str] = frozenset()
    timeout_s: float | None = None
    retries: int = 0
    priority: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    own_code: OwnCode = field(default_factory=OwnCode)

    @cached_property
    def python(self) -> frozenset[str]:
        """The capabilities that a node must have."""
        return self.capabilities | {PYTHON}

    def batch(self, number: int, jobs: Sequence[Sequence[Call]], folder: Path) -> tuple[BatchSpec, Packer]:
        """A batch with these calls, one list a job. The contents of its files are in `folder`.

        Raises:
            OSError: they can't be written.
            InputError: the program's own code is too much to be sent.
        """
        packer = Packer(folder)
        files = [
            packer.file(Path(run_calls.__file__).read_bytes(), "run_calls.py"),
            packer.file(library(), run_calls.LIBRARY),
        ]
        sent = {pickle for calls in jobs for call in calls for pickle in (call.function, call.arguments)}
        if self.own_code.is_named_in(*sent):
            files.append(packer.file(self.own_code.zipped(), run_calls.MODULES))
        for calls in jobs:
            packer.add([(call.function, call.arguments) for call in calls])
        first = 1
        entries = []
        for calls, needed in zip(jobs, packer.jobs(), strict=True):
            last = first + len(calls) - 1
            grouped = calls[0].together is None
            words = (*needed.calls, BUDGET_S if grouped and len(calls) > 1 else 0)
            entries.append(
                CommandJob(
                    name=f"call{first}" if first == last else f"calls{first}-{last}",
                    files=needed.files,
                    command=_COMMAND + " ".join(map(str, words)),
                    timeout_s=self._timeout_s(calls),
                )
            )
            first = last + 1
        spec = BatchSpec(
            namespace=self.namespace,
            batch=f"{self.name}-{number}",
            capabilities=self.python,
            resources=self.resources,
            retries=self.retries,
            priority=self.priority,
            env=dict(self.env),
            files=tuple(files),
            work=CommandWork(jobs=tuple(entries)),
        )
        return spec, packer

    def _timeout_s(self, calls: Sequence[Call]) -> float | None:
        """The timeout of a job: each call has the time of one, unless they are done within the budget."""
        if self.timeout_s is None:
            return None
        if len(calls) > 1 and calls[0].together is None:
            return self.timeout_s + BUDGET_S
        return self.timeout_s * len(calls)


_COMMAND = (
    f'exec "$(command -v {PYTHON} || echo python3)" -P "$DISTRIBUTE_INPUT/run_calls.py" '  # python3 may be it
)

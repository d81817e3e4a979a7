"""Folders of batches that ran at SLURM, as they come back from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from distribute.core.spec.specs import BatchSpec

HEADER = "JobID|State|ExitCode|Start|End|Elapsed|TotalCPU|MaxRSS|NodeList|Restarts"


class RanFolder:
    """A folder that `distribute slurm` wrote, with what its scripts add at the cluster."""

    def __init__(
        self, path: Path, spec: BatchSpec, *, folder_id: str = "0123456789abcdef", scheduled: bool = True
    ) -> None:
        self.path = path
        self.spec = spec
        self._names = [job.name for job in spec.work.jobs]
        path.mkdir()
        description = {
            "v": 1,
            "id": folder_id,
            "array": False,
            "spec": spec.model_dump(mode="json", exclude_none=True),
        }
        (path / "batch.json").write_text(json.dumps(description))
        if scheduled:
            (path / "state").mkdir()
            for number in range(len(self._names)):
                (path / "state" / f"{number}.id").write_text(f"{100 + number}\n")

    def results_of(self, job: str) -> Path:
        return self.path / "results" / self.spec.batch / job

    def end(self, job: str, printed: str = "", files: dict[str, str] | None = None, **state: Any) -> None:
        """A job ended, and its script kept what it left."""
        folder = self.results_of(job)
        folder.mkdir(parents=True)
        (folder / "stdout.txt").write_text(printed)
        for name, content in (files or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        self.tell(job, **state)

    def tell(self, job: str, **state: Any) -> None:
        """The script of a job said how it ended."""
        self._state(str(self._names.index(job)), state)

    def build(self, printed: str, **state: Any) -> Path:
        """The build ended, and its script kept what it printed: in the file that this returns."""
        node = state.get("node", "nid001")
        path = self.path / "results" / self.spec.batch / f"{self.spec.batch}_build_output-{node}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(printed)
        self._state("build", state)
        return path

    def _state(self, name: str, state: dict[str, Any]) -> None:
        said = {
            "v": 1,
            "exit_code": 0,
            "started_at": "2026-11-27T07:00:00Z",
            "finished_at": "2026-11-27T07:01:00Z",
            "node": "nid001",
            "slurm_job_id": "100",
        }
        (self.path / "state" / f"{name}.json").write_text(json.dumps(said | state))

    def account(self, *lines: str) -> None:
        """SLURM was asked."""
        (self.path / "accounting.txt").write_text("\n".join([HEADER, *lines, ""]))

    def work_of(self, job: str) -> Path:
        """The working folder of a job that SLURM ended before its script could keep anything."""
        folder = self.path / "running" / str(self._names.index(job))
        (folder / "job" / "distribute_save").mkdir(parents=True)
        return folder

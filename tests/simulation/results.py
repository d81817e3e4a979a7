"""The results bucket of the simulated world."""

from __future__ import annotations

from dataclasses import dataclass, field

from distribute.core.ids import BatchId


@dataclass(slots=True)
class Results:
    """The results bucket: objects by name (`NAMESPACE/BATCH/JOB/ATTEMPT`), each with the time it was sent."""

    uploaded: dict[str, float] = field(default_factory=dict)
    committed: set[str] = field(default_factory=set)

    def upload(self, name: str, sent_at: float) -> None:
        self.uploaded[name] = sent_at

    def commit(self, name: str) -> bool:
        """Give an object its name. False: it is not there."""
        if name not in self.uploaded:
            return False
        self.committed.add(name)
        return True

    def uncommitted(self) -> list[str]:
        return [name for name in self.uploaded if name not in self.committed]

    def lose(self, name: str) -> None:
        """The store loses an object, as a disk does, or a person who tidies up."""
        del self.uploaded[name]

    def delete(self, batch: BatchId, before: float) -> None:
        for name in [
            name
            for name, sent_at in self.uploaded.items()
            if name.startswith(f"{batch}/") and sent_at < before
        ]:
            del self.uploaded[name]
            self.committed.discard(name)

"""Which input files and folders a batch names, and how long the store keeps what no batch names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from distribute.core.spec.specs import (
    ApptainerWork,
    BatchSpec,
    InputFile,
    InputFolder,
    Job,
    PythonJob,
    PythonWork,
)

DEFAULT_INPUTS_KEEP_S = 7 * 24 * 3600.0
"""For so many seconds, a head that is not set to another time keeps inputs that no batch names."""
RENEW_INPUTS_AFTER_S = 24 * 3600.0
"""An input that a person submits again is renewed if that was not done for so long: each renewal is a write
to the head's disk. So that much of the time above may be over when somebody submits it."""
MIN_INPUTS_KEEP_S = 2 * RENEW_INPUTS_AFTER_S
"""The shortest time. A person may take hours from the upload of the first input to the submission."""


def shared_files(spec: BatchSpec) -> Iterator[InputFile]:
    """The input files that are of no single job."""
    yield from spec.files
    match spec.work:
        case PythonWork(build=InputFile() as script):
            yield script
        case ApptainerWork(image=image):
            yield image
        case _:
            pass


def job_files(job: Job) -> Iterator[InputFile]:
    """A job's own input files."""
    yield from job.files
    if isinstance(job, PythonJob):
        yield job.script


def files_of(spec: BatchSpec) -> Iterator[InputFile]:
    """Every input file of a batch, some several times."""
    return chain(shared_files(spec), *map(job_files, spec.work.jobs))


def folders_of(spec: BatchSpec) -> Iterator[InputFolder]:
    """Every input folder of a batch, some several times."""
    for owner in (spec, *spec.work.jobs):
        yield from owner.folders or ()

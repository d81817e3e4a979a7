"""The functions of the first `distribute`'s Python package, under its name: its scripts run unchanged.

They are those of `import distribute`, which has more.
"""

from distribute.api.original import (
    ApptainerConfig,
    Description,
    File,
    Initialize,
    Job,
    apptainer_config,
    command_config,
    description,
    file,
    initialize,
    job,
    metadata,
    python_config,
    slurm,
    write_config_to_file,
)
from distribute.config.sections.jobs_file import Meta
from distribute.config.sections.slurm_section import Slurm

__all__ = [
    "ApptainerConfig",
    "Description",
    "File",
    "Initialize",
    "Job",
    "Meta",
    "Slurm",
    "apptainer_config",
    "command_config",
    "description",
    "file",
    "initialize",
    "job",
    "metadata",
    "python_config",
    "slurm",
    "write_config_to_file",
]

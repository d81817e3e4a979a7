"""distribute: runs batches of jobs on the unlike computers of a lab.

The names of `__all__` are the public API. Each is imported when it is first used: the command line and the
services import this package, too, and need none of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import it would make every keeper larger by `typing`

if TYPE_CHECKING:
    from distribute.api.original import (
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
    from distribute.api.sweeping import sweep
    from distribute.core.errors import (
        DistributeError,
        InputError,
        IntegrityError,
        InvalidArgument,
        JobFailed,
        Refused,
        StorageFull,
        UnknownName,
        Unreachable,
    )
    from distribute.executor import Executor
    from distribute.executor.registering import register_joblib
    from distribute.user.batch import Batch

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "DistributeError",
    "Executor",
    "InputError",
    "IntegrityError",
    "InvalidArgument",
    "JobFailed",
    "Refused",
    "StorageFull",
    "UnknownName",
    "Unreachable",
    "apptainer_config",
    "command_config",
    "description",
    "file",
    "initialize",
    "job",
    "metadata",
    "python_config",
    "register_joblib",
    "slurm",
    "sweep",
    "write_config_to_file",
]

_HOMES = {
    "Batch": "distribute.user.batch",
    "Executor": "distribute.executor",
    "register_joblib": "distribute.executor.registering",
    "sweep": "distribute.api.sweeping",
}
"""The modules of names that are neither errors nor functions of the first `distribute`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'distribute' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_home_of(name)), name)
    globals()[name] = found
    return found


def _home_of(name: str) -> str:
    """The module that defines a public name."""
    if name in _HOMES:
        return _HOMES[name]
    return "distribute.core.errors" if name[0].isupper() else "distribute.api.original"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

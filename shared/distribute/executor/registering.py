"""Makes executors known to joblib. Programs without joblib need nothing of it."""

from __future__ import annotations

BACKEND = "distribute"


def register_joblib() -> None:
    """Let joblib run its calls on a cluster: `with joblib.parallel_config(backend="distribute", cpus=2):`.

    The arguments beside `backend` are those of `Executor`; or `pool`, an executor that is there.

    Raises:
        ImportError: joblib is not installed here, or is older than 1.3.
    """
    try:
        from joblib import register_parallel_backend

        from distribute.executor.joblib_backend import JoblibBackend
    except ImportError as error:
        raise ImportError("register_joblib() needs joblib 1.3 or newer: pip install 'joblib>=1.3'") from error
    register_parallel_backend(BACKEND, JoblibBackend)

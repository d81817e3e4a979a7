"""`register_joblib` says what is missing where joblib is not installed."""

from __future__ import annotations

import sys

import pytest

import distribute


def test_without_joblib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r"register_joblib\(\) needs joblib 1\.3 or newer: pip install"):
        distribute.register_joblib()


def test_an_unknown_option_is_one_of_the_executor() -> None:
    joblib = pytest.importorskip("joblib", minversion="1.3")
    distribute.register_joblib()
    with joblib.parallel_config(backend="distribute", cpu=2), pytest.raises(TypeError, match="cpu"):
        joblib.Parallel()(joblib.delayed(abs)(-1) for _ in range(2))


def test_a_pool_that_is_no_executor_is_named() -> None:
    joblib = pytest.importorskip("joblib", minversion="1.3")
    distribute.register_joblib()
    with pytest.raises(TypeError, match=r"pool is a distribute\.Executor, not 3"):
        joblib.parallel_config(backend="distribute", pool=3)

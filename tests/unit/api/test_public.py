"""What `import distribute` has, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import distribute
from distribute.core import errors


def test_every_public_name_is_there_and_explained() -> None:
    for name in distribute.__all__:
        assert inspect.getdoc(getattr(distribute, name)), name
    assert set(distribute.__all__) <= set(dir(distribute))
    assert sorted(distribute.__all__) == distribute.__all__


def test_errors_are_those_of_the_command_line() -> None:
    public = [name for name in distribute.__all__ if hasattr(errors, name)]
    assert len(public) > 5
    assert all(getattr(distribute, name) is getattr(errors, name) for name in public)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'distribute' has no attribute 'Bach'"):
        distribute.Bach  # noqa: B018


def test_the_import_loads_nothing_that_is_not_used() -> None:
    """Each of these takes longer to import than an interpreter to start."""
    slow = {"asyncio", "jinja2", "nats", "orjson", "pandas", "pydantic", "rich", "yaml"}
    code = f"import sys, distribute; print({slow!r} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_no_submodule_hides_a_function() -> None:
    """Imported submodules become attributes of their package."""
    code = (
        "import sys, pkgutil, importlib, distribute\n"
        "names = [m.name for m in pkgutil.iter_modules(distribute.__path__)]\n"
        "print(set(names) & set(distribute.__all__))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"

"""A store of results, and a folder to pull them to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pull_kit import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "store")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"

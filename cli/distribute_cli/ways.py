"""The options behind what an error advises."""

from __future__ import annotations

from collections.abc import Mapping

from distribute.core.errors import DistributeError
from distribute.core.ways import Way

OPTIONS: Mapping[Way, str] = {
    Way.FORCE: "--force",
    Way.ANOTHER_FOLDER: "--save-dir",
    Way.ANOTHER_FOLDER_OF_BATCH: "--into",
    Way.REPLACE_LOCAL: "--replace-local",
    Way.CLEAN_SAVE: "--clean-save",
    Way.CREDENTIALS: "--creds",
    Way.ANYWAY: "--anyway",
}


def told(error: DistributeError) -> str:
    """The message of an error, with the options for what it advises."""
    options = ", ".join(OPTIONS[way] for way in error.ways)
    return f"{error} ({options})" if options else str(error)

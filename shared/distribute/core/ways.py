"""What an error may advise its caller to ask for: with an option of the command line, or an argument."""

from __future__ import annotations

from enum import Enum


class Way(Enum):
    """What a caller may ask for to get on."""

    FORCE = "force"
    ANOTHER_FOLDER = "another folder"
    ANOTHER_FOLDER_OF_BATCH = "another folder of the batch"
    REPLACE_LOCAL = "replace what is here"
    CLEAN_SAVE = "clean the folder"
    CREDENTIALS = "name the credentials"
    ANYWAY = "anyway"

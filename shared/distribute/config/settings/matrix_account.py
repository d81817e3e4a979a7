"""The account that sends messages to Matrix: the file of `server --matrix-config`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from distribute.config.sections.forms import Form
from distribute.config.sections.jobs_file import MatrixUser
from distribute.config.sections.problems import valid
from distribute.config.sections.section import NonEmpty, Section
from distribute.config.settings.hosts import is_web_address
from distribute.config.yaml.yaml_source import Document
from distribute.core.words import quoted

Password = Annotated[str, Field(min_length=1)]
"""No check that fails may quote it."""


_HOMESERVER = re.compile(r"https?://[^\s/]+(/\S*)?")


def _check_homeserver(url: str) -> str:
    if not (_HOMESERVER.fullmatch(url) and is_web_address(url)):
        raise ValueError(f"{quoted(url)} is not a homeserver's URL; write https://matrix.example.org")
    return url


HomeserverUrl = Annotated[
    str,
    AfterValidator(_check_homeserver),
    Form("a URL", pattern=_HOMESERVER.pattern, advice="write https://matrix.example.org"),
]


class MatrixAccount(Section):
    """The account, in JSON or YAML. `matrix_id` is its whole name, `matrix_username` that for its login."""

    matrix_username: NonEmpty = Field(examples=["lab-notify"])
    matrix_password: Password = Field(examples=['"..."'])
    homeserver_url: HomeserverUrl = Field(examples=["https://matrix.example.org"])
    matrix_id: MatrixUser = Field(examples=['"@lab-notify:example.org"'])


def load_matrix_account(path: Path) -> MatrixAccount:
    """The account in the file at `path`.

    Raises:
        InputError: the file can't be read, or something in it is wrong. No message has the password.
    """
    document = Document.read(path, if_missing="write the path of the file with the account for messages")
    return valid(document, MatrixAccount)

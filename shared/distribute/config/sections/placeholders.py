"""Values in the pattern of a sweep's jobs that may be texts with placeholders."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Discriminator, Tag

from distribute.config.sections.forms import Form
from distribute.config.sections.section import Text

T = TypeVar("T")

WithPlaceholders = Annotated[Text, Form(types=("string",), pattern=r"[\s\S]*\{[\s\S]*")]
"""A text that becomes a value once it is filled for a point."""


def may_have_placeholders(text: str) -> bool:
    """May the text have placeholders? Filling it tells."""
    return "{" in text


def form_of_value(written: object) -> str:
    """Which of the two forms of `OrPlaceholders` a value has."""
    return "placeholders" if isinstance(written, str) and may_have_placeholders(written) else "value"


OrPlaceholders = Annotated[
    Annotated[WithPlaceholders, Tag("placeholders")] | Annotated[T, Tag("value")],
    Discriminator(form_of_value),
]
"""A value that all jobs of a sweep have, or a text with placeholders that each fills with its point."""

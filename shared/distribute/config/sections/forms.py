"""In which forms people may write a value, as a JSON Schema says it.

In a file every value is the text that a person wrote, and the models read that text. An editor has it as
YAML sees it: `90` as a number, `90s` as a text. So a schema has to name all forms that the models take. Its
patterns have to mean the same in Python and in JavaScript, in which editors are written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

TEXT_TYPES = ("string", "number", "boolean")
"""What a text is to YAML: a job may be called `1.10` or `no`."""

INTEGER = r"\s*[+-]?[0-9]+(?:_[0-9]+)*(?:\.0+)?\s*"
"""A whole number in quotes."""
NUMBER = r"\s*[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"
"""A number in quotes."""


def in_any_case(word: str) -> str:
    """A pattern for a word in upper or lower case."""
    letters = (f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in word)
    return f"(?:{''.join(letters)})"


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a value. It stands behind the validators in an annotation.

    Args:
        called: what it is, in words. None: as its type says.
        types: the JSON types that it may have. Empty: those of its type.
        pattern: what a text has to match as a whole. Of a value that is one of several words: what people
            may write besides these words.
        advice: what an editor says of a text that does not match.
        longest: so many bytes a text may have; an editor counts characters, which are no more.
    """

    called: str | None = None
    types: tuple[str, ...] = ()
    pattern: str | None = None
    advice: str | None = None
    longest: int | None = None

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Pydantic calls this to make the schema."""
        schema = handler(core_schema)
        if self.types:
            schema["type"] = list(self.types)
        if self.pattern is not None and "enum" in schema:
            schema = {"anyOf": [schema, {"type": "string", "pattern": f"^(?:{self.pattern})$"}]}
        elif self.pattern is not None:
            schema["pattern"] = f"^(?:{self.pattern})$"
        if self.longest is not None:
            schema["maxLength"] = self.longest
        if self.advice is not None:
            schema["patternErrorMessage"] = self.advice
        if self.called is not None:
            schema["$comment"] = self.called
        return schema

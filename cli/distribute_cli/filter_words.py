"""The words behind `pull`: a batch, and filters as in the first `distribute`.

That took `pull FILE include --include RE…`. Here, `include` and `exclude` may be left out, and after one of
them further words are more patterns.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from distribute.client.words import argument
from distribute.core.errors import InputError
from distribute_cli.targets import DEFAULT_FILE

INCLUDE, EXCLUDE = FILTER_WORDS = ("include", "exclude")


class Patterns(NamedTuple):
    """What a person wants of a batch, as written."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]


def read_words(words: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> tuple[str, Patterns]:
    """The batch and the patterns, from the words that are no options, and from --include and --exclude.

    Raises:
        InputError: they don't fit together; it says what to write instead.
    """
    rest = list(words)
    batch = rest.pop(0) if rest and rest[0] not in FILTER_WORDS else DEFAULT_FILE
    if not rest:
        return batch, Patterns(tuple(include), tuple(exclude))
    kind = rest.pop(0)
    if kind not in FILTER_WORDS:
        raise InputError(_second_batch(batch, kind, rest))
    if twice := [word for word in rest if word in FILTER_WORDS]:
        both = pull_command(batch, "--include", "RE", "--exclude", "RE")
        raise InputError(f"`{kind}` and `{twice[0]}` can't both follow the batch; write `{both}`")
    if kind == INCLUDE:
        found = Patterns((*include, *rest), tuple(exclude))
        wrong, right = EXCLUDE, found.exclude
    else:
        found = Patterns(tuple(include), (*exclude, *rest))
        wrong, right = INCLUDE, found.include
    if right:
        instead = pull_command(batch, *filter_options(found.include, found.exclude))
        raise InputError(f"`{kind}` takes --{kind}, and not --{wrong}; write `{instead}`")
    if kind == INCLUDE and not found.include:
        instead = pull_command(batch, "--include", "RE")
        raise InputError(
            f"`include` takes what to pull; write `{instead}`, or leave it out to pull everything"
        )
    return batch, found


def pull_command(batch: str, *rest: str) -> str:
    """`distribute pull BATCH …`, as a person can paste it into a shell."""
    arguments = list(map(argument, rest))
    if batch.startswith("-"):
        return " ".join(["distribute pull", *arguments, "--", argument(batch)])
    return " ".join(["distribute pull", *([] if batch == DEFAULT_FILE else [argument(batch)]), *arguments])


def filter_options(include: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """The options for these patterns."""
    options = [("--include", text) for text in include] + [("--exclude", text) for text in exclude]
    return [word for option in options for word in option]


def _second_batch(batch: str, word: str, rest: Sequence[str]) -> str:
    if near := difflib.get_close_matches(word, FILTER_WORDS, n=1):
        return f"{shlex.quote(word)} is not `include` or `exclude`; did you mean `{near[0]}`?"
    each = " && ".join(pull_command(name) for name in (batch, word, *rest))
    return f"pull takes one batch; write `{each}`, or --include RE for some of its files"

"""`pull` takes filters as the first `distribute` did, and says what to write instead of what can't be."""

from __future__ import annotations

import shlex

import pytest

from distribute.core.errors import InputError
from distribute_cli.filter_words import pull_command, read_words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ("distribute-jobs.yaml", (), ())),
        ("jane/sweep", ("jane/sweep", (), ())),
        ("-i a -e b jane/sweep", ("jane/sweep", ("a",), ("b",))),
        ("include -i a", ("distribute-jobs.yaml", ("a",), ())),
        ("jobs.yaml include b c", ("jobs.yaml", ("b", "c"), ())),
        ("jobs.yaml include -i a b", ("jobs.yaml", ("a", "b"), ())),
        ("jobs.yaml exclude b", ("jobs.yaml", (), ("b",))),
        ("jobs.yaml exclude", ("jobs.yaml", (), ())),
    ],
)
def test_filters_are_read_as_in_the_first_distribute(words: str, expected: object) -> None:
    batch, patterns = read(words)
    assert (batch, *patterns) == expected


def read(line: str) -> tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Read the words of a command line, as typer splits them."""
    words: list[str] = []
    options: dict[str, list[str]] = {"-i": [], "-e": []}
    rest = iter(shlex.split(line.replace("--include", "-i").replace("--exclude", "-e")))
    for word in rest:
        if word == "--":
            words += rest
        elif word in options:
            options[word].append(next(rest))
        else:
            words.append(word)
    return read_words(words, *options.values())


@pytest.mark.parametrize(
    ("line", "why", "instead"),
    [
        ("b exclude -i x", "`exclude` takes --exclude, and not --include", "b --include x"),
        ("include -e 'x y'", "`include` takes --include, and not --exclude", "--exclude 'x y'"),
        ("b include a -e x", "`include` takes --include, and not --exclude", "b --include a --exclude x"),
        ("-i x -- -n/b exclude", "`exclude` takes --exclude", "--include x -- -n/b"),
        (
            "b include a exclude x",
            "`include` and `exclude` can't both follow the batch",
            "b --include RE --exclude RE",
        ),
        ("b exclude exclude", "`exclude` and `exclude` can't both follow", "b --include RE --exclude RE"),
        ("b include", "`include` takes what to pull", "b --include RE"),
    ],
)
def test_words_that_do_not_fit_are_refused_with_what_to_write(line: str, why: str, instead: str) -> None:
    with pytest.raises(InputError) as caught:
        read(line)
    assert str(caught.value).startswith(why)
    pasted = str(caught.value).split("write `")[1].split("`")[0]
    assert pasted == f"distribute pull {instead}"
    read(pasted.removeprefix("distribute pull "))


def test_a_second_batch_is_refused() -> None:
    with pytest.raises(
        InputError, match="pull takes one batch; write `distribute pull a && distribute pull b`"
    ):
        read("a b")
    with pytest.raises(InputError, match=r"^includ is not `include` or `exclude`; did you mean `include`\?$"):
        read("a includ -i x")


def test_the_batch_of_this_folder_needs_no_name() -> None:
    assert pull_command("distribute-jobs.yaml", "--dry") == "distribute pull --dry"

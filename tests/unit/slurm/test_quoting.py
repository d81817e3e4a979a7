"""No name, value or command can be read as a part of a script."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distribute.sbatch.quoting import MAX_VALUE, later, marks_in, sbatch_line, within_script, word, words

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NASTY = "$(touch x); rm -rf ~\n`id` '\"\\ #!*?[a]{b,c} && || > < ~ %j \t"


def printed(script: str, **variables: str) -> list[str]:
    """What a real bash prints that runs a script: texts, each with a NUL behind it."""
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=variables)
    assert done.stderr == b""
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=5))
@example([NASTY, "", "-n", "a=b", "é\u2028"])
def test_bash_gets_every_word_as_it_is(texts: list[str]) -> None:
    assert printed(f"printf '%s\\0' {words(texts)}") == texts


@settings(max_examples=60)
@given(TEXTS, TEXTS, TEXTS)
@example(NASTY, NASTY, NASTY)
def test_a_mark_becomes_the_value_of_its_variable_and_nothing_is_run(
    before: str, value: str, behind: str
) -> None:
    text = f"{before}{later('folder')}{behind}"
    assert printed(f"printf '%s\\0' {word(text)}", folder=value) == [before + value + behind]


@settings(max_examples=60)
@given(TEXTS, TEXTS)
@example(NASTY, NASTY)
def test_a_script_within_the_script_gets_the_value_from_its_environment(text: str, value: str) -> None:
    import shlex

    inner = f"printf '%s\\0' {shlex.quote(later('folder') + text)}"
    assert marks_in(inner) == ["folder"]
    script = f"bash -c {word(within_script(inner))}"
    assert printed(script, distribute_folder=value) == [value + text]


def test_an_option_is_one_line_with_quotes_around_what_sbatch_would_read() -> None:
    assert sbatch_line("mail_user", "j@x.org") == "#SBATCH --mail-user=j@x.org"
    assert sbatch_line("exclusive", "") == "#SBATCH --exclusive"
    assert sbatch_line("comment", "a b#'\"\\") == '#SBATCH --comment="a b#\'\\"\\\\"'


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x1bb", "a\u2028b", "a" * (MAX_VALUE + 1)])
def test_a_value_that_no_line_can_have_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"control character|characters"):
        sbatch_line("comment", value)

"""Filters of `pull` match as in the first `distribute`, and explain what they can't."""

from __future__ import annotations

import re
import subprocess
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.client.pull.filters import Filter, glob_as_regex, make_filter
from distribute.client.words import argument, printable
from distribute.core.errors import InputError

PATHS = [
    "lab/sweep/run1/out.csv",
    "lab/sweep/run1/a+b(1).txt",
    "lab/sweep/run2/deep/out.csv",
    "lab/sweep/run_2/Ω.dat",
    "lab/sweep/sweep_build_output-ws1.txt",
]


def found(*include: str, exclude: tuple[str, ...] = ()) -> list[str]:
    wanted = make_filter(include, exclude)
    return [path.removeprefix("lab/sweep/") for path in PATHS if wanted.wants(path)]


@pytest.mark.parametrize(
    "pattern",
    [
        "/run1/",
        "sweep/run1",
        "^lab/sweep/run1/",
        "^/lab/sweep/run1/",
        "^sweep/run1/",
        r"\Asweep/run1/",
        "lab/.*run1",
        "(?<=^lab/sweep/)run1",
        "RUN1|(?i:Run1)",
    ],
)
def test_a_pattern_is_searched_for_in_the_whole_path(pattern: str) -> None:
    assert found(pattern) == ["run1/out.csv", "run1/a+b(1).txt"]


def test_namespace_and_batch_match_every_file() -> None:
    for pattern in ("lab", "/lab/", "sweep", "lab/sweep/", "^/lab/sweep/"):
        assert len(found(pattern)) == len(PATHS)


def test_any_include_matches_and_any_exclude_wins() -> None:
    assert found("/run1/", r"\.csv$", exclude=("deep", r"\(")) == ["run1/out.csv"]
    assert found(exclude=("run",)) == ["sweep_build_output-ws1.txt"]
    assert Filter().is_all
    assert all(Filter().wants(path) for path in PATHS)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(names=st.lists(NAMES, min_size=1, max_size=3), raw=st.binary(max_size=3), tail=st.integers(0, 9))
def test_every_path_that_is_listed_can_be_pasted_as_a_pattern(
    names: list[str], raw: bytes, tail: int
) -> None:
    """Whole, with the namespace or without; or a piece of it that has a slash."""
    odd = raw.replace(b"/", b"").replace(b"\0", b"").decode(errors="surrogateescape")
    path = "/".join(["lab", "sweep", *names, odd + "x"])
    for shown in (printable(path), printable(path.partition("/")[2]), printable(path)[-tail - 1 :]):
        if "/" in shown:
            wanted = make_filter([shown], [])
            assert wanted.wants(path)
            wanted.check([path])
            assert not make_filter([], [shown]).wants(path)


def test_every_wrong_expression_is_reported_with_place_and_cause() -> None:
    with pytest.raises(InputError) as caught:
        make_filter(["a(b", "fine"], ["*", ""])
    unclosed, repeated, empty = caught.value.problems
    assert unclosed == (
        "'a(b' is not a regular expression: missing ), unterminated subpattern at character 2; "
        r"to search for it as plain text, write 'a\(b'"
    )
    assert repeated.startswith("'*' is not a regular expression: nothing to repeat at character 1;")
    assert empty == "'' matches every file; leave it out, or write what to look for"


def test_a_wrong_expression_with_a_slash_is_wrong_only_if_it_is_no_piece_of_a_path() -> None:
    wanted = make_filter(["run1/a+b(1", "run3/a+b(1"], [])
    assert [path for path in PATHS if wanted.wants(path)] == [PATHS[1]]
    with pytest.raises(InputError, match=r"^'run3/a\+b\(1' is not a regular expression: missing \)[^\n]*$"):
        wanted.check(PATHS)
    make_filter(["run1/a+b(1"], []).check(PATHS)


EXPLAINED = {
    "run[[:digit:]]/": "run[0-9]/",
    "[[:upper:]_-]x": "[A-Z_-]x",
    "[[:^alpha:]]x": "[^A-Za-z]x",
    "[^[:space:]]x": r"[^\s]x",
    "[x[:^space:]]": r"[x\S]",
    r"\p{Greek}": r"[\u0370-\u03ff]",
    r"\pL+\P{L}": "[A-Za-z]+[^A-Za-z]",
    r"[\p{Lu}0]": "[A-Z0]",
    r"\x{41}\u{3a9}[\x{41}]": r"\x41\U000003a9[\x41]",
    "(?<run>r)(?P=run)": "(?P<run>r)(?P=run)",
    r"\<run\>": r"\b(?=\w)run\b(?<=\w)",
    r"\b{start}run\b{end}": r"\b(?=\w)run\b(?<=\w)",
    r"\b{start-half}run\b{end-half}": r"(?<!\w)run(?!\w)",
}


@pytest.mark.parametrize(("rust", "python"), EXPLAINED.items())
def test_a_form_of_rust_is_explained_with_the_same_for_python(rust: str, python: str) -> None:
    with pytest.raises(InputError) as caught:
        make_filter([rust, "fine"], []).check([])
    assert caught.value.problems[0].startswith(
        f"'{printable(rust)}': pull takes Python's regular expressions, which lack '"
    )
    assert caught.value.problems[0].endswith(f"; write {argument(python)}")
    make_filter([python], [])


@pytest.mark.parametrize(
    ("rust", "advice"),
    [
        ("a(?i)b", "lack '(?i)'; write (?i:…) around what it is for"),
        ("a(?s-i)b", "lack '(?s-i)'; write (?s-i:…) around what it is for"),
        ("(?U)a.*", "lack '(?U)'; leave it out"),
        ("(?-u)a", "lack '(?-u)'; leave it out"),
        ("[a-z&&[^x]]", "lack '&&' and '['; write the set that comes of it"),
        ("[a-z--x]", "lack '--'; write the set that comes of it"),
        ("[[:nothing:]]", "lack '[:nothing:]'; write the characters that you mean, as in '[a-z]'"),
        (r"\p{Thai}", r"lack '\p{Thai}'; write the characters that you mean, as in '[a-z]'"),
    ],
)
def test_a_form_of_rust_without_a_short_equal_is_explained(rust: str, advice: str) -> None:
    with pytest.raises(InputError, match=re.escape(advice)):
        make_filter([rust], [])


@pytest.mark.parametrize(
    "pattern",
    [
        "[]a]",
        "[^]a]",
        r"\[[:digit:]",
        r"\\p{L}",
        "(?i)a",
        "(?i:a)",
        "(?-i:a)",
        "(?P<x>a)(?=b)(?!c)(?<=d)(?<!e)(?P=x)(?#c)",
        r"[\[&-]",
        "[:digit:]",
        r"a{2}\b\d\Z",
    ],
)
def test_what_python_has_is_taken_as_it_is(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = re.compile(pattern)
    (made,) = make_filter([pattern], []).include
    assert made.regex == expected


def test_a_long_pattern_is_not_repeated_whole() -> None:
    with pytest.raises(InputError) as caught:
        make_filter(["(" * 100_000], [])
    assert len(str(caught.value)) < 400


GLOBS = {
    "*.csv": (r"\.csv$", ["run1/out.csv", "run2/deep/out.csv"]),
    "**/*.csv": (r"/[^/]*\.csv$", ["run1/out.csv", "run2/deep/out.csv"]),
    "run?/*": ("/run[^/]/[^/]*$", ["run1/out.csv", "run1/a+b(1).txt"]),
    "run[!1]/**": ("/run[^1]/.*$", ["run2/deep/out.csv"]),
    "o*.c?v": (r"/o[^/]*\.c[^/]v$", ["run1/out.csv", "run2/deep/out.csv"]),
}


@pytest.mark.parametrize(("glob", "expected"), GLOBS.items())
def test_a_pattern_of_the_shell_is_translated(glob: str, expected: tuple[str, list[str]]) -> None:
    assert (glob_as_regex(glob), found(glob_as_regex(glob))) == expected


def test_hints_work_as_pasted_into_a_shell() -> None:
    wrong = {
        "*.csv": "x.csv",
        "a(b": "a(b",
        "it's(": "it's(",
        "[[:digit:]]$": "x7",
        "(\n": "(\n",
        "$(x": "$(x",
    }
    for pattern, meant in wrong.items():
        with pytest.raises(InputError) as caught:
            make_filter([pattern], [])
        hint = str(caught.value).rpartition("write ")[2]
        pasted = subprocess.run(
            ["bash", "-c", f"printf %s {hint}"], capture_output=True, text=True, check=True
        )
        assert make_filter([pasted.stdout], []).wants(f"lab/sweep/job/{meant}")
        assert not make_filter([pasted.stdout], []).wants("lab/sweep/job/other")

"""Reading YAML: the values, their places, and the messages about what can't be read."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path

import pytest

from distribute.config.yaml import yaml_source
from distribute.config.yaml.yaml_source import LOADERS, Document, Loader
from distribute.config.yaml.yaml_syntax import Found, Problem
from distribute.core.errors import InputError

LIBYAML, PURE_PYTHON = LOADERS


@pytest.fixture(params=LOADERS, ids=["libyaml", "pure Python"])
def loader(request: pytest.FixtureRequest) -> Loader:
    chosen: Loader = request.param
    return chosen


def problems_of(text: str, loader: Loader) -> list[str]:
    try:
        document = Document(text, "f", loader)
    except InputError as error:
        return list(error.problems)
    return document.lines(document.found)


def test_scalars_stay_the_text_that_the_user_wrote(loader: Loader) -> None:
    written = ["no", "1e3", "0123", "1.10", "12:30:00", "2024-01-01", "true", "0x10", "1_000", "=", ".inf"]
    text = "\n".join(f"- {scalar}" for scalar in written)
    assert Document(text, "f", loader).value == written


def test_only_a_plain_null_is_none(loader: Loader) -> None:
    text = "[null, ~, Null, NULL, 'null', \"\", !!str null, nUll]"
    assert Document(text, "f", loader).value == [None, None, None, None, "null", "", "null", "nUll"]
    assert Document("a:\nb: ''\n", "f", loader).value == {"a": None, "b": ""}


def test_leading_dashes_comments_and_windows_line_ends_are_fine(loader: Loader) -> None:
    document = Document("---\r\n# hello\r\na:\r\n  - x\r\n  - y\r\n", "f", loader)
    assert document.value == {"a": ["x", "y"]}
    assert document.line_of(("a", 1)) == 5


def test_every_value_has_its_line_and_column(loader: Loader) -> None:
    document = Document(
        "é: x\na:\n  - b: {c: 1, d: [ü, 2]}\n    'e': |\n      long\n      text\n", "f", loader
    )

    def place(*loc: str | int, of_key: bool = False) -> str:
        return document.lines(Found([Problem(document.offset(loc, of_key=of_key), "")]))[0]

    assert place("é") == "f:1:4: "
    assert place("a") == "f:3:3: "
    assert place("a", of_key=True) == "f:2:1: "
    assert place("a", 0, "b", "c") == "f:3:12: "
    assert place("a", 0, "b", "d", 1) == "f:3:22: "
    assert place("a", 0, "e", of_key=True) == "f:4:5: "
    assert place("a", 0, "e") == "f:4:10: "
    assert place("a", 0, "not there", "nor this") == "f:3:5: "
    assert place() == "f:1:1: "


def test_an_alias_has_the_place_of_its_anchor(loader: Loader) -> None:
    text = "one: &one {a: 1, b: 2}\ntwo:\n  <<: *one\n  b: 3\nthree: *one\nfour:\n  <<: [*one, {c: 4}]\n"
    document = Document(text, "f", loader)
    assert document.value == {
        "one": {"a": "1", "b": "2"},
        "two": {"b": "3", "a": "1"},
        "three": {"a": "1", "b": "2"},
        "four": {"a": "1", "b": "2", "c": "4"},
    }
    assert document.line_of(("two", "a")) == 1
    assert document.line_of(("two", "b")) == 4
    assert document.line_of(("three", "b")) == 1
    assert document.line_of(("four", "c")) == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: c\n", "f:2:1: a tab in the indentation; write spaces instead: '  b: c'"),
        (
            "a:\n  b: x\n\tc: d\n",
            "f:3:1: a tab in the indentation; write spaces instead: '  c: d'",
        ),
        (
            "a:\n  b: x\n  \tc: d\n",
            "f:3:3: a tab in the indentation; write spaces instead: '  c: d'",
        ),
        ("- \tname: x\n", "f:1:3: a tab in the indentation; write spaces instead: '-   name: x'"),
        (
            "a:\n  - b: x\n\t\tc: y\n",
            "f:3:1: a tab in the indentation; write spaces instead: '    c: y'",
        ),
        ("a: @u:s # x\n", "f:1:4: '@' can't start a text without quotes; write a: \"@u:s\" # x"),
        (
            "- {a: b, m: @u:s , c: d}\n",
            "f:1:13: '@' can't start a text without quotes; write - {a: b, m: \"@u:s\" , c: d}",
        ),
        ("a: [@u]\n", "f:1:5: '@' can't start a text without quotes; write a: [\"@u\"]"),
        ("a: `x`\n", "f:1:4: '`' can't start a text without quotes; write a: \"`x`\""),
        ('- %x "y"\n', "f:1:3: '%' can't start a text without quotes; write - '%x \"y\"'"),
        ("a: @" + "x" * 200, "f:1:4: '@' can't start a text without quotes; put quotes around it"),
        (
            "a: *\n",
            "f:1:4: '*' starts a reference to an anchor; if you mean text, write a: \"*\"",
        ),
        (
            "a: [x, *.dat]\n",
            "f:1:8: '*' starts a reference to an anchor; if you mean text, write a: [x, \"*.dat\"]",
        ),
        (
            "a: *foo\n",
            ('f:1:4: *foo refers to an anchor that is not above it; if you mean text, write a: "*foo"'),
        ),
        (
            "a: b: c\n",
            (
                "f:1:5: no key can end here; indent the line like its neighbours or, "
                "if this ':' is part of a text, write a: \"b: c\""
            ),
        ),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document starts here; write one batch a file"),
        ("a: 'x\n", "f:1:4: this quote is never closed; write the closing quote"),
        (
            "a:\n   b: 1\n  c: 2\n",
            "f:3:3: this does not line up with what begins on line 1; indent it equally, or deeper",
        ),
        ("a: 1\nb: 2\na: 3\n", "f:3:1: the key 'a' is on line 1 already; remove one of the two"),
        ("a: !x 3\n", "f:1:4: the tag !x means nothing here; remove it, or quote the text"),
        (
            "a: !!python/object:os.system 3\n",
            "f:1:4: the tag !!python/object:os.system means nothing here; remove it, or quote the text",
        ),
        (
            "a: {{x}}\n",
            "f:1:5: a key must be text, and this is a mapping in {…}; put quotes around what is text",
        ),
        (
            "a: \0\n",
            'f:1:4: YAML does not allow the character U+0000 itself; write it as "\\x00", or remove it',
        ),
        (
            "a: \ufffe\n",
            'f:1:4: YAML does not allow the character U+FFFE itself; write it as "\\ufffe", or remove it',
        ),
        ("a: 1\n  b\nc\n", "f:3:1: a key without ':'; write KEY: VALUE"),
        (
            " a: 1\nb: 2\n",
            "f:2:1: this belongs to nothing above; start top-level keys at the beginning of their lines",
        ),
        ("a: 1\n<<: 3\n", "f:2:1: '<<' merges mappings; write <<: *NAME, where &NAME marks a mapping above"),
        ("[" * 60 + "]" * 60, "f:1:52: nested more than 50 deep; close the brackets before this"),
        (
            "a: &x 1\nb: &x 2\n",
            "f:2:4: the anchor &x is on line 1 already; rename one of the two",
        ),
        (
            "a: &a\n  <<: *a\n",
            "f:1:4: what starts here contains an alias of itself; remove the alias, or quote the '*'",
        ),
        (
            "- &a [*a]\n",
            ("f:1:3: what starts here contains an alias of itself; remove the alias, or quote the '*'"),
        ),
    ],
)
def test_each_fault_is_reported_with_place_and_remedy(text: str, expected: str, loader: Loader) -> None:
    assert problems_of(text, loader) == [expected]


@pytest.mark.parametrize("text", ["a: [b, c\nd: e\n", "a: {b: 1\nd: e\n", "[1, 2"])
def test_an_open_bracket_is_reported_with_its_line(text: str, loader: Loader) -> None:
    (problem,) = problems_of(text, loader)
    opening, closing = "{}" if "{" in text else "[]"
    assert problem.endswith(
        f": the '{opening}' on line 1 is not closed before this; "
        f"write ',' between items, '{closing}' after them"
    )


def test_a_backslash_in_double_quotes_is_reported(loader: Loader) -> None:
    (problem,) = problems_of('a: "C:\\data"\n', loader)  # the two parsers differ by a column
    assert re.fullmatch(
        r"f:1:[78]: in double quotes '\\' starts an escape; write '\\\\', or use single quotes", problem
    )


def test_all_tabs_and_unquoted_users_are_reported_together(loader: Loader) -> None:
    text = "---\nmeta:\n\tnamespace: jane\n\tmatrix: @jane:lab.org\npython:\n\tjobs:\n"
    assert problems_of(text, loader) == [
        (
            "f:3:1: a tab in the indentation, here and on lines 4 and 6; "
            "write spaces instead: '  namespace: jane'"
        ),
        "f:4:10: '@' can't start a text without quotes; write matrix: \"@jane:lab.org\"",
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [(1, ""), (2, ", here and on line 3"), (9, ", here and on lines 3, 4, 5, 6, 7 and 3 more")],
)
def test_a_tab_is_reported_once_with_the_lines_of_the_others(lines: int, told: str, loader: Loader) -> None:
    text = "a:\n" + "".join(f"\tk{number}: x\n" for number in range(lines))
    assert problems_of(text, loader) == [
        f"f:2:1: a tab in the indentation{told}; write spaces instead: '  k0: x'"
    ]


def test_a_tab_that_yaml_allows_is_not_reported(loader: Loader) -> None:
    text = "build: |\n  all:\n  \tcc x.c\nb:\n\tc: d\n"
    assert problems_of(text, loader) == ["f:5:1: a tab in the indentation; write spaces instead: '  c: d'"]


BROKEN = """\
---
meta:
\tbatch_name: b
\tnamespace: n
\tmatrix: @jane:lab.org
\tcapabilities: [ python3 ]
python:
\tinitialize: {build_file: `build.py`}
\tjobs:
\t\t- name: run: 1
\t\t  file: @run.py
\t\t\trequired_files:
\t\t\t\t- *.dat
"""


def test_a_file_is_mended_line_by_line_with_what_is_told(loader: Loader) -> None:
    """As a person does it, who writes what the first problem says, and tries again."""
    lines = BROKEN.splitlines()
    for _ in range(2 * len(lines)):
        try:
            value = Document("\n".join(lines), "f", loader).value
        except InputError as error:
            place, _, problem = error.problems[0].partition(": ")
            number = int(place.split(":")[1]) - 1
            told = re.search(r"write spaces instead: '(.*)'$|write (.*)$", problem)
            assert told is not None, problem
            indentation = re.match(" *", lines[number])
            assert indentation is not None
            lines[number] = told[1] or indentation[0] + told[2]
        else:
            break
    assert value == {
        "meta": {
            "batch_name": "b", "namespace": "n", "matrix": "@jane:lab.org", "capabilities": ["python3"]
        },
        "python": {
            "initialize": {"build_file": "`build.py`"},
            "jobs": [{"name": "run: 1", "file": "@run.py", "required_files": ["*.dat"]}],
        },
    }  # fmt: skip


def test_tabs_outside_the_indentation_are_fine(loader: Loader) -> None:
    text = "build: |\n  all:\n  \tcc x.c\nc: 1 # \tx\n"
    assert Document(text, "f", loader).value == {"build": "all:\n\tcc x.c\n", "c": "1"}


def test_a_tab_after_a_colon_is_fine_if_the_parser_accepts_it() -> None:
    assert Document("a:\tb\n", "f", LIBYAML).value == {"a": "b"}
    assert problems_of("a:\tb\n", PURE_PYTHON) == ["f:1:3: a tab, where YAML takes spaces only; write spaces"]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.sif").write_bytes(b"abc\xff\xfe")
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: é\n".encode("latin-1"))
    (tmp_path / "wide.yaml").write_bytes("a: 1\n".encode("utf-16"))
    (tmp_path / "solver").write_bytes(b"\x7fELF\0\0\xff")
    (tmp_path / "bom.yaml").write_bytes("\ufeffa: 1\n".encode())
    assert Document.read(tmp_path / "bom.yaml").value == {"a": "1"}
    for name, why in [
        ("image.sif", "byte 4, on line 1, is not UTF-8; save the file in UTF-8"),
        ("latin.yaml", "byte 9, on line 2, is not UTF-8; save the file in UTF-8"),
        ("wide.yaml", "this is text in UTF-16; save it in UTF-8"),
        ("solver", "this is a binary file; write the path of a YAML file"),
        ("", "this is a folder; write the path of a YAML file"),
        ("gone.yaml", "there is no such file; write the path of an existing file"),
    ]:
        with pytest.raises(InputError) as caught:
            Document.read(tmp_path / name)
        assert caught.value.problems == (f"{tmp_path / name}: {why}",)


def test_a_problem_is_one_line_even_if_the_file_name_is_two(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.yaml"
    path.write_text("a: @x\n")
    with pytest.raises(InputError) as caught:
        Document.read(path)
    assert str(caught.value).startswith(f"{str(path)!r}:1:4: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000 + "}" * 5000, "- " * 5000 + "x\n"])
@pytest.mark.parametrize("limit", [1000, 20_000])
def test_a_file_nested_deeper_than_the_parser_allows_is_refused(
    text: str, limit: int, loader: Loader
) -> None:
    """Whatever limit Python has: other programs in the process may set that."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        (problem,) = problems_of(text, loader)
    finally:
        sys.setrecursionlimit(before)
    assert problem.endswith(": nested more than 50 deep; close the brackets before this")


def test_each_anchor_is_read_once_however_many_aliases_it_has(loader: Loader) -> None:
    levels = 40  # read as often as they are referred to, they would be 2**40 lists
    lines = ["- &a0 [x]", *(f"- &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels))]
    document = Document("\n".join(lines), "f", loader)
    assert isinstance(document.value, list)
    last = document.value[-1]
    assert isinstance(last, list)
    assert last[0] is last[1]
    assert document.line_of((levels - 1, 0)) == levels - 1


def test_each_mapping_is_merged_once_however_many_others_merge_it(loader: Loader) -> None:
    levels = 40
    lines = ["m0: &m0 {x: 1}", *(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, levels))]
    document = Document("\n".join(lines), "f", loader)
    assert isinstance(document.value, dict)
    assert document.value[f"m{levels - 1}"] == {"x": "1"}
    assert document.line_of((f"m{levels - 1}", "x")) == 1
    assert document.line_of((f"m{levels - 1}", "not there")) == levels


def test_the_first_of_several_merged_mappings_wins(loader: Loader) -> None:
    text = "a: &a {key: first}\nb: &b {key: second, other: x}\nc: {<<: [*a, *b]}\n"
    document = Document(text, "f", loader)
    assert isinstance(document.value, dict)
    assert document.value["c"] == {"key": "first", "other": "x"}
    assert document.line_of(("c", "key")) == 1
    assert document.line_of(("c", "other")) == 2


def test_a_list_that_an_item_of_its_own_names_is_refused(loader: Loader) -> None:
    """The item is read before the list is composed."""
    text = "jobs: &all\n- {a: 1}\n- {b: *all}\n- {c: 2}\n"
    assert problems_of(text, loader) == [
        "f:1:7: what starts here contains an alias of itself; remove the alias, or quote the '*'"
    ]


def test_items_that_are_read_before_the_list_ends_can_be_named_merged_and_placed(loader: Loader) -> None:
    text = "- &first {a: 1, b: &inner {c: 2}}\n- {d: 3}\n- {<<: *first, a: 4}\n- *inner\n- [{e: 5}, *first]\n"
    document = Document(text, "f", loader)
    assert document.value == [
        {"a": "1", "b": {"c": "2"}},
        {"d": "3"},
        {"a": "4", "b": {"c": "2"}},
        {"c": "2"},
        [{"e": "5"}, {"a": "1", "b": {"c": "2"}}],
    ]
    assert text[document.offset((2, "b", "c")) :].startswith("2}}\n- {d")


def test_a_long_list_of_jobs_takes_little_memory(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nodes would take 50 times as much as its text. Only those of small files are kept."""
    monkeypatch.setattr(yaml_source, "KEPT_CHARS", 0)
    text = "jobs:\n" + "".join(
        f"- name: job{number}\n  command: [./solver, --re, '{number}']\n  env: {{THREADS: '4', SEED: 'x'}}\n"
        for number in range(500)
    )
    tracemalloc.start()
    try:
        Document(text, "f", loader)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25 * len(text)

"""Forms of regular expressions that Rust has and Python lacks, or reads as something else.

The first `distribute` filtered with Rust's `regex`. If Python has another form for the same, we show the
pattern as Python takes it. No library would spare us this: `google-re2` refuses what people who know Python
write, such as `(?=…)`; `regex` refuses `\\x{…}`, `\\b{start}` and `(?U)`, and takes `\\<` for a plain `<`.

Source: https://docs.rs/regex/latest/regex/#syntax
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "word": r"\w",
    "xdigit": "0-9A-Fa-f",
}
_UNICODE = {
    "L": "A-Za-z",
    "Letter": "A-Za-z",
    "Alphabetic": "A-Za-z",
    "Lu": "A-Z",
    "Uppercase": "A-Z",
    "Ll": "a-z",
    "Lowercase": "a-z",
    "N": r"\d",
    "Nd": r"\d",
    "Number": r"\d",
    "P": r"!-/:-@\[-`{-~",
    "Punctuation": r"!-/:-@\[-`{-~",
    "Z": r"\s",
    "White_Space": r"\s",
    "Greek": r"\u0370-\u03ff",
    "Cyrillic": r"\u0400-\u04ff",
}
_BOUNDARIES = {
    r"\<": r"\b(?=\w)",
    r"\b{start}": r"\b(?=\w)",
    r"\>": r"\b(?<=\w)",
    r"\b{end}": r"\b(?<=\w)",
    r"\b{start-half}": r"(?<!\w)",
    r"\b{end-half}": r"(?!\w)",
}
_LATER = sys.version_info >= (3, 14)

_OUTSIDE = re.compile(
    r"""
    \\(?P<property>[pP](?:\{[^}]*\}|.))
  | \\[xuU]\{(?P<code>[0-9A-Fa-f]{1,8})\}
  | (?P<boundary>\\[<>]|\\b\{[a-z-]+\})
  | (?P<end>\\z)
  | \(\?(?P<name><(?![=!]))
  | (?P<flags>\(\?[a-zA-Z]*(?:-[a-zA-Z]+)?[:)])
  | \[\[:\^(?P<none_of>[a-z]+):\]\]
  | (?P<set>\[\^?\]?)
  | \\.
    """,
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(
    r"""
    \[:(?P<negated>\^?)(?P<posix>[a-z]+):\]
  | \\(?P<property>[pP](?:\{[^}]*\}|.))
  | \\[xuU]\{(?P<code>[0-9A-Fa-f]{1,8})\}
  | (?P<operator>&&|--|~~)
  | (?P<nested>\[)
  | (?P<close>\])
  | \\.
    """,
    re.VERBOSE | re.DOTALL,
)


class Form(NamedTuple):
    """A form at `start` to `end` of a pattern.

    `instead` is the same in Python. It is None if nothing can stand in its place: `advice` says what to do.
    """

    start: int
    end: int
    instead: str | None
    advice: str = ""


def foreign_forms(pattern: str) -> list[Form]:
    """The forms in a pattern that Python lacks or reads as something else, in order."""
    return list(_forms(pattern))


def in_python(pattern: str, forms: list[Form]) -> str | None:
    """The pattern with these forms as Python has them. None: not all can be replaced one by one."""
    pieces: list[str] = []
    at = 0
    for form in forms:
        if form.instead is None:
            return None
        pieces += [pattern[at : form.start], form.instead]
        at = form.end
    changed = "".join([*pieces, pattern[at:]])
    try:
        re.compile(changed)
    except re.error:
        return None
    return changed


def _forms(pattern: str) -> Iterator[Form]:
    at, is_inside = 0, False
    while found := (_INSIDE if is_inside else _OUTSIDE).search(pattern, at):
        at = found.end()
        kind = found.lastgroup
        if kind == "set":
            is_inside = True
        elif kind == "close":
            is_inside = False
        elif kind is not None:
            form = _form(found, is_inside=is_inside)
            if form is not None:
                yield form


def _form(found: re.Match[str], *, is_inside: bool) -> Form | None:
    start, end = found.span()
    text = found[0]
    match found.lastgroup:
        case "posix":
            return Form(start, end, *_posix(found["posix"], negated=bool(found["negated"])))
        case "none_of" if found["none_of"] in _POSIX:
            return Form(start, end, f"[^{_POSIX[found['none_of']]}]")
        case "none_of":
            return Form(start, end, *_posix(found["none_of"], negated=True))
        case "property":
            return Form(start, end, *_property(found["property"], is_inside=is_inside))
        case "code":
            code = int(found["code"], 16)
            return Form(start, end, f"\\x{code:02x}" if code < 256 else f"\\U{code:08x}")
        case "boundary" if text in _BOUNDARIES:
            return Form(start, end, _BOUNDARIES[text])
        case "end":
            return None if _LATER else Form(start, end, r"\Z")
        case "name":
            return Form(start, end, "(?P<")
        case "flags":
            return _flags(found)
        case "operator":
            return Form(
                start, end, None, "write the set that comes of it, or (?=[…]) or (?![…]) before another set"
            )
        case "nested":
            return Form(
                start, end, None, r"write '\[' for the character, and one set instead of a set in a set"
            )
        case _:
            return None


def _posix(name: str, *, negated: bool) -> tuple[str | None, str]:
    members = _POSIX.get(name)
    if members is not None and not negated:
        return members, ""
    if members is not None and members.startswith("\\") and len(members) == 2:
        return members.upper(), ""
    return (r"\D", "") if name == "digit" else (None, "write the characters that you mean, as in '[a-z]'")


def _property(text: str, *, is_inside: bool) -> tuple[str | None, str]:
    name = text[1:].strip("{}")
    negated = (text[0] == "P") != name.startswith("^")
    members = _UNICODE.get(name.removeprefix("^"))
    if members is None or (negated and is_inside):
        return None, "write the characters that you mean, as in '[a-z]'"
    return (members, "") if is_inside else (f"[{'^' if negated else ''}{members}]", "")


def _flags(found: re.Match[str]) -> Form | None:
    start, end = found.span()
    on, _, off = found["flags"][2:-1].partition("-")
    if set(on + off) & set("UR") or "u" in off or not set(on + off) <= set("aiLmsux"):
        return Form(start, end, None, "leave it out")
    if found["flags"].endswith(":"):
        return None
    if start == 0 and not off:
        return None
    return Form(start, end, None, f"write (?{on}{'-' + off if off else ''}:…) around what it is for")

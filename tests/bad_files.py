"""Bad YAML files of any size. Each maker returns a file of about `size` bytes with one kind of fault.

The benchmark measures how long each takes; a unit test counts the work. Both use them as `{name: maker}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

Maker = Callable[[int], bytes]

META = "meta: {namespace: n, batch_name: b}\n"
COMMAND = f"{META}command:\n  jobs:\n"
ONE_JOB = "command: {jobs: [{name: a, command: x}]}\n"
IMAGE = "apptainer: {jobs: [{name: a}], initialize: {sif: x.sif, required_mounts: ["

MAKERS: dict[str, Maker] = {}


def _filled(begin: str, piece: Callable[[int], str], end: str = "") -> Maker:
    """A maker: `begin`, then as many numbered pieces as fit, then `end`."""

    def make(size: int) -> bytes:
        return "".join([begin, *_pieces(piece, size - len(begin) - len(end)), end]).encode()

    return make


def _pieces(piece: Callable[[int], str], size: int) -> Iterator[str]:
    for number in count():
        text = piece(number)
        size -= len(text.encode())
        if size < 0:
            return
        yield text


def _long(begin: str, letter: str, end: str = "") -> Maker:
    """A maker of one long value."""
    return lambda size: (begin + letter * (size - len(begin) - len(end)) + end).encode()


def _half(begin: str, first: Callable[[int], str], between: str, second: Callable[[int], str]) -> Maker:
    """A maker: half of the file has pieces of one kind, the other half pieces of another."""
    return lambda size: (
        begin + "".join(_pieces(first, size // 2)) + between + "".join(_pieces(second, size // 2))
    ).encode()


def _chain(size: int) -> bytes:
    """Each mapping merges the one before."""
    links = "".join(_pieces(lambda n: f"- &m{n + 1} {{<<: *m{n}, k{n}: 1}}\n", size))
    return f"- &m0 {{a: 1}}\n{links}".encode()


def _deep_aliases(size: int) -> bytes:
    """Each list holds the one before, by an alias."""
    return ("- &a0 []\n" + "".join(_pieces(lambda n: f"- &a{n + 1} [*a{n}]\n", size))).encode()


JOB_LINE = "    - {name: j%d, command: x, %s}\n"

MAKERS |= {
    "unknown keys of a mapping": _filled("meta:\n", lambda n: f"  k{n}: 1\n"),
    "unknown keys at the top level": _filled(META + ONE_JOB, lambda n: f"k{n}: 1\n"),
    "unknown keys of each job": _filled(COMMAND, lambda n: JOB_LINE % (n, f"k{n}: 1")),
    "misspelt keys of each job": _filled(COMMAND, lambda n: f"    - {{nme{n}: a, comand{n}: x}}\n"),
    "one unknown key in each job": _filled(COMMAND, lambda n: JOB_LINE % (n, "requird_files: []")),
    "doubled keys": _filled(META, lambda n: "k: 1\n"),
    "many keys, all doubled": _half(META, lambda n: f"k{n}: 1\n", "", lambda n: f"k{n}: 1\n"),
    "bad names of variables": _filled(META + "command:\n  env:\n", lambda n: f"    {n}: x\n"),
    "bad values of variables": _filled(META + "command:\n  env:\n", lambda n: f"    K{n}: []\n"),
    "variables with a NUL": _filled(META + "command:\n  env:\n", lambda n: f'    K{n}: "\\0"\n'),
    "bad mounts": _filled(META + IMAGE, lambda n: f"r{n},", "]}}"),
    "doubled mounts": _filled(META + IMAGE, lambda n: f"/m{n},", "/m0]}}"),
    "empty jobs": _filled(COMMAND, lambda n: "    - {}\n"),
    "empty jobs after good ones": _half(
        COMMAND, lambda n: f"    - {{name: j{n}, command: x}}\n", "", lambda n: "    - {}\n"
    ),
    "jobs with many wrong keys": _filled(COMMAND, lambda n: "    - {name: , a, b, c, d, e}\n"),
    "jobs that are texts": _filled(COMMAND, lambda n: f"    - j{n}\n"),
    "jobs that are lists": _filled(COMMAND, lambda n: "    - []\n"),
    "jobs without a command": _filled(COMMAND, lambda n: f"    - {{name: j{n}}}\n"),
    "jobs of one name": _filled(COMMAND, lambda n: "    - {name: a, command: x}\n"),
    "jobs with bad names": _filled(COMMAND, lambda n: f"    - {{name: a/{n}, command: x}}\n"),
    "huge numbers": _filled(COMMAND, lambda n: JOB_LINE % (n, f"retries: {'9' * 4400}")),
    "numbers out of range": _filled(COMMAND, lambda n: JOB_LINE % (n, "retries: 999")),
    "wrong durations": _filled(COMMAND, lambda n: JOB_LINE % (n, f"timeout: {n} hors")),
    "wrong sizes": _filled(COMMAND, lambda n: JOB_LINE % (n, f"resources: {{memory: {n} gigs}}")),
    "too many needs": _filled(COMMAND, lambda n: JOB_LINE % (n, f"resources: {{memory: {n}M}}")),
    "missing files of jobs": _filled(COMMAND, lambda n: JOB_LINE % (n, f"required_files: [f{n}]")),
    "one missing file in each job": _filled(COMMAND, lambda n: JOB_LINE % (n, "required_files: [gone]")),
    "many missing files of one job": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: f"f{n},", "]}\n"
    ),
    "missing files with aliases": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: f"{{path: f{n}}},", "]}\n"
    ),
    "missing files with whole paths": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: f"/f{n},", "]}\n"
    ),
    "missing files of the parent folder": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: f"../f{n},", "]}\n"
    ),
    "missing files of unknown users": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: f"~u{n}/f,", "]}\n"
    ),
    "files of one name": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: f"d{n}/f,", "]}\n"
    ),
    "files that are lists": _filled(
        COMMAND + "    - {name: a, command: x, required_files: [", lambda n: "[],", "]}\n"
    ),
    "arguments that are lists": _filled(COMMAND + "    - {name: a, command: [", lambda n: "[],", "]}\n"),
    "jobs with an alias of many files": _half(
        f"{META}command:\n  initialize: {{required_files: &all [",
        lambda n: f"f{n},",
        "]}\n  jobs:\n",
        lambda n: f"    - {{name: j{n}, command: x, required_files: *all}}\n",
    ),
    "jobs with an alias of many arguments": _half(
        f"{META}command:\n  initialize: {{required_files: &all [",
        lambda n: f"f{n},",
        "]}\n  jobs:\n",
        lambda n: f"    - {{name: j{n}, command: *all}}\n",
    ),
    "jobs with an alias of many variables": _half(
        f"{META}command:\n  env: &all {{",
        lambda n: f"{n}: 1,",
        "}\n  jobs:\n",
        lambda n: f"    - {{name: j{n}, command: x, env: *all}}\n",
    ),
    "jobs with an alias of a few bad files": _filled(
        f"{META}command:\n  initialize: {{required_files: &all [{'[],' * 20}]}}\n  jobs:\n",
        lambda n: f"    - {{name: j{n}, command: x, required_files: *all}}\n",
    ),
    "jobs that are one alias": _filled(COMMAND + "    - &j {name: a, command: x}\n", lambda n: "    - *j\n"),
    "jobs that merge many keys": _half(
        "meta: &all {", lambda n: f"k{n}: 1,", "}\ncommand:\n  jobs:\n", lambda n: "    - {<<: *all}\n"
    ),
    "jobs that merge one": _filled(
        COMMAND + "    - &j {name: a, nme: b, timeout: no}\n", lambda n: "    - {<<: *j}\n"
    ),
    "jobs that merge one and more": _filled(
        COMMAND + "    - &j {name: a, nme: b, timeout: no}\n", lambda n: "    - {<<: *j, a: 1}\n"
    ),
    "jobs that merge two": _filled(
        COMMAND + "    - &j {nme: b, timeout: no}\n    - &k {name: a}\n", lambda n: "    - {<<: [*j, *k]}\n"
    ),
    "jobs that merge one, on one line": _filled(
        f"{META}command:\n  jobs: [&j {{name: a, nme: b, timeout: no}}", lambda n: ",{<<: *j}", "]\n"
    ),
    "a merge of many": _half("- &all {", lambda n: f"k{n}: 1,", "}\n- {<<: [", lambda n: "*all,"),
    "a chain of merges": _chain,
    "a chain of aliases": _deep_aliases,
    "an alias of a long text": _half(
        META + 'command:\n  env: {A: &long "\\0',
        lambda n: "x",
        '"}\n  jobs:\n',
        lambda n: f"  - *long # {n}\n",
    ),
    "doubled anchors": _filled("", lambda n: "- &a 1\n"),
    "unknown aliases": _filled("", lambda n: f"- *a{n}\n"),
    "unknown tags": _filled("", lambda n: "- !x 1\n"),
    "a long key": _long("", "k", ": 1\n"),
    "a long name": _long("meta: {namespace: n, batch_name: ", "b", "}\n" + ONE_JOB),
    "a long value": _long(f"{META}command: {{jobs: [{{name: a, command: x, timeout: ", "9", "}]}\n"),
    "a long value of the wrong type": _long(f"{META}command: ", "x", "\n"),
    "a long tag": _long(f"{META}command: !", "x", " 1\n"),
    "a long alias": _long(f"{META}command: *", "x", "\n"),
    "a long path": _long(f"{META}command: {{jobs: [{{name: a, command: x, required_files: [", "x", "]}]}\n"),
    "a long matrix user": _long("meta: {namespace: n, batch_name: b, matrix: '@", "x", "'}\n" + ONE_JOB),
    "a long mount": _long(META + IMAGE, "x", "]}}"),
    "a long name of a variable": _long(f"{META}command: {{env: {{? ", "-", " : 1}}\n"),
    "a long user without quotes": _long("meta: {matrix: @", "x", "}\n"),
    "tabs": _filled("meta:\n", lambda n: f"\tk{n}: 1\n"),
    "users without quotes": _filled("", lambda n: f"k{n}: @u{n}\n"),
    "a line of blanks and a tab": _long("a:\n", " ", "\tb: 1\n"),
    "a line of dashes": _long("", "- ", "\n"),
    "open lists": _long("", "["),
    "open mappings": _long("", "{a: "),
    "open question marks": _long("", "? "),
    "an open quote": _long('a: "', "x"),
    "a dense list": _long("a: [", "a,", "]\n"),
    "dense lists": _filled("", lambda n: f"- [{'a,' * 1000}]\n"),
    "a long list of nothing": _long("", "-\n"),
    "many documents": _filled("", lambda n: "a: 1\n---\n"),
    "directives": _filled("", lambda n: "%A b\n"),
    "comments": _filled("", lambda n: "# nothing\n"),
    "empty lines": _long("", "\n"),
    "carriage returns": _filled(META.replace("\n", "\r\n") + "command:\r\n", lambda n: f"  k{n}: 1\r\n"),
    "lone carriage returns": _filled("meta:\r", lambda n: f"  k{n}: 1\r"),
    "a byte order mark": lambda size: b"\xef\xbb\xbf" + MAKERS["unknown keys of a mapping"](size),
    "text in UTF-16": lambda size: MAKERS["unknown keys of a mapping"](size // 2).decode().encode("utf-16"),
    "text in Latin-1": lambda size: b"a: \xe9\n" * (size // 6),
    "control characters": _filled(META, lambda n: f"k{n}: \x07\n"),
    "zeros": lambda size: bytes(size),
    "a binary file": lambda size: bytes(range(256)) * (size // 256),
    "letters beyond ASCII": _filled("meta:\n", lambda n: f"  ключ{n}: 1\n"),
    "one line of text": _long("", "word "),
    "lines of text": _filled("", lambda n: f"word {n}\n"),
    "an empty file": lambda size: b"",
}

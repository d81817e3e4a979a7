"""Files made of a template file: what they become, and how wrong templates are told."""

import pytest

from distribute.sweeps import Scalar, SweepError, written
from distribute.sweeps.rendering import FileTemplate

POINT: dict[str, Scalar] = {
    "re": written("100"),
    "dt": written("0.10"),
    "wet": written("false"),
    "case": "a b",
}


def rendered(text: str) -> str:
    return FileTemplate(text, "case.in.j2", POINT.keys()).render(POINT).decode()


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("Re = {{ re }}, dt = {{ dt }}\n", "Re = 100, dt = 0.10\n"),
        ("{{ re * 2 }} {{ dt / 2 }} {{ '%05.1f' % re }}", "200 0.05 100.0"),
        ("{% if wet %}wet{% else %}dry{% endif %} .{{ wet }}.", "dry .false."),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
        ("{{ other|default('none') }}{% if other is defined %}x{% endif %}", "none"),
        ("a\r\n{{ re }}\r\n", "a\r\n100\r\n"),
        ("<{{ case }}> ü", "<a b> ü"),
        ("{# a comment #}{{ '{{' }}{% raw %}{re}{{ re }}{% endraw %}", "{{{re}{{ re }}"),
    ],
)
def test_a_template_becomes_a_file(text: str, becomes: str) -> None:
    assert rendered(text) == becomes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a\n{{ ree }}",
            "case.in.j2:2: 'ree' names no parameter: did you mean re? there are re, dt, wet, case",
        ),
        ("a\n{% if x %}{% endif %}", "case.in.j2:2: 'x' names no parameter"),
        ("a\n\n{{ re", "case.in.j2:3: "),
        ("{% for i in range(3) %}", "case.in.j2:1: "),
        ("\n{{ re / 0 }}", "case.in.j2:2: division by zero (at re=100, dt=0.10, wet=false, case=a b)"),
        ("\n{{ case.nothing }}", "case.in.j2:2: "),
        ("{{ ''.__class__ }}", "unsafe"),
        ("{% include 'other' %}", "case.in.j2:1: no loader"),
        ("{{ re|nothing }}", "No filter named"),
        ("{{ [1]|random }}", "No filter named"),
        ("{{ lipsum() }}", "names no parameter"),
        ("{% for a in range(99999) %}{% for b in range(999) %}xxxx{% endfor %}{% endfor %}", "more than 16M"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_a_wrong_template_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(SweepError) as caught:
        rendered(text)
    assert words in str(caught.value)

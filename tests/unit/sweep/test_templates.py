"""Texts with placeholders: what they become, what stays as it is, and what is refused."""

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distribute.sweeps import NUMBER, Scalar, Sweep, SweepError, TextTemplate, default_name, named, written
from distribute.sweeps.points import Axis
from distribute.sweeps.sampling import Sample, Uniform

POINT: dict[str, Scalar] = {
    "re": written("100"),
    "dt": written("0.10"),
    "nu": 1e-5,
    "big": True,
    "case": "two words",
    "name": "it's",
    "Δ": 0.5,
}


def filled(text: str, *, for_shell: bool = False) -> str:
    return TextTemplate(text, POINT.keys(), for_shell=for_shell).fill(POINT)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("re{re}-dt{dt}", "re100-dt0.10"),
        ("{nu} {big} {case}", "1e-05 True two words"),
        ("{re:05d} {re:.1f} {dt:.3f} {nu:.0e}", "00100 100.0 0.100 1e-05"),
        ("{re:05}|{re:>5}|{re:<5}|{case:>12}|{dt:6}", "00100|  100|100  |   two words|  0.10"),
        ("{re:+}{re:x}{big:d}", "+100641"),
        ("{Δ}", "0.5"),
        ("${HOME} ${HOME:-x} $re", "${HOME} ${HOME:-x} $re"),
        ("awk '{print $1}' {}", "awk '{print $1}' {}"),
        ('{"a": {"re": {re}}}', '{"a": {"re": 100}}'),
        ("{{re}} {{print}} ${{re}}", "{re} {print} ${re}"),
        ("a{b,c}d {1..3} { x } }{", "a{b,c}d {1..3} { x } }{"),
        ("", ""),
    ],
)
def test_placeholders_are_filled_and_other_braces_stay(text: str, becomes: str) -> None:
    assert filled(text) == becomes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{ree}", "{ree} names no parameter: did you mean {re}? there are re, dt,"),
        ("awk '{print}'", "for the text itself write {{print}}"),
        ("{mesh:05d}", "names no parameter"),
        ("{re + 1}", "is no placeholder; write {re}"),
        ("{ re }", "write {re} for the value, or {{ re }} for the text"),
        ("{{ re }}", "{{ re }} is for template files"),
        ("{re!r}", "is no placeholder"),
        ("{re.imag}", "is no placeholder"),
        ("{re[0]}", "is no placeholder"),
        ("${re}", "a variable of the shell, or the parameter re? Write {re}"),
        ("{re:1000d}", "'1000d' is no format"),
        ("{re:.999f}", "is no format"),
        ("{case:05d}", "{case:05d} takes a number, and case is 'two words'"),
        ("{dt:d}", "takes a whole number, and dt is '0.10'"),
        ("{" + "x" * 10_000 + "}", "names no parameter"),
    ],
)
def test_what_looks_like_a_placeholder_and_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(SweepError) as caught:
        filled(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


@given(st.text(st.characters(exclude_characters="{}$", exclude_categories=["Cs"])), st.text())
def test_a_text_without_braces_stays_and_a_value_is_never_read_as_a_template(text: str, value: str) -> None:
    assert filled(text) == text
    assert TextTemplate(f"{{x}}{text}{{x}}", {"x"}).fill({"x": value}) == value + text + value


@given(st.text("{}$: re0d", max_size=12))
def test_every_text_is_filled_or_refused_with_words(text: str) -> None:
    try:
        filled(text)
    except SweepError as error:
        assert str(error)  # noqa: PT017 - most texts are right


# What a shell reads ------------------------------------------------------------------------------------

ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NASTY = st.text("ab '\"$`\\;&|<>()#!*?~{}\n-=", max_size=12)


def said(template: str, value: str) -> str:
    """What a shell prints for the template with this value."""
    text = TextTemplate(template, {"x"}, for_shell=True).fill({"x": value})
    ran = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    return ran.stdout.decode()


@settings(max_examples=60, deadline=None)
@given(ANY | NASTY)
def test_a_value_in_a_shells_text_is_one_word_with_its_very_characters(value: str) -> None:
    template = (
        "printf '<%s>' {x} a{x}b \"q{x}\" '{x}' \"$(printf %s {x}; printf .)\" \"it's\" \\'{x} ${{y}}# {x}\n"
        "# it's a comment\nprintf '<%s>' {x}"
    )
    parts = [value, f"a{value}b", f"q{value}", value, f"{value}.", "it's", f"'{value}", "#", value, value]
    assert said(template, value) == "".join(f"<{part}>" for part in parts)


@pytest.mark.parametrize(
    "template",
    [
        "cat <<EOF\n{x}\nEOF",
        "echo `echo {x}`",
        "echo $(( {x} ))",
        "echo ${{y:-{x}}}",
        "echo \\{x}",
        "# {x}",
        "echo $'{x}'",
        "echo $(case a in a) echo {x};; esac)",
    ],
)
def test_a_value_that_a_shell_could_misread_is_refused_where_quoting_is_unclear(template: str) -> None:
    compiled = TextTemplate(template, {"x"}, for_shell=True)
    assert compiled.fill({"x": "12.5"}), "a plain value means itself everywhere"
    with pytest.raises(SweepError, match="can't be quoted safely"):
        compiled.fill({"x": "a b"})


def test_plain_values_stay_readable_in_a_shells_text() -> None:
    text = filled("./solver --re {re} --dt={dt} -o out/{re}.dat --case {case}", for_shell=True)
    assert text == "./solver --re 100 --dt=0.10 -o out/100.dat --case 'two words'"
    assert shlex.split(text)[-1] == "two words"


# Names --------------------------------------------------------------------------------------------------


def names_of(sweep: Sweep, template: str | None = None) -> list[str]:
    text = default_name(sweep) if template is None else template
    return [name for name, _ in named(sweep, TextTemplate(text, [*sweep.names, NUMBER]))]


def test_names_come_from_the_template_and_points_are_numbered() -> None:
    sweep = Sweep(grid={"re": [100, 400], "n": [8, 16]})
    assert names_of(sweep, "re{re}-n{n}") == ["re100-n8", "re100-n16", "re400-n8", "re400-n16"]
    assert names_of(sweep, "{number:03d}") == ["001", "002", "003", "004"]


def test_a_sweep_without_a_template_names_its_jobs_after_their_parameters() -> None:
    assert names_of(Sweep(grid={"re": [100], "n": [8]})) == ["re100-n8"]
    assert names_of(Sweep(include=[{"re": 1, "n": 2}])) == ["re1-n2"]
    assert names_of(Sweep(sample=Sample(10, {"x": Uniform(0, 1)})))[0] == "01"
    assert names_of(Sweep(grid={"a": ["u", "v"]}, sample=Sample(5, {"x": Uniform(0, 1)})))[5] == "av-06"
    assert names_of(Sweep(grid={f"p{i}": [1] for i in range(9)})) == ["1"]
    assert names_of(Sweep(axes=[Axis({"path": ["a/x.dat"], "stem": ["x"]}, name="{stem}")])) == ["x"]


@pytest.mark.parametrize(
    ("grid", "template", "words"),
    [
        (
            {"re": [1, 2], "n": [3]},
            "n{n}",
            "two jobs would be called 'n3': re=1, n=3; and re=2, n=3; add {re}",
        ),
        ({"re": [0.1, 0.101]}, "{re:.2f}", "re=0.1; and re=0.101; add {number}"),
        ({"re": [7, 7]}, "{re}", "the point re=7 is there twice, as jobs 1 and 2"),
        ({"f": ["a/b"]}, "{f}", "names become folders, so '/'"),
        ({"f": [""]}, "{f}", "a name can't be empty"),
        ({"f": ["x" * 300]}, "{f}", "has 300 bytes; a name may have 255"),
        ({"f": [".."]}, "{f}", "can't be a name"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused_with_its_point(
    grid: dict[str, list[Scalar]], template: str, words: str
) -> None:
    with pytest.raises(SweepError) as caught:
        names_of(Sweep(grid=grid), template)
    assert words in str(caught.value)
    assert caught.value.loc == ("name",)

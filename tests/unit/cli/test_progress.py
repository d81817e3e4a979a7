"""Progress tells the rate and the estimated end, and fits the terminal."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from distribute_cli.output import table_output, terminal_bar
from distribute_cli.output.fitting import cut
from distribute_cli.output.pace import pace_text
from distribute_cli.output.table_output import LineBar

NOW = datetime(2030, 1, 31, 19, 30)  # noqa: DTZ001 - local time, as a person's clock shows it
ODD_NAMES = ("a", "x" * 257, "計算" * 40, "jane/" + "ü" * 100 + "/last")


@pytest.mark.parametrize(
    ("per_second", "left_s", "of_bytes", "text"),
    [
        (2.0, 90, False, "2 jobs/s, done in about 1m30s (19:31)"),
        (0.05, 720, False, "3 jobs/min, done in about 12m (19:42)"),
        (1234.5, 10, False, "1234 jobs/s, done in about 10s (19:30)"),
        (1 / 7200, 7290, False, "12 jobs/d, done in about 2h1m (21:31)"),
        (1 / 7200, 3 * 86400, False, "12 jobs/d, done in about 3d (03 Feb 19:30)"),
        (12.3 * 2**20, 0.2, True, "12.3M/s, done in about 1s (19:30)"),
        (1e-9, 1e10, False, "8.6e-05 jobs/d"),
    ],
)
def test_rate_and_end_are_told_in_fitting_units(
    per_second: float, left_s: float, of_bytes: bool, text: str
) -> None:
    assert pace_text(per_second, left_s, NOW, of_bytes=of_bytes) == text


@given(st.text(), st.integers(3, 40))
def test_what_is_cut_fits_and_keeps_both_ends(text: str, width: int) -> None:
    shown = cut(text, width)
    assert cell_len(shown) <= width
    assert shown == text or "…" in shown


def test_the_end_of_a_long_name_is_shown() -> None:
    assert cut("jane/a-very-long-sweep-7", 12) == "jane/…weep-7"


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("of_bytes", [True, False])
def test_a_bar_fits_the_terminal_whatever_the_name(width: int, name: str, of_bytes: bool) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None, legacy_windows=False)
    with terminal_bar.terminal_bar(console, name, of_bytes=of_bytes) as bar:
        bar.update(123, 400, "12 running, 23 queued, 4 failed", age_s=60)
    lines = [Text.from_ansi(line).plain for line in screen.getvalue().replace("\r", "\n").splitlines()]
    assert all(cell_len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "12 running, 23 queued, 4 failed;" in text
    assert "done in about 2m15s" in text
    assert ("123/400 bytes" if of_bytes else "123/400") in text


def test_lines_become_rarer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull of 100,000 files, or a batch that takes a day, does not fill a log."""
    now = 0.0
    monkeypatch.setattr(table_output.time, "monotonic", lambda: now)
    bar = LineBar("jane/sweep")
    for second in range(86400):
        now = float(second)
        bar.update(second, 86400, f"{second % 7} running", age_s=second)
    lines = capsys.readouterr().err.splitlines()
    assert 1000 < len(lines) < 2000
    assert lines[-1].startswith("jane/sweep: 100 % (")
    assert " jobs/s, done in about " in lines[-1]


def test_a_percent_sign_in_a_name_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(table_output.time, "monotonic", lambda: now)
    bar = LineBar("jane/5 % more")
    now = 10.0
    bar.update(1, 4)
    assert capsys.readouterr().err.startswith("jane/5 % more: 25 %")

"""The list of `--array`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.core.errors import InputError
from distribute_cli.submitting.array import Array, parse_array


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("7", [7]),
        ("0", [0]),
        ("1-4", [1, 2, 3, 4]),
        ("3-3", [3]),
        ("1-9:2", [1, 3, 5, 7, 9]),
        ("0-9:4", [0, 4, 8]),
        ("1,5,7-9", [1, 5, 7, 8, 9]),
        ("7-9, 1 ,5", [1, 5, 7, 8, 9]),
        ("1-3,2-4,3", [1, 2, 3, 4]),
        ("007-009", [7, 8, 9]),
    ],
)
def test_an_array_has_each_index_once_and_in_order(text: str, indices: list[int]) -> None:
    assert parse_array(text) == Array(indices, None)


def test_a_number_behind_a_percent_sign_says_how_many_run_at_once() -> None:
    assert parse_array("1-3,9%2") == Array([1, 2, 3, 9], "2")
    assert parse_array("1-3 % 2") == Array([1, 2, 3], "2")


def test_an_array_is_as_long_as_a_batch_may_be() -> None:
    assert len(parse_array("1-100000").indices) == 100_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1-", "--array '1-': 1- has no end; write 1-10"),
        ("-5", "--array '-5': -5 has no beginning; write 1-5"),
        ("5-1", "--array '5-1': 5-1 counts down; write 1-5"),
        ("1,5-1", "--array '1,5-1': 5-1 counts down; write 1-5"),
        ("1-9:0", "--array '1-9:0': a step of 0 leads nowhere; write 1-9:1"),
        ("1-9:", "--array '1-9:': the step is missing behind ':'; write 1-30, 1-9:2 or 1,5,7-9"),
        ("9:2", "--array '9:2': a step is for a range, and 9:2 is none; write 1-30, 1-9:2 or 1,5,7-9"),
        ("a-b", "--array 'a-b': 'a-b' is no index, and no range of them; write 1-30, 1-9:2 or 1,5,7-9"),
        ("1..9", "--array '1..9': '1..9' is no index, and no range of them; write 1-30, 1-9:2 or 1,5,7-9"),
        ("1.5", "--array '1.5': '1.5' is no index, and no range of them; write 1-30, 1-9:2 or 1,5,7-9"),
        ("٣", "--array '٣': '٣' is no index, and no range of them; write 1-30, 1-9:2 or 1,5,7-9"),
        ("1,,2", "--array '1,,2': an index is missing; write 1-30, 1-9:2 or 1,5,7-9"),
        ("", "--array: an index is missing; write 1-30, 1-9:2 or 1,5,7-9"),
        ("1-3%", "--array '1-3%': how many may run at once is missing behind '%'; write 1-30%4"),
        ("1-3%x", "--array '1-3%x': 'x' can't be how many run at once; write 1-30%4"),
        ("1-3%0", "--array '1-3%0': '0' can't be how many run at once; write 1-30%4"),
        ("1-3%1000000", "--array '1-3%1000000': '1000000' can't be how many run at once; write 1-30%4"),
        ("1-3%2%2", "--array '1-3%2%2': '2%2' can't be how many run at once; write 1-30%4"),
        (
            "1-1000000000",
            "--array '1-1000000000': these are 1,000,000,000 jobs, and a batch may have 100,000; write fewer",
        ),
        (
            "1-1" + 30 * "0",
            f"--array '1-1{30 * '0'}': '1{30 * '0'}' is too large; write numbers of up to 18 digits",
        ),
    ],
)
def test_what_is_no_array_is_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_array(text)
    assert caught.value.problems == (why,)


@given(st.text(alphabet="0123456789-:,% a", max_size=30))
def test_any_text_is_an_array_or_is_refused(text: str) -> None:
    try:
        found = parse_array(text)
    except InputError:
        return
    assert found.indices == sorted(set(found.indices))
    assert found.indices

"""Names, and ids of events."""

from itertools import combinations

import pytest

from distribute.core.ids import (
    MAX_AUTHOR_BYTES,
    MAX_NAME_BYTES,
    AttemptId,
    BatchId,
    BuildId,
    JobId,
    NodeId,
    Under,
    check_author,
    check_name,
    ulid,
)


@pytest.mark.parametrize(
    "name", ["sweep3", "re=100", "a b", "*", ">", "...", "-rf", "Größe", "日本", "a\nb", "x" * MAX_NAME_BYTES]
)
def test_every_name_that_a_folder_can_have_is_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "a name can't be empty"),
        (".", "'.' can't be a name: it means a folder of its own"),
        ("..", "'..' can't be a name: it means a folder of its own"),
        ("a/b", "'a/b' can't be a name: names become folders, so '/' and NUL are out"),
        ("a\0", "'a\\x00' can't be a name: names become folders, so '/' and NUL are out"),
        ("\udcff", "'\\udcff' can't be a name: it is not valid Unicode"),
        ("x" * 256, "'xxxxxxxxxxxxxxxxxxxxxxxx'… has 256 bytes; a name may have 255"),
        ("é" * 128, "'éééééééééééééééééééééééé'… has 256 bytes; a name may have 255"),
    ],
)
def test_names_that_no_folder_can_have_are_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_name(name)
    assert str(refused.value) == why


def test_a_node_or_a_person_has_a_shorter_name() -> None:
    assert check_author("x" * MAX_AUTHOR_BYTES) == "x" * MAX_AUTHOR_BYTES
    with pytest.raises(ValueError, match="130 bytes; the name of a node or person may have 128"):
        check_author("é" * 65)
    with pytest.raises(ValueError, match="can't be a name: it means a folder of its own"):
        check_author("..")


def test_ids_read_as_people_write_them() -> None:
    job = JobId("jane", "sweep3", "re100")
    assert str(job) == "jane/sweep3/re100"
    assert job.batch_id == BatchId("jane", "sweep3")
    assert str(job.batch_id) == "jane/sweep3"
    assert str(NodeId("ws07")) == "ws07"


def test_a_batch_a_job_and_a_node_never_share_a_scope() -> None:
    assert len({BatchId("a", "b"), JobId("a", "b", "c"), NodeId("a")}) == 3


def test_a_ulid_is_spelled_as_its_specification_does() -> None:
    """The example of https://github.com/ulid/spec."""
    assert ulid(1469918176385, bytes.fromhex("d6764c61efb99302bd5b")) == "01ARYZ6S41TSV4RRFFQ69G5FAV"
    assert ulid(0, bytes(10)) == "0" * 26
    assert ulid(2**48 - 1, b"\xff" * 10) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"


def test_ulids_sort_by_time() -> None:
    assert ulid(1, b"\xff" * 10) < ulid(2, bytes(10)) < ulid(2**40, bytes(10))


def test_ids_of_different_kinds_are_never_equal_whatever_their_names() -> None:
    batch = BatchId("a", "a")
    ids: list[object] = [batch, JobId("a", "a", "a"), BuildId(batch, "a"), NodeId("a"), Under(batch)]
    ids.append(AttemptId("a", "a", "a", 1))
    for one, other in combinations(ids, 2):
        assert one != other, f"{one!r} and {other!r} are mixed up as keys"

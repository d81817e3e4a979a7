"""`pull` names what is not as the archive has it, and the command that changes that."""

from __future__ import annotations

from distribute.client.pull.fetching import Pulled
from distribute.core.ids import BatchId
from distribute_cli.output.local_files import local_document, local_warnings

MC = BatchId("jane", "mc")


def lines(pulled: Pulled, *again: str) -> list[str]:
    return list(local_warnings(MC, pulled, again))


def test_nothing_is_said_of_a_folder_that_is_as_the_archive_has_it() -> None:
    assert lines(Pulled(fetched=3, kept=4)) == []


def test_changed_files_are_named_with_what_can_be_done() -> None:
    assert lines(Pulled(edited=[(b"mc", b"a", b"r\n")]), "--into", "x y") == [
        "changed here, so it stays: mc/a/r\\n",
        (
            "`distribute pull jane/mc --into 'x y' --force` overwrites what was changed, "
            "`--theirs` writes the archive's beside it"
        ),
    ]
    many = [(b"mc", b"%d" % number) for number in range(9)]
    assert lines(Pulled(edited=many, beside=many))[0] == (
        "changed here, so they stay: mc/0, mc/1, mc/2, mc/3, mc/4 and 4 more"
    )
    assert lines(Pulled(edited=many, beside=many[:1]))[1] == "the archive's is in mc/0"


def test_what_earlier_attempts_left_is_named() -> None:
    pulled = Pulled(leftovers=[(b"mc", b"a", b"s")], removed=1, unreadable=2)
    assert lines(pulled) == [
        "2 lines of .distribute-pulled.jsonl can't be read: what they list counts as changed here",
        "removed 1 file of earlier results",
        (
            "left here by an earlier attempt or `--running`, and not by the last attempt: mc/a/s; "
            "`distribute pull jane/mc --replace-local` removes what you did not change"
        ),
    ]
    assert local_document(pulled) == {"edited": [], "beside": [], "leftovers": ["mc/a/s"], "removed": 1}

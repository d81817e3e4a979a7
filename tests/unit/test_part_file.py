"""A part file gets its name when it is complete, and two writers never share one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from distribute.core.errors import IntegrityError
from distribute.nats.objects.part_file import KEEP_FROM_BYTES, PartFile

DATA = b"the whole of it"
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_the_file_gets_its_name_last(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    with PartFile(target, SHA256) as part:
        part.write([DATA[:4], DATA[4:]])
        assert part.is_right()
        assert not target.exists()
        part.finish()
    assert target.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("size_bytes", "error", "kept"),
    [
        (KEEP_FROM_BYTES - 1, KeyboardInterrupt(), False),
        (KEEP_FROM_BYTES, KeyboardInterrupt(), True),
        (KEEP_FROM_BYTES, IntegrityError("damaged"), False),
    ],
)
def test_a_large_interrupted_part_is_kept(
    tmp_path: Path, size_bytes: int, error: BaseException, kept: bool
) -> None:
    def cut_off() -> None:
        with PartFile(tmp_path / "out", SHA256) as part:
            part.write([bytes(size_bytes)])
            raise error

    with pytest.raises(type(error)):
        cut_off()
    assert [path.stat().st_size for path in tmp_path.iterdir()] == ([size_bytes] if kept else [])
    with PartFile(tmp_path / "out", SHA256) as part:
        assert part.found_bytes() == (size_bytes if kept else 0)
        part.keep(0)
        part.write([DATA])
        part.finish()
    assert (tmp_path / "out").read_bytes() == DATA


def test_a_second_writer_gets_a_file_of_its_own(tmp_path: Path) -> None:
    with PartFile(tmp_path / "out", SHA256) as first, PartFile(tmp_path / "out", SHA256) as second:
        first.write([DATA[:4]])
        second.write([DATA])
        second.finish()
        first.write([DATA[4:]])
        first.finish()
    assert (tmp_path / "out").read_bytes() == DATA
    assert len(list(tmp_path.iterdir())) == 1


class OvertakenPartFile(PartFile):
    """Opens its part file just before another writer gives that file its name."""

    rival: PartFile | None = None

    def _open(self) -> int:
        fd = super()._open()
        if self.rival is not None:
            self.rival.finish()
            self.rival = None
        return fd


def test_a_file_that_has_got_its_name_meanwhile_is_not_written(tmp_path: Path) -> None:
    late = OvertakenPartFile(tmp_path / "out", SHA256)
    with PartFile(tmp_path / "out", SHA256) as rival:
        rival.write([DATA])
        late.rival = rival
        with late:
            late.write([b"something else, and longer"])
    assert (tmp_path / "out").read_bytes() == DATA

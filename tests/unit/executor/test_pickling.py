"""What is sent of calls: their pickles, packed into files, and the code that a node lacks."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType

import pytest

from distribute.core.errors import InputError
from distribute.core.spec.specs import Resources
from distribute.executor import own_code
from distribute.executor.batches import BUDGET_S, Needs
from distribute.executor.calls import Call
from distribute.executor.own_code import OwnCode
from distribute.executor.pickling import PACK_BYTES, SMALL_BYTES, Packer, library, pickled_call


def read(packer: Packer, place: tuple[str, int, int], files: dict[str, str]) -> bytes:
    name, offset, size = place
    content = packer.sources[files[name]].read_bytes()
    return content[offset : offset + size]


def test_each_job_finds_its_own_calls_in_its_own_files(tmp_path: Path) -> None:
    packer = Packer(tmp_path)
    large = os.urandom(SMALL_BYTES)
    jobs = [[(b"f", b"%d-%d" % (job, call)) for call in range(3)] for job in range(20_000)]
    jobs.append([(b"f", large), (large, b"g")])
    for calls in jobs:
        packer.add(calls)
    needed = packer.jobs()
    assert len(needed) == len(jobs)
    for calls, job in zip(jobs, needed, strict=True):
        files = {file.alias: file.sha256 for file in job.files}
        places = pickle.loads(read(packer, job.calls, files))
        assert [tuple(read(packer, part, files) for part in call) for call in places] == calls
    assert len(needed[-1].files) == 2  # the large pickle is stored once, and no other job gets it
    assert {len(job.files) for job in needed[:-1]} == {1}
    assert max(path.stat().st_size for path in packer.sources.values()) <= 2 * PACK_BYTES


def test_the_same_cloudpickle_gives_the_same_file_which_python_can_import(tmp_path: Path) -> None:
    content = library()
    library.cache_clear()
    assert library() == content
    (tmp_path / "library.zip").write_bytes(content)
    (tmp_path / "function").write_bytes(pickled_call(lambda number: number + 1))
    program = (
        "import sys; sys.path.insert(0, 'library.zip'); import pickle, cloudpickle;"
        "print(cloudpickle.__file__, pickle.load(open('function', 'rb'))(1))"
    )
    command = [sys.executable, "-S", "-E", "-c", program]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "library.zip" in printed
    assert printed.endswith(" 2\n")


def test_only_jobs_that_the_executor_grouped_hand_calls_back(tmp_path: Path) -> None:
    needs = Needs("jane", "fit", Resources(), timeout_s=60.0)

    def call(together: int | None) -> Call:
        return Call(Future(), b"f", b"a", together)

    jobs = [[call(1)], [call(3)] * 3, [call(None)], [call(None)] * 3]
    spec, _ = needs.batch(7, jobs, tmp_path)
    assert spec.batch == "fit-7"
    assert [job.name for job in spec.work.jobs] == ["call1", "calls2-4", "call5", "calls6-8"]
    budgets = [str(getattr(job, "command", "")).split()[-1] for job in spec.work.jobs]
    assert budgets == ["0", "0", "0", str(BUDGET_S)]
    assert [job.timeout_s for job in spec.work.jobs] == [60.0, 180.0, 60.0, 60.0 + BUDGET_S]


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of a program's own, as it is imported."""
    path = tmp_path / "my_helpers.py"
    path.write_text("A = 1\n")
    module = ModuleType("my_helpers")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "my_helpers", module)
    return path


def test_own_modules_are_sent_if_a_pickle_names_one(helpers: Path, tmp_path: Path) -> None:
    code = OwnCode()
    assert code.is_named_in(b"\x80\x05cmy_helpers\nf\n.")
    assert not code.is_named_in(pickle.dumps(os.path.join), pickle.dumps([1, "text"]))
    content = code.zipped()
    assert code.zipped() is content
    (tmp_path / "code.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "code.zip") as archive:
        assert archive.read("my_helpers.py") == b"A = 1\n"
        assert not [
            name for name in archive.namelist() if name.startswith(("pytest/", "pickle", "distribute"))
        ]
    helpers.write_text("A = 22\n")
    assert code.zipped() != content


def test_too_much_code_is_not_sent(helpers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_code, "MAX_CODE_BYTES", 3)
    with pytest.raises(InputError, match="at most 3B are sent: install them with pip"):
        OwnCode().zipped()

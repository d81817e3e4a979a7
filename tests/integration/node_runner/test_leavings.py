"""Whatever a job leaves is archived under its own name, and links lead where they led."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
from pathlib import Path

import pytest

from distribute.core.files.manifest import StoredFile, StoredFolder, StoredLink, entry_bytes, link_target
from distribute.results.outputs import collect_pulled
from integration.node_runner.left_kit import Left, links, paths


async def test_folders_and_links_are_archived(left: Left) -> None:
    (left.save / "plots" / "re100").mkdir(parents=True)
    (left.save / "plots" / "u.png").write_text("u")
    (left.save / "empty" / "deeper").mkdir(parents=True)
    (left.save / "latest").symlink_to("plots")
    (left.save / "plots" / "up").symlink_to("../plots/u.png")
    (left.save / "dangling").symlink_to("not there")
    manifest = await left.manifest()
    assert {entry.path for entry in manifest.entries if isinstance(entry, StoredFolder)} == {
        "plots/re100",
        "empty/deeper",
    }
    assert links(manifest) == {"latest": "plots", "plots/up": "../plots/u.png", "dangling": "not there"}
    assert manifest.left_out == ()


async def test_links_are_judged_by_where_they_lead(left: Left) -> None:
    """However the job wrote a link to its own result, it is archived as one that still leads there."""
    save = left.save
    (save / "runs" / "7").mkdir(parents=True)
    (save / "runs" / "7" / "u.dat").write_text("u")
    (save / "newest").symlink_to(save / "runs" / "7")
    (save / "whole path").symlink_to(save / "runs" / "7" / "u.dat")
    (save / "runs" / "by a link").symlink_to(save / "newest" / "u.dat")
    (save / "out and in").symlink_to(f"../{save.name}/runs/7/u.dat")
    (save / "up behind a link").symlink_to("newest/../7/u.dat")
    (save / "not there yet").symlink_to(save / "step-900")
    (save / "the folder").symlink_to(save)
    (save.parent / "elsewhere").symlink_to(save / "runs")
    (save / "by a link outside").symlink_to("../elsewhere/7/u.dat")
    manifest = await left.manifest()
    assert manifest.left_out == ()
    assert links(manifest) == {
        "newest": "runs/7",
        "whole path": "runs/7/u.dat",
        "runs/by a link": "../newest/u.dat",
        "out and in": "runs/7/u.dat",
        "up behind a link": "runs/7/u.dat",
        "not there yet": "step-900",
        "the folder": ".",
        "by a link outside": "runs/7/u.dat",
    }


async def test_links_to_the_path_in_a_container_are_kept(left: Left) -> None:
    (left.save / "sub").mkdir()
    (left.save / "sub" / "u.dat").write_text("u")
    (left.save / "newest").symlink_to("/distribute_save/sub/u.dat")
    (left.save / "sub" / "by another").symlink_to("/distribute_save/newest")
    (left.save / "like it").symlink_to("/distribute_save_2/u.dat")
    (left.save / "back out").symlink_to("/distribute_save/../input")
    manifest = await left.manifest(["/distribute_save"])
    assert links(manifest) == {"newest": "sub/u.dat", "sub/by another": "../newest"}
    assert manifest.left_out == (
        "back out: a link that leads out, to '/distribute_save/../input'",
        "like it: a link that leads out, to '/distribute_save_2/u.dat'",
    )


async def test_links_to_names_that_are_no_text_are_kept(left: Left) -> None:
    save = os.fsencode(left.save)
    os.mkdir(save + b"/\xe9")  # noqa: PTH102
    Path(os.fsdecode(save + b"/\xff")).write_text("u")
    for name, target in ((b"to it", b"\xff"), (b"\xe9/up", b"../\xff"), (b"whole", save + b"/\xff")):
        os.symlink(target, save + b"/" + name)  # noqa: PTH211 (bytes)
    os.symlink(b"/\xff", save + b"/out")  # noqa: PTH211
    manifest = await left.manifest()
    found = {entry_bytes(entry): entry for entry in manifest.entries if isinstance(entry, StoredLink)}
    assert {name: os.fsencode(link_target(entry)) for name, entry in found.items()} == {
        b"to it": b"\xff",
        b"\xe9/up": b"../\xff",
        b"whole": b"\xff",
    }
    assert found[b"to it"].target == "?"
    assert manifest.left_out == ("out: a link that leads out, to '/\\\\xff'",)


async def test_a_loop_of_links_is_kept(left: Left) -> None:
    (left.save / "a").symlink_to("b")
    (left.save / "b").symlink_to("a")
    assert links(await left.manifest()) == {"a": "b", "b": "a"}


async def test_what_can_not_be_archived_is_named(left: Left) -> None:
    (left.save / "home").symlink_to("/home")
    (left.save / "up").symlink_to("../stdout")
    (left.save / "sub").mkdir()
    (left.save / "sub" / "root").symlink_to("..")
    (left.save / "out by another").symlink_to("sub/root/../stdout")
    os.mkfifo(left.save / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(left.save / "socket"))
        manifest = await left.manifest()
    assert manifest.left_out == (
        "fifo: a pipe, not a file",
        "home: a link that leads out, to '/home'",
        "out by another: a link that leads out, to 'sub/root/../stdout'",
        "socket: a socket, not a file",
        "up: a link that leads out, to '../stdout'",
    )
    assert paths(manifest) == {"sub/root", "stdout.txt"}


async def test_odd_file_names_are_kept(left: Left) -> None:
    names = [
        b"new\nline",
        b"sp ace",
        b"-rf",
        b"quote'\"",
        "grün".encode(),
        b"\xff\xfe latin",
        b"\\xff\\xfe latin",
    ]
    for name in [*names, b"folder \xe9", b"folder \xe9/inner"]:
        path = os.path.join(os.fsencode(left.save), name)  # noqa: PTH118 (bytes)
        if name == b"folder \xe9":
            os.mkdir(path)  # noqa: PTH102
        else:
            Path(os.fsdecode(path)).write_bytes(b"of " + name)
    manifest = await left.manifest()
    files = [entry for entry in manifest.entries if isinstance(entry, StoredFile)]
    assert {entry_bytes(file) for file in files} == {*names, b"folder \xe9/inner", b"stdout.txt"}
    raw = {file.path: file.raw_path for file in files if file.raw_path is not None}
    assert raw == {
        "\\xff\\xfe latin": base64.b64encode(b"\xff\xfe latin").decode(),
        "folder \\xe9/inner": base64.b64encode(b"folder \xe9/inner").decode(),
    }


async def test_a_long_name_that_is_no_text_is_archived(left: Left) -> None:
    """What is shown of such a name is four times as long, but no file is called that."""
    folder, name = b"\xe9" * 255, b"\xff" * 255
    path = os.path.join(os.fsencode(left.save), folder)  # noqa: PTH118 (bytes)
    for _ in range(3):
        os.mkdir(path)  # noqa: PTH102
        path = os.path.join(path, folder)  # noqa: PTH118
    path = os.path.dirname(path)  # noqa: PTH120
    Path(os.fsdecode(os.path.join(path, name))).write_text("7")  # noqa: PTH118
    os.mkfifo(os.path.join(path, b"\xfe" * 255))  # noqa: PTH118
    manifest = await left.manifest()
    assert [entry_bytes(entry) for entry in manifest.entries if entry.path != "stdout.txt"] == [
        b"/".join([folder, folder, folder, name])
    ]
    assert ": a pipe, not a file" in manifest.left_out[0]


async def test_a_jobs_own_stdout_txt_is_archived_aside(left: Left) -> None:
    left.stdout.write_text("captured")
    (left.save / "stdout.txt").write_text("the job's own")
    (left.save / "latest").symlink_to("stdout.txt")
    manifest = await left.manifest()
    assert paths(manifest) == {"stdout.txt", "latest", "distribute_save/stdout.txt"}
    assert links(manifest) == {"latest": "distribute_save/stdout.txt"}
    (left.save / "distribute_save").mkdir()
    manifest = await left.manifest()
    assert paths(manifest) == {"stdout.txt", "latest", "distribute_save", "distribute_save-2/stdout.txt"}
    assert manifest.left_out == ()


async def test_a_folder_called_stdout_txt_is_archived_aside(left: Left) -> None:
    (left.save / "data").write_text("7")
    (left.save / "stdout.txt" / "deep").mkdir(parents=True)
    (left.save / "stdout.txt" / "a").write_text("1")
    (left.save / "stdout.txt" / "to data").symlink_to("../data")
    (left.save / "stdout.txt" / "to a").symlink_to("a")
    manifest = await left.manifest()
    aside = "distribute_save/stdout.txt"
    assert paths(manifest) == {
        "data",
        "stdout.txt",
        *(f"{aside}/{n}" for n in ("a", "deep", "to a", "to data")),
    }
    assert links(manifest) == {f"{aside}/to data": "../../data", f"{aside}/to a": "a"}


def make_deep_folders(folder: Path) -> None:
    deep = "import os\nfor _ in range(30):\n    os.mkdir('d' * 200); os.chdir('d' * 200)\n"
    subprocess.run(["python3", "-c", deep], cwd=folder, check=True)


async def test_paths_too_long_are_named(left: Left) -> None:
    make_deep_folders(left.save)
    (left.save / "file").write_text("content")
    manifest = await left.manifest()
    assert "file" in paths(manifest)
    assert [line.split(": ", 1)[1] for line in manifest.left_out] == [
        "this folder can't be read: its name is too long"
    ]


async def test_a_results_folder_that_is_a_link_inside_the_job_is_followed(left: Left) -> None:
    """A job may replace its results folder by a link to another folder of its own."""
    (left.save.parent / "run7").mkdir()
    (left.save.parent / "run7" / "result").write_text("42")
    left.save.rmdir()
    left.save.symlink_to("run7")
    assert paths(await left.manifest()) == {"result", "stdout.txt"}


@pytest.mark.parametrize("target", ["/usr/share", "../..", "."])
async def test_a_link_out_of_the_jobs_folder_is_not_followed(left: Left, target: str) -> None:
    left.save.rmdir()
    left.save.symlink_to(target)
    manifest = await left.manifest()
    assert paths(manifest) == {"stdout.txt"}
    assert "save: a link that leads out, to " in manifest.left_out[0]


async def test_a_folder_that_was_pulled_is_archived_as_it_is(left: Left) -> None:
    """What a job called `stdout.txt` itself lies in `distribute_save` there already."""
    (left.save / "stdout.txt").write_text("printed")
    (left.save / "distribute_save").mkdir()
    (left.save / "distribute_save" / "stdout.txt").write_text("left")
    (left.save / "empty").mkdir()
    (left.save / "latest").symlink_to("empty")
    outputs = await collect_pulled(left.save, left.store, "lab/sweep/job/1", "jane")
    assert outputs.inline is not None
    assert paths(outputs.inline) == {"distribute_save/stdout.txt", "empty", "latest", "stdout.txt"}
    assert links(outputs.inline) == {"latest": "empty"}
    sizes = {
        entry.path: entry.size_bytes for entry in outputs.inline.entries if isinstance(entry, StoredFile)
    }
    assert sizes == {"stdout.txt": 7, "distribute_save/stdout.txt": 4}

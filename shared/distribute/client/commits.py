"""The git commits that a batch or a job has as inputs, for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from distribute.client.documents import CommitDocument
    from distribute.core.spec.git_commit import GitCommit
    from distribute.core.spec.specs import BatchSpec, InputFolder, Job


def commits_of(spec: BatchSpec, job: Job) -> list[CommitDocument]:
    """Those that a job finds in its input. A file or folder of the job replaces one of the batch."""
    batch = {folder.alias: folder for folder in spec.folders or ()}
    own = {folder.alias: folder for folder in job.folders or ()}
    replaced = own.keys() | {file.alias for file in job.files}
    given = [folder for alias, folder in batch.items() if alias not in replaced]
    return commit_documents([*given, *own.values()])


def commit_documents(folders: Iterable[InputFolder]) -> list[CommitDocument]:
    """The commits of those folders that are checkouts. Each is there once."""
    found = dict.fromkeys((one.alias or ".", one.git) for one in folders if one.git is not None)
    return [_document(alias, commit) for alias, commit in found]


def in_words(commit: CommitDocument) -> str:
    """`code: 1a2b3c (v1.2)`, or `code: 1a2b3c (HEAD), with changes`."""
    where = f"{commit['commit']}{':' if commit['folder'] else ''}{commit['folder']}"
    ref = "" if commit["commit"].startswith(commit["ref"]) else f" ({commit['ref']})"
    source = f" of {commit['remote']}" if commit["remote"] else ""
    return f"{commit['input']}: {where}{ref}{source}{', with changes' if commit['dirty'] else ''}"


def _document(alias: str, commit: GitCommit) -> CommitDocument:
    return {
        "input": alias,
        "commit": commit.commit,
        "ref": commit.ref,
        "dirty": commit.dirty,
        "folder": commit.folder,
        "remote": commit.remote,
    }

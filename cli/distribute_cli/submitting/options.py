"""The options of `submit`. Numbers and durations are texts, which are judged as those of a file."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _text(option: str, metavar: str, meaning: str) -> Any:
    return typer.Option(option, metavar=metavar, help=meaning)


CommandArgument = Annotated[
    list[str],
    typer.Argument(metavar="-- CMD…", help="The command of each job: a list of words, or one text for sh."),
]
NameOption = Annotated[
    str | None,
    _text("--name", "N", "The name of the batch.  [default: the program's; with a number if it is taken]"),
]
NamespaceOption = Annotated[
    str | None, _text("--namespace", "N", "Whose batch it is.  [default: your login]")
]
ArrayOption = Annotated[
    list[str] | None,
    _text("--array", "LIST", "A job for each number: 1-30, 1-9:2, 1,5,7-9; 1-30%4 runs 4 at a time."),
]
EachOption = Annotated[
    list[str] | None,
    _text("--each", "'GLOB'", "A job for each file here that matches, which is sent to it. In quotes."),
]
EachLineOption = Annotated[
    list[str] | None,
    _text("--each-line", "F", "A job for each line of F, or each row of a table (.csv, .tsv)."),
]
FileOption = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", metavar="FILE", help="Also send this file (may be repeated)."),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="NAME=VALUE", help="Set a variable of the jobs (may be repeated)."),
]
CpusOption = Annotated[
    str | None, _text("--cpus", "C", "Cores for each job.  [default: a whole node, or 1 with the next two]")
]
MemoryOption = Annotated[str | None, _text("--memory", "SIZE", "Memory for each job, such as 8G.")]
GpusOption = Annotated[str | None, _text("--gpus", "G", "GPUs for each job.")]
TimeoutOption = Annotated[str | None, _text("--timeout", "T", "The longest a job may run: 90s, 2h.")]
RetriesOption = Annotated[str | None, _text("--retries", "R", "How often a failed job is tried again.")]
BuildOption = Annotated[
    str | None, _text("--build", "'TEXT'", "A text for sh that runs once on each node, before its first job.")
]
AfterOption = Annotated[
    list[str] | None,
    _text("--after", "BATCH", "Begin once this batch has succeeded (may be repeated). Yours before: last."),
]
NotBeforeOption = Annotated[
    str | None,
    _text("--not-before", "T", "Begin no job before then: 2030-01-31T18:00, or 2h from now."),
]
MaxFailuresOption = Annotated[
    str | None, _text("--max-failures", "N", "Begin no more jobs once N have failed.")
]
CapabilityOption = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        "--capabilities",
        metavar="X",
        help="What a node must have, such as gpu (may be repeated, or a list: X,Y).",
    ),
]
PriorityOption = Annotated[str | None, _text("--priority", "P", "From -100 to 100; higher runs first.")]
MatrixOption = Annotated[
    str | None, _text("--matrix", "USER", "Who gets messages about the batch: @jane:example.org.")
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Return when the batch is over, as `watch` does.")]
DryOption = Annotated[bool, typer.Option("--dry", "-d", help="Check everything, but submit nothing.")]
ListOption = Annotated[bool, typer.Option("--list", help="With --dry: list the jobs and what each runs.")]
AnywayOption = Annotated[bool, typer.Option("--anyway", help="Submit even if no node could run it.")]

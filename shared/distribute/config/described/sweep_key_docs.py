"""What each key of a sweep, and of the pattern of its jobs, means. See `key_docs`."""

from __future__ import annotations

from collections.abc import Mapping

from distribute.config.described.key_doc import SIGNAL, KeyDoc
from distribute.config.sections.jobs_file import CommandPattern, JobPattern, PythonPattern
from distribute.config.sections.section import Section
from distribute.config.sections.sweep_section import PatternFile, Random, Range, SampleSection, SweepSection

D = KeyDoc

SWEEP_DOCS: Mapping[type[Section], Mapping[str, KeyDoc]] = {
    SweepSection: {
        "name": D(
            "The names of the jobs: a text with placeholders", "each parameter and its value, or a number"
        ),
        "grid": D("Parameters with their values: every combination becomes a point", "none"),
        "zip": D("Parameters whose values belong together, the first ones, the second ones, …", "none"),
        "sample": D("Random points", "none"),
        "each": D(
            "A pattern of paths: each file, or each folder, becomes a point, and an input of its job. `**` "
            "is any folder",
            "none",
        ),
        "each-line": D(
            "A file whose lines become points: `{line}`. Of a `.csv` or `.tsv`, its rows: the first line "
            "names the columns",
            "none",
        ),
        "include": D("Points to add at the end"),
        "exclude": D("Points to leave out: all that have these values"),
    },
    Range: {
        "from": D("The first number; with `to`, and `step`", "none"),
        "to": D("The last number, if a step ends there", "none"),
        "step": D("From one number to the next", "1"),
        "linear": D("The first and the last of `count` numbers at equal distances", "none"),
        "log": D("The first and the last of `count` numbers at equal ratios", "none"),
        "count": D("How many numbers, with `linear` or `log`", "none"),
    },
    SampleSection: {
        "count": D("How many points"),
        "seed": D("Another number makes other points; the same makes the same, everywhere"),
        "values": D("The parameters, and how each is drawn"),
    },
    Random: {
        "uniform": D("The smallest and the largest of numbers that are all as likely", "none"),
        "log": D("The smallest and the largest of numbers of which each decade is as likely", "none"),
        "integers": D("The smallest and the largest of whole numbers", "none"),
        "choice": D("A list of values", "none"),
    },
    PatternFile: {
        "path": D(
            "The path, with placeholders, relative to the folder of the file of jobs, or absolute. In "
            "`required_files` also a folder or a glob; `git`, `ref` and `exclude` are as for other inputs",
            "`template`",
        ),
        "template": D(
            "A template file, of which jinja2 makes the file of each job: `{{ re }}`. See docs/sweeps.md",
            "`path`",
        ),
        "alias": D(
            "The name under which the job sees it, with placeholders",
            "its own name; of a template, without `.j2` or `.jinja`",
        ),
    },
    JobPattern: {
        "required_files": D(
            "Files, folders, globs and git checkouts that each job finds in `./input` (apptainer: `/input`), "
            "besides the batch's. Their paths, aliases and refs have placeholders"
        ),
        "resources": D(
            "What each job gets of a node. Its values may have placeholders. It replaces the batch's as a "
            "whole",
            "the batch's",
        ),
        "timeout": D(
            "The longest each job may run. It may have placeholders, as the next ones", "the batch's"
        ),
        "grace": D("How long each job may clean up when it is ended", "the batch's"),
        "signal_before": D(SIGNAL, "the batch's"),
        "retries": D("How often each job is tried again if it failed", "the batch's"),
        "env": D("Environment variables, whose values have placeholders. They replace the batch's"),
        "slurm": D(
            "Options of sbatch for each job, whose values may have placeholders. Each replaces the batch's",
            "the batch's",
        ),
    },
    PythonPattern: {
        "file": D("The script of each job. Its path has placeholders"),
        "args": D(
            "The arguments of the script, with placeholders, in place of the number of cores",
            "one argument, the number of cores",
        ),
    },
    CommandPattern: {
        "command": D(
            "What each job runs, with placeholders: a list of a program and its arguments, or one text for a "
            "shell, in which values are quoted where they need to be"
        )
    },
}

"""Which options of sbatch a job gets: those of its file, and for what the file is silent about, its needs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from distribute.config.sections.slurm_section import Slurm
from distribute.core.spec.recipe import Recipe
from distribute.core.spec.specs import DEFAULT_GRACE_S, BatchSpec, Resources
from distribute.core.words import quoted

Options = dict[str, str]
"""Values by names with `_` for `-`. An empty text: an option without a value."""

TAKEN = frozenset(
    {
        *("array", "chdir", "help", "kill_on_invalid_dep", "parsable", "test_only"),
        *("uid", "gid", "usage", "version", "wait", "wrap"),
    }
)
"""Options that the scripts themselves need, or that leave no job."""

MAX_TIME_S = 2**31 - 1
"""68 years: sbatch counts the seconds of a time in 32 bits."""
MAX_SIGNAL_S = 65_535
"""So many seconds before the end a signal of sbatch may be sent."""
SPARE_S = 60
"""What a job gets beyond its timeout and grace, to keep its results."""

_OF_CPUS = ("cpus_per_task", "ntasks", "ntasks_per_node", "ntasks_per_core", "ntasks_per_socket", "mincpus")
_OF_MORE_CPUS = ("cpus_per_gpu", "ntasks_per_gpu", "cores_per_socket", "extra_node_info")
_OF_MEMORY = ("mem", "mem_per_cpu", "mem_per_gpu")
_OF_GPUS = ("gpus", "gpus_per_node", "gpus_per_socket", "gpus_per_task", "gres", "tres_per_task")

_TIME = re.compile(r"\d{1,9}(:\d{1,9}){0,2}|\d{1,9}-\d{1,9}(:\d{1,9}){0,2}|(?i:infinite|unlimited)", re.ASCII)


def merged(batch: Slurm | None, job: Slurm | None, *, waits_for: str | None) -> Options:
    """The options of the file: those of the job, and those of the batch that the job does not have.

    `waits_for`: what the scripts have the job wait for; None: nothing.

    Raises:
        ValueError: an option can't be used here, or SLURM can't say a time.
    """
    found: Options = {}
    for section in (batch, job):
        if section is not None:
            written = section.model_dump(exclude_none=True)
            found |= {name: str(value) for name, value in written.items()}
    for name in sorted(TAKEN & found.keys()):
        raise ValueError(f"slurm: {name} can't be chosen, because the scripts set it or need it; remove it")
    if waits_for is not None and "dependency" in found:
        raise ValueError(
            f"slurm: dependency can't be chosen, because this job waits for {waits_for}; remove it"
        )
    for name in ("time", "time_min"):
        if name in found:
            check_time(name, found[name])
    return found


def check_time(name: str, text: str) -> None:
    """Check a time as sbatch reads it.

    Raises:
        ValueError: sbatch can't read it.
    """
    advice = "write minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS, such as 90, 01:30:00 or 2-12"
    if not _TIME.fullmatch(text):
        raise ValueError(f"slurm: {name} is {quoted(text)}, which SLURM can't read as a time; {advice}")
    if (seconds := _seconds(text)) > MAX_TIME_S:
        days = seconds // 86_400
        raise ValueError(f"slurm: {name} is {quoted(text)}, {days} days; SLURM takes at most 24855; {advice}")


def _seconds(text: str) -> int:
    """The seconds of a time of sbatch. Those without an end have none."""
    if not text[0].isdecimal():
        return 0
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:  # DAYS-HOURS[:MINUTES[:SECONDS]]
        hours, minutes, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:  # MINUTES[:SECONDS]
        hours, minutes, seconds = 0, parts[0], sum(parts[1:])
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def options_of(recipe: Recipe, resources: Resources | None, chosen: Mapping[str, str]) -> Options:
    """All options of a job or a build: the `chosen` ones, and translations of what the recipe needs.

    Raises:
        ValueError: SLURM can't say its timeout.
    """
    found = dict(chosen)
    if resources is not None:
        found |= dict(_resources(resources, chosen))
    limit_s = limit(recipe, chosen)
    if limit_s is not None:
        found["time"] = _time_text(limit_s)
        warning = recipe.warning
        if warning is not None and recipe.timeout_s is not None and "signal" not in chosen:
            before_s = min(limit_s, math.ceil(warning.before_s + limit_s - recipe.timeout_s))
            if before_s > MAX_SIGNAL_S:
                raise ValueError(
                    f"its signal_before comes {before_s} seconds before the end of its time; "
                    f"SLURM can send it at most {MAX_SIGNAL_S} seconds before; write fewer"
                )
            found["signal"] = f"B:{warning.signal}@{before_s}"
    return found


def limit(recipe: Recipe, chosen: Mapping[str, str]) -> int | None:
    """The time limit that SLURM gets for the recipe's timeout, in seconds. None: it gets no limit of ours.

    There is room for the grace period and for keeping the results. SLURM counts whole minutes.

    Raises:
        ValueError: SLURM can't say it.
    """
    if recipe.timeout_s is None or "time" in chosen:
        return None
    seconds = recipe.timeout_s + (DEFAULT_GRACE_S if recipe.grace_s is None else recipe.grace_s) + SPARE_S
    if seconds > MAX_TIME_S:
        raise ValueError(
            f"its timeout is {recipe.timeout_s / 86_400:,.0f} days; SLURM takes at most 24855; "
            "write a shorter one, or slurm: {time: UNLIMITED}"
        )
    return math.ceil(seconds / 60) * 60


def _time_text(seconds: int) -> str:
    minutes, hours, days = seconds // 60 % 60, seconds // 3600 % 24, seconds // 86_400
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes:02}:00"


def _resources(needs: Resources, chosen: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The share of a node, as options for what `chosen` says nothing about."""
    if chosen.keys().isdisjoint((*_OF_CPUS, *_OF_MORE_CPUS)):
        yield "ntasks", "1"
        yield "cpus_per_task", str(needs.cpus)
    if needs.memory_bytes and chosen.keys().isdisjoint(_OF_MEMORY):
        yield "mem", f"{math.ceil(needs.memory_bytes / 2**20)}M"
    if needs.gpus and chosen.keys().isdisjoint(_OF_GPUS):
        yield "gres", f"gpu:{needs.gpus}"


def has_gpus(options: Mapping[str, str]) -> bool:
    """Does a job with these options get GPUs?"""
    return any(
        name in options and (name.startswith("gpus") or "gpu" in options[name].lower()) for name in _OF_GPUS
    )


def default_name(job: str) -> str:
    """The name under which `squeue` shows a job: what of its own name needs no quoting anywhere."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", job)[:64]


def unsaid(spec: BatchSpec, arrays: int = 0) -> Iterator[str]:
    """What the batch asks for that SLURM can't be told by this tool: a warning for each.

    `arrays`: into so many arrays its jobs go; 0: into none.
    """
    needs = [spec.resources, *(job.resources for job in spec.work.jobs)]
    if any(need is not None and need.gpu_kind is not None for need in needs):
        yield (
            "SLURM is asked for a number of GPUs, not for a kind; to choose one, write it as the cluster "
            "names it, such as slurm: {gres: gpu:a100:1}"
        )
    if spec.retries or any(job.retries for job in spec.work.jobs):
        yield "retries are for the cluster of distribute: on SLURM each job runs once"
    if spec.max_failures is not None:
        yield "max_failures is for the cluster of distribute: on SLURM all jobs run, whatever fails"
    if spec.max_running is not None and not arrays:
        yield "max_running is for an array on SLURM: add --array, or all jobs may run at a time"
    elif spec.max_running is not None and arrays > 1:
        yield (
            f"max_running holds for each of the {arrays} arrays by itself, because SLURM can't limit several "
            "together"
        )

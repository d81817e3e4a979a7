"""The words of messages, plain and as HTML."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from distribute.client.words import argument, printable
from distribute.core.os_words import signal_name
from distribute.core.projections.notices import Notice
from distribute.core.words import counted, format_duration
from distribute_services.notifier.channel import Message
from distribute_services.notifier.logic import Letter

Facts = Mapping[str, Any]

MOST_LINES = 10
"""So many lines of the output of a job or build are quoted."""
MOST_REASON = 300
MOST_LISTED = 20
"""So many batches of a summary are named."""

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BADLY = {"failed": 0, "killed": 1}


class Block(NamedTuple):
    """A part of a message: a paragraph, quoted lines, or a command to type."""

    kind: Literal["text", "lines", "command"]
    text: str


def message_of(letter: Letter) -> Message:
    """The message that a letter is."""
    if letter.is_summary:
        subject, blocks, facts = _summary(letter.notices)
    else:
        facts = letter.notices[0].facts
        subject, *blocks = _of_one(facts)
    first, *rest = blocks
    return Message(
        key=letter.key,
        to=letter.to,
        subject=subject,
        plain="\n".join(_plain(blocks)),
        html=f"<p><strong>{html.escape(first.text)}</strong></p>" + "".join(map(_as_html, rest)),
        facts=facts,
    )


def _plain(blocks: Sequence[Block]) -> Iterator[str]:
    for number, block in enumerate(blocks):
        if block.kind == "text" and number:
            yield ""
        indent = "" if block.kind == "text" else "    "
        yield from (indent + line for line in block.text.split("\n"))


def _as_html(block: Block) -> str:
    text = html.escape(block.text)
    match block.kind:
        case "text":
            return f"<p>{text.replace(chr(10), '<br>')}</p>"
        case "lines":
            return f"<pre><code>{text}</code></pre>"
        case "command":
            return f"<p><code>{text}</code></p>"


# --- one batch -------------------------------------------------------------------------------------


def _of_one(facts: Facts) -> Iterator[Any]:
    """The subject, then the blocks."""
    name = printable(_name(facts))
    match facts["news"]:
        case "end":
            yield f"{name} {_ended(facts)}"
            yield Block("text", f"{name} {_ended(facts)}: {_counts(facts)}.{_because(facts['reason'])}")
            yield Block("text", _took(facts))
            yield from _builds(facts)
            yield from _failures(facts)
            yield Block("text", "Its results:")
            yield Block("command", f"distribute pull {argument(_name(facts))}")
        case "kill":
            by = printable(facts["killed_by"])
            yield f"{by} killed {name}"
            yield Block("text", f"{by} killed {name}: {_counts(facts)}.")
            yield Block("text", "What its jobs leave can be pulled once they have ended:")
            yield Block("command", f"distribute pull {argument(_name(facts))}")
        case "build_failure":
            yield f"the build of {name} failed"
            yield Block("text", f"The build of {name} failed. Other nodes may still try: {_counts(facts)}.")
            yield from _builds(facts)
        case "first_failure":
            yield f"a job of {name} failed"
            yield Block("text", f"The first job of {name} failed: {_counts(facts)}.")
            yield from _failures(facts)
        case _:
            yield f"{name} started"
            yield Block("text", f"{name} started: {_counts(facts)}.")
            yield Block("text", "To see how it goes on:")
            yield Block("command", f"distribute watch {argument(_name(facts))}")


def _name(facts: Facts) -> str:
    return f"{facts['namespace']}/{facts['batch']}"


def _ended(facts: Facts) -> str:
    match facts["state"]:
        case "killed":
            return f"was killed by {printable(facts['killed_by'])}" if facts["killed_by"] else "was killed"
        case "failed":
            return "failed"
        case _:
            return "has completed"


def _counts(facts: Facts) -> str:
    jobs = facts["jobs"]
    states = ("succeeded", "failed", "killed", "running", "assigned", "queued")
    parts = ", ".join(f"{jobs[state]} {state}" for state in states if jobs[state])
    return f"of {counted(jobs['total'], 'job')}, {parts}"


def _because(reason: str | None) -> str:
    return "" if reason is None else f" The reason: {_short(reason)}."


def _took(facts: Facts) -> str:
    took = format_duration(facts["wall_s"])
    return f"It took {took} from its submission. Its jobs used {facts['core_hours']:.3g} core hours."


def _builds(facts: Facts) -> Iterator[Block]:
    for build in facts["failed_builds"]:
        yield Block("text", f"The build failed on {printable(build['node'])}: {_short(build['reason'])}")
        yield from _quoted(build["last_lines"])
    if facts["failed_builds"]:
        yield Block("command", f"distribute logs {argument(_name(facts))}")


def _failures(facts: Facts) -> Iterator[Block]:
    jobs = [job for job in facts["failed_jobs"] if job["node"] is not None]
    for job in jobs:
        yield Block("text", f"{printable(job['job'])} ({_how(job)})")
        yield from _quoted(job["last_lines"])
        yield Block("command", f"distribute logs {argument(_name(facts) + '/' + job['job'])}")
    more = facts["jobs"]["failed"] - len(jobs)
    if jobs and more > 0 and facts["news"] == "end":
        yield Block("text", f"{counted(more, 'more job')} failed:")
        yield Block("command", f"distribute status {argument(_name(facts))} --state failed")


def _how(job: Facts) -> str:
    """`exit 1 on ws07`, `SIGKILL on ws07: out of memory`."""
    how = signal_name(job["signal"]) if job["signal"] else f"exit {job['exit_code']}"
    if not job["signal"] and job["exit_code"] is None:
        how = "failed"
    reason = job["reason"]
    is_told = reason is None or reason in {f"exit code {job['exit_code']}", f"ended by {how}"}
    return f"{how} on {printable(job['node'])}{'' if is_told else f': {_short(reason)}'}"


def _quoted(lines: Sequence[str]) -> Iterator[Block]:
    if lines:
        shown = (printable(_COLOURS.sub("", line).expandtabs().rstrip()) for line in lines[-MOST_LINES:])
        yield Block("lines", "\n".join(shown))


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= MOST_REASON else f"{text[:MOST_REASON]}…"


# --- many ------------------------------------------------------------------------------------------


def _summary(notices: Sequence[Notice]) -> tuple[str, list[Block], Facts]:
    """The subject, the blocks and the facts of a message about many batches: each as it was told of last."""
    last = {notice.batch: notice.facts for notice in notices}
    batches = sorted(last.values(), key=lambda facts: _BADLY.get(facts["state"], 2))
    states = dict(Counter(facts["state"] for facts in batches))
    figures = ", ".join(f"{count} {state}" for state, count in states.items())
    subject = f"news of {counted(len(batches), 'batch', 'batches')}: {figures}"
    listed, more = batches[:MOST_LISTED], max(0, len(batches) - MOST_LISTED)
    blocks = [
        Block("text", f"{subject[0].upper()}{subject[1:]}. This is one message, because many came at once."),
        Block("lines", "\n".join(map(_line, listed))),
    ]
    if more:
        blocks.append(Block("text", f"And {counted(more, 'more batch', 'more batches')}."))
    blocks.append(Block("text", "To see all that you submitted:"))
    blocks.append(Block("command", "distribute status --mine"))
    named = [_in_summary(facts) for facts in listed]
    return subject, blocks, {"news": "summary", "states": states, "batches": named, "more_batches": more}


def _line(facts: Facts) -> str:
    return f"{printable(_name(facts))}: {facts['state']}; {_counts(facts)}"


def _in_summary(facts: Facts) -> Facts:
    return {key: facts[key] for key in ("namespace", "batch", "state", "reason", "finished_at", "jobs")}

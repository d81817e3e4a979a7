"""What verbs tell of the past, and checks of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from acceptance.lab import Json, Lab


async def told(lab: Lab, *arguments: str) -> list[str]:
    """The sentences of a history, as people get them, without their times."""
    return sentences((await lab.distribute("history", *arguments)).out)


def sentences(printed: str) -> list[str]:
    """The sentences of what `history` printed, without their times."""
    return [
        line if line[0] == "-" else line[21:]
        for line in printed.splitlines()
        if line[:1].isdecimal() or line[:1] == "-"
    ]


async def events_told(lab: Lab, *arguments: str) -> list[Json]:
    """The events of a history, with what it says of each."""
    found: list[Json] = (await lab.distribute("history", "--json", *arguments)).document  # type: ignore[assignment]
    return found


def assert_in_order(lines: list[str], *wanted: str) -> None:
    """Check that lines that begin like these are there, in this order."""
    coming = iter(lines)
    for words in wanted:
        assert any(line.startswith(words) for line in coming), "\n".join([words, "", *lines])


async def why(lab: Lab, job: str) -> Json:
    """What `why` answers. Its ledger adds up."""
    found = (await lab.distribute("why", "--json", "--", job)).document
    assert_adds_up(found["ledger"])
    return found


def assert_adds_up(ledger: Json) -> None:
    """Check that the entries of a ledger fill the time that it tells of, to the millisecond."""
    begin, end = (datetime.fromisoformat(ledger[key]) for key in ("submitted_at", "until"))
    rounding = timedelta(microseconds=100)
    assert abs(end - begin - timedelta(seconds=ledger["total_s"])) < rounding, ledger
    assert abs(end - begin - timedelta(seconds=sum(seconds_of(ledger)))) < rounding, ledger
    assert all(seconds > 0 for seconds in seconds_of(ledger)), ledger


def seconds_of(ledger: Json) -> list[float]:
    """How long each of its entries lasted."""
    return [entry["seconds"] for entry in ledger["entries"]]


def phases(found: Json) -> set[str]:
    """Where the time of a job went, of which `why` answered this."""
    return {entry["phase"] for entry in found["ledger"]["entries"]}


def obstacles(found: Json) -> dict[str, str | None]:
    """What stands in a job's way on each node."""
    return {verdict["node"]: verdict["obstacle"] for verdict in found["nodes"]}

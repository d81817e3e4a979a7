"""Events folded per second: decoded before, decoded meanwhile, and with the scheduler's indexes.

The stream has 200,000 jobs with five events each. The floors are what any reader of JSON events needs.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from distribute.codec import decode, encode
from distribute.core.folding.fold import apply
from distribute.core.log.recorded import Recorded
from distribute.core.scheduling.agenda import Agenda
from distribute.core.state.state import State

from .figure import Figure, Floor
from .streams import lab
from .timing import Stopwatch, no_garbage_collection

BATCHES = 200
JOBS = 1000
READ_AT = 4e9
"""The scheduler's clock, in seconds since 1970: it starts long after the events of the stream."""
REPLAY_TARGET = 100_000
"""The target of a replay, in events per second. Decoding and folding may take half of its time."""


def run() -> Iterator[Figure]:
    """Fold the same stream in each way."""
    folding, replaying, indexing, parsing, counting = (Stopwatch() for _ in range(5))
    folded, replayed, agenda = State(), State(), Agenda(State(), now=READ_AT)
    events = 0
    with no_garbage_collection():
        for made in lab(BATCHES, JOBS):
            events += len(made)
            encoded = [(recorded.seq, recorded.time, encode(recorded.event)) for recorded in made]
            # As every reader gets them: of events that were not decoded, differences of times are slow.
            piece = [Recorded(seq, time, decode(data)) for seq, time, data in encoded]
            with folding:
                for recorded in piece:
                    apply(folded, recorded)
            with indexing:
                for recorded in piece:
                    agenda.fold(recorded)
            with counting:
                _count(piece)
            with replaying:
                for seq, time, data in encoded:
                    apply(replayed, Recorded(seq, time, decode(data)))
            with parsing:
                for _, _, data in encoded:
                    if data[:1] == b"{":
                        orjson.loads(data)
    if folded.misfits or not events == folded.seq == replayed.seq == agenda.state.seq:
        raise AssertionError(f"the stream does not fit: {folded.last_misfit}")
    dictionary = Floor("a dict of the last event by job", counting.rate(events))
    yield Figure("fold, decoded before", folding.rate(events), "events/s", 400_000, dictionary)
    yield Figure("fold with the scheduler's indexes", indexing.rate(events), "events/s", None, dictionary)
    yield Figure(
        "decode and fold",
        replaying.rate(events),
        "events/s",
        2 * REPLAY_TARGET,
        Floor("orjson alone", parsing.rate(events)),
    )


def _count(piece: list[Recorded]) -> None:
    """The least work of a reader that wants to know the status of each job."""
    last: dict[tuple[str, str], str] = {}
    for recorded in piece:
        event = recorded.event
        last[event.id, event.author] = event.type

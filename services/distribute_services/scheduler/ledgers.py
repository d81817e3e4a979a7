"""The ledgers of jobs, for people who ask the scheduler.

The state says what is, and a ledger what was, so it takes events of the log. A client could read it, too, but
would first have to load the classes of all events, and the fold: 0.1 s. So the scheduler reads ledgers, but
only short ones, one at a time. The others it leaves to clients: it has other work to do.
"""

from __future__ import annotations

from distribute.client.ledger import TooManyEvents, read_ledger
from distribute.core.errors import DistributeError
from distribute.core.ids import JobId
from distribute.core.projections.ledger import JobLedger
from distribute.ports import Cluster

MOST_EVENTS = 20_000
"""Events that a ledger may take here: about half a second, in slices."""


class Ledgers:
    """Reads ledgers from the log of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._is_reading = False

    async def read(self, job: JobId) -> JobLedger | None:
        """The ledger of a job, as of now. None: whoever wants it has to read it."""
        if self._is_reading:
            return None
        self._is_reading = True
        try:
            return await read_ledger(self._cluster, job, most=MOST_EVENTS)
        except (TooManyEvents, DistributeError):
            return None  # the client then meets the same error, and tells it
        finally:
            self._is_reading = False

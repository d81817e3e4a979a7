"""The simulation finds a planted fault in the notifier."""

from __future__ import annotations

import pytest

from distribute_services.notifier.service import NotifierService
from simulation.biting import finds


def test_a_notifier_that_notes_nothing_in_the_log_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(NotifierService, "_note_all_told", nothing)
    finds("nobody is told of")

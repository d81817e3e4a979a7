"""The instructions to append the node's next event in a scope, and to read the scope."""

from __future__ import annotations

from distribute_services.node_runner.machine.instructions import Instruction, Read, Report, Speaker


def say_next(of: Speaker) -> list[Instruction]:
    """Append the next event, unless the scope is busy or there is none."""
    append = of.words.next()
    return [Report(of, append)] if append is not None else []


def read_scope(of: Speaker) -> list[Instruction]:
    """Read the scope, now or as soon as it is not busy."""
    return [Read(of)] if of.words.begin_reading() else []

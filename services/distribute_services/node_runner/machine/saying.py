"""The instructions by which the node says its words, and reads what else was said."""

from __future__ import annotations

from distribute_services.node_runner.machine.instructions import Instruction, Read, Report, Speaker


def say_next(of: Speaker) -> list[Instruction]:
    """Append the next event, if one can be appended now."""
    append = of.words.next()
    return [Report(of, append)] if append is not None else []


def read_scope(of: Speaker) -> list[Instruction]:
    """Read the scope: now, or as soon as what goes on there is over."""
    return [Read(of)] if of.words.begin_reading() else []

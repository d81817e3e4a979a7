"""The pure core: no I/O, no clock, no randomness, no asyncio, no logging.

Every rule of the tool is here, as functions of values: what can happen (`events`), how that changes the
state (`fold`), what to do next (`decide`), and what must always hold (`invariants`).
"""

"""The pure core: no I/O, no clock, no randomness, no asyncio, no logging.

Every rule of the tool lives here, as functions of values: what may happen (`events`), what it does
to the state (`fold`), what is to be done next (`decide`), and what must always hold (`invariants`).
"""

"""Stored events of every type and version, which must stay readable for ever.

A new type of event, or a new version of one, gets its sample by `python -m tests.compat` from the
checkout's root. Samples that are there are never written again: they are what is in people's logs.
"""

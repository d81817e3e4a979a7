"""Stored events of every type and version: what was once written can always be read.

A new type of event, or a new version of one, gets its sample by `python -m tests.compat` from the
checkout's root. Samples that are there are never written again: they are what is in people's logs.
"""

"""What a person's program does with a cluster: submit, control, follow, query, read logs, pull.

The command line, the Python API and notebooks use this package. Its functions take a cluster's ports
(`ports.Cluster`), return values, report progress to callbacks, and raise errors of `core.errors`; they
print nothing. Functions that append events take a `Person`, who gives author, ids and times.

Functions that act on a batch use only events that the fold accepts (`core.projections`).
"""

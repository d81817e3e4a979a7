"""What a person's program does with a cluster: submit, control, follow, query, read logs, pull.

The command line, the Python API and notebooks stand on this package. Its functions take a cluster's ports
(`ports.Cluster`), return values, report progress to callbacks, and raise errors of `core.errors`; they
print nothing. What has to say who acts, and when, takes a `Person`.

Whoever acts on a batch acts on what the fold accepts of it (`core.projections`), never on a message only
because it lies in the log.
"""

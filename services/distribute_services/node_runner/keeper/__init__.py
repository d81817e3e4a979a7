"""The keeper: a small process that holds the processes of a node's jobs, so that jobs outlive the runner.

It is the parent and subreaper of every attempt and build. It starts, freezes, signals and ends them, measures
them, and keeps how each one ended until the runner has read it. It owns the pause.

It stays in memory on somebody's workstation, and an old version of it does until its last job ends. So its
modules import only the standard library, and of that only small parts: no asyncio, dataclasses, pathlib or
typing. `host.keeping` is the runner's side.
"""

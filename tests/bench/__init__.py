"""Benchmarks: `python -m tests.bench [NAME…]` from the checkout's root prints one table.

A benchmark is one file, `bench_<name>.py`, with a docstring that says in its first line what it measures,
and a function `run() -> Iterable[Figure]`. Each runs in a fresh process, one after another.
"""

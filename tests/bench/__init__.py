"""Benchmarks: `python -m tests.bench [NAME…]` from the checkout's root prints one table.

A benchmark is one file, `bench_<name>.py`. The first line of its docstring tells what it measures, and its
function `run() -> Iterable[Figure]` measures it. The benchmarks run one after another, each in a new process.
"""

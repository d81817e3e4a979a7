#!/bin/sh
# Compiles the solver, once on each node: `sh input/build.sh` in the batch's build folder.
# $CC, in the batch's `env`, says which compiler; without it, whichever is found first.
set -eu

sources='input/main.c input/solve.c input/report.c'

compile() {
    echo "compiling with: $*"
    # -march=native: the program runs on the computer that builds it.
    # shellcheck disable=SC2086
    "$@" -std=c99 -O3 -march=native -o cavity $sources -lm
}

if [ -n "${CC:-}" ]; then
    # CC may hold options, too, as for make.
    # shellcheck disable=SC2086
    compile $CC
    exit
fi
for compiler in cc gcc clang; do
    if command -v "$compiler" >/dev/null; then
        compile "$compiler"
        exit
    fi
done
if python3 -c 'import ziglang' 2>/dev/null; then
    compile python3 -m ziglang cc
    exit
fi
echo "no C compiler on $(uname -n): install gcc or clang, or the Python package ziglang, or set CC" >&2
exit 1

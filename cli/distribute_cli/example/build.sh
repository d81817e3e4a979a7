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
    # It keeps what it has made of the C library below $HOME: where there is none to write to, in here.
    [ -w "${HOME:-}" ] || export ZIG_GLOBAL_CACHE_DIR="$PWD/zig-cache"
    compile python3 -m ziglang cc
    rm -rf zig-cache # each job gets a copy of what the build leaves
    exit
fi
echo "no C compiler on $(uname -n): install gcc or clang, or the Python package ziglang, or set CC" >&2
exit 1

#!/bin/sh
# All tests, in an environment made for them: the same as the quickstart's, with the extra `dev`.
#
#     sh infra/test.sh [OPTION of pytest…]
#
# They run in as many processes as there are cores, at most 4; with `-n 0`, in one.
# What is skipped is named at the end, with the reason.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=infra/environment.sh
. infra/environment.sh

set_up dev
exec python -m pytest --no-fold-skipped --numprocesses auto --dist loadfile --no-loadscope-reorder "$@"

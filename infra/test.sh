#!/bin/sh
# All tests, in an environment made for them: the same as the quickstart's, with the extra `dev`.
#
#     sh infra/test.sh [OPTION of pytest…]
#
# What is skipped is named at the end, with the reason.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=infra/environment.sh
. infra/environment.sh

set_up dev
exec python -m pytest --no-fold-skipped "$@"

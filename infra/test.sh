#!/bin/sh
# All tests, in an environment made for them: the same as the quickstart's, with the extra `dev`.
#
#     sh infra/test.sh [OPTION of pytest…]
#
# They run in two processes more than there are cores, at most 6; with `-n 0`, in one.
# What is skipped is named at the end, with the reason.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=infra/environment.sh
. infra/environment.sh

set_up dev

# Jobs in containers are tested with the real Apptainer, if it can be had. We don't try again where it can't.
if ! [ -e .venv/no-apptainer ] && may_install && ! sh infra/apptainer.sh; then
    say 'the tests of containers are skipped: Apptainer could not be installed (see above)'
    : >.venv/no-apptainer
fi
PATH="$PATH:/opt/apptainer/bin"

# What `distribute slurm` writes is tested with a real SLURM, likewise.
if ! [ -e .venv/no-slurm ] && may_install && ! sh infra/slurm.sh; then
    say 'the tests with SLURM are skipped: it could not be installed (see above)'
    : >.venv/no-slurm
fi

# Messages to Matrix are tested with a real homeserver, likewise; that needs no rights.
if ! [ -e .venv/no-synapse ] && ! sh infra/synapse.sh; then
    say 'the tests with Matrix are skipped: Synapse could not be installed (see above)'
    : >.venv/no-synapse
fi

# Where this is set, each of some thousand processes that the tests start compiles our modules anew: 0.04 s of a core
# for a verb, 0.13 s for a service.
unset PYTHONDONTWRITEBYTECODE

exec python -m pytest --no-fold-skipped --numprocesses auto --dist loadfile --no-loadscope-reorder "$@"

#!/bin/sh
# From a fresh checkout to pulled results: installs distribute into .venv, brings up a cluster of three nodes on
# this computer, runs the example batch on it, and shows what came out. Nothing is left running.
#
#     sh infra/quickstart.sh [OPTION of `distribute demo`…]
#
# Can be run again at any time; what is installed already is not installed again.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=infra/environment.sh
. infra/environment.sh

set_up ''
distribute demo "$@"

cat <<'NEXT'

What to try next:
  . .venv/bin/activate                   so that `distribute` is a command of this shell
  distribute up --detach --nodes 2       a cluster on this computer that stays; `distribute down` ends it
  distribute template python --output distribute-jobs.yaml
  distribute add --wait                  submits distribute-jobs.yaml, once its files are there
  distribute status; distribute nodes    what runs where
README.md says how a lab sets up several computers.
NEXT

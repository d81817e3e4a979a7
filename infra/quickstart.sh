#!/bin/sh
# From a fresh checkout to pulled results: installs distribute into .venv, brings up a cluster of three nodes on
# this computer, runs the example batch on it, and shows what came out. Nothing is left running.
#
#     sh infra/quickstart.sh [OPTION of `distribute demo`…]
#
# Wherever it is called from, relative paths are those of the checkout: the results are in its distribute-demo.
# Can be run again at any time; what is installed already is not installed again.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=infra/environment.sh
. infra/environment.sh

set_up ''
distribute demo "$@"

cat <<NEXT

What to try next, in $(pwd):
NEXT
cat <<'NEXT'
  . .venv/bin/activate                                    `distribute` is now a command of this shell
  distribute up --detach --nodes 2 --capability compiler  a cluster on this computer that stays
  distribute add cli/distribute_cli/example/distribute-jobs.yaml
  distribute watch demo/cavity                            its progress, until it ends
  distribute status demo/cavity                           its jobs; `distribute nodes` shows the nodes
  distribute logs demo/cavity/re1000-n128                 what a job printed
  distribute pull demo/cavity --save-dir results          its results; with `include --include summary`, some
  distribute down                                         ends the cluster
  distribute template python                              writes distribute-jobs.yaml, for a batch of your own
docs/lab.md says how to set up a lab of several computers.
NEXT

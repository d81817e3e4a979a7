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

next_steps "$(pwd)/.venv"
echo 'docs/lab.md says how to set up a lab of several computers.'

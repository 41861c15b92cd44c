#!/bin/sh
# Everything that docs/openapi.yaml promises, asked of a gateway by schemathesis: no 5xx, no answer that is not in it.
#
#   tests/openapi/run.sh TOLLGATE_BINARY
#
# TOLLGATE_TEST_EXAMPLES=500 asks so many random requests of each operation; 20 else.
# TOLLGATE_TEST_SEED=N repeats a run with the seed that it printed.
set -eu
binary=$(realpath "$1")
cd "$(dirname "$0")/../.."
. deploy/prerequisites.sh

target="${CARGO_TARGET_DIR:-target}"
venv="$target/openapi-venv"
need_from_pypi "$venv" tests/openapi/requirements.txt
"$venv/bin/python" tests/openapi/check.py "$binary" "${TOLLGATE_TEST_EXAMPLES:-20}"

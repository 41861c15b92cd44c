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
need_python
"$venv/bin/python" -c 'import pip' 2>/dev/null || python3 -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/openapi/requirements.txt \
    || fail "schemathesis could not be installed: is PyPI reachable? TOLLGATE_SKIP_SDK=1 runs the other tests alone."
"$venv/bin/python" tests/openapi/check.py "$binary" "${TOLLGATE_TEST_EXAMPLES:-20}"

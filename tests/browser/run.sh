#!/bin/sh
# The pages in a real browser, against the real binary: tests/browser/run.sh PATH/TO/tollgate
# TOLLGATE_SCREENSHOTS=FOLDER photographs every page in light and dark, on a desk and on a phone.
# TOLLGATE_BROWSER=PATH takes another Chromium.
set -eu
binary=$(realpath "${1:?usage: tests/browser/run.sh PATH/TO/tollgate}")
cd "$(dirname "$0")/../.."
. deploy/prerequisites.sh

say "looking for Chromium and Node.js"
need_browser
cd tests/browser
# Only what the lock file names, and nothing that it would run.
npm ci --ignore-scripts --no-audit --no-fund --silent || fail \
    "The packages of the browser's tests could not be installed: is the npm registry reachable?"
for test in dashboard usage; do
    say "$test in a browser"
    node "$test.mjs" "$binary"
done

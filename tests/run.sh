#!/bin/sh
# All tests: Rust's, the pages in a browser, then Stripe's own Python SDK against the sandbox and the webhook.
# Installs what is missing.
# TOLLGATE_SKIP_SDK=1 leaves out what comes from PyPI, for machines that do not reach it: the SDK, clients of others,
# schemathesis at our own endpoints, and what checks the image's recipe and the manifests of Kubernetes.
# TOLLGATE_SKIP_BROWSER=1 leaves the pages in a browser out, for machines without Chromium or npm.
# TOLLGATE_TEST_EXAMPLES=500 asks so many random requests of each of those endpoints; 20 else.
# TOLLGATE_TEST_REQUESTS=2000000 makes the load test longer; it sends 20,000 requests else.
# TOLLGATE_TEST_KILLS=200 kills the gateway as often under load; 20 times else, and 12 with a failing Stripe.
# TOLLGATE_TEST_OUTAGE_SECONDS=600 keeps Stripe away for ten minutes; 4 seconds else.
# TOLLGATE_TEST_STRIKES=500 lets each of Stripe's faults strike so often; 12 times else.
# TOLLGATE_TEST_CUSTOMERS=10000 looks for one lost unit among so many customers; among 500 else.
# TOLLGATE_TEST_ROUNDS=50 plays so many rounds of the model, of kills at every change, of losses of power and of everything
# that can happen to a fleet; 2 to 20 else.
# TOLLGATE_TEST_EVENTS=10000 delivers so many events in any order; 2,000 else.
# TOLLGATE_TEST_TRICKS=20000 sends so many random mixtures of tricks on parsers; 500 else.
# TOLLGATE_TEST_ALERTS=1 makes every alert ring by its cause, in ten minutes; promtool alone tries them else.
# TOLLGATE_TEST_SEED=N repeats a random test with the seed that it printed.
set -eu
cd "$(dirname "$0")/.."
. deploy/prerequisites.sh

target="${CARGO_TARGET_DIR:-target}"
venv="$target/sdk-venv"
scratch=""
sandbox=""

clean_up() {
    [ -z "$sandbox" ] || kill "$sandbox" 2>/dev/null || true
    [ -z "$scratch" ] || rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Leaves the sandbox's address in $base. Reading the pipe waits for the sandbox's first line, or for its end.
start_sandbox() {
    scratch=$(mktemp -d)
    mkfifo "$scratch/said"
    "$target/debug/tollgate" sandbox --listen 127.0.0.1:0 >"$scratch/said" &
    sandbox=$!
    read -r line <"$scratch/said" || fail "The sandbox did not start; its message is above."
    base=${line#sandbox: }
}

say "looking for a C compiler, cmake and Rust"
need_build_tools
need_rust
say "looking for redis-server"
need_redis
say "looking for curl, nginx and nghttp"
need_others
say "looking for prometheus and promtool"
need_prometheus
say "cargo test"
cargo test --locked
say "the tests that take their time"
cargo test --locked --test it -- --ignored slow::
say "what deployments start with"
./tests/deploy/run.sh "$target/debug/tollgate"
say "alerts and dashboards"
tests/prometheus/run.sh "$target/debug/tollgate"
if [ "${TOLLGATE_SKIP_BROWSER:-}" != 1 ]; then
    tests/browser/run.sh "$target/debug/tollgate"
fi
if [ "${TOLLGATE_SKIP_SDK:-}" = 1 ]; then
    say "all tests passed, without what comes from PyPI (TOLLGATE_SKIP_SDK=1)"
    exit 0
fi
say "Stripe's Python SDK against the sandbox"
need_from_pypi "$venv" tests/sdk/requirements.txt
start_sandbox
"$venv/bin/python" tests/sdk/sandbox_sdk.py "$base"
say "events signed by Stripe's Python SDK against the webhook"
"$venv/bin/python" tests/sdk/signed_events.py "$target/debug/tollgate" "$base"
say "schemathesis at our own endpoints"
tests/openapi/run.sh "$target/debug/tollgate"
say "all tests passed"

#!/bin/sh
# Builds Tollgate, with what that needs, and runs the demo: a sample API, the gateway before it and a local Stripe.
# Arguments go to `tollgate demo`.
set -eu
here=$(pwd)
cd "$(dirname "$0")/.."
. deploy/prerequisites.sh

say "looking for a C compiler, cmake and Rust"
need_build_tools
need_rust
say "building (some minutes the first time)"
cargo build --release --locked
case "${CARGO_TARGET_DIR:=target}" in
    /*) binary="$CARGO_TARGET_DIR/release/tollgate" ;;
    *) binary="$PWD/$CARGO_TARGET_DIR/release/tollgate" ;;
esac
say "starting the demo"
cd "$here"
exec "$binary" demo "$@"

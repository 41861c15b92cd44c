#!/bin/sh
# Fuzzes what reads bytes of strangers, so many minutes for each target, and makes the corpus small again.
#   tests/fuzz.sh [MINUTES=10] [TARGET...]
# Needs nightly Rust; installs cargo-fuzz where it is missing. A finding ends it, and lies in fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."

minutes=${1:-10}
[ $# -eq 0 ] || shift
targets=${*:-path token webhook record config}
# The most files that a target's corpus may have.
most=64
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/fuzz"

cargo +nightly fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

for target in $targets; do
    echo "== $target: $minutes min"
    cargo +nightly fuzz run "$target" -- -max_total_time=$((minutes * 60)) -max_len=4096 -timeout=10 -rss_limit_mb=1024
    cargo +nightly fuzz cmin "$target" -- -max_len=4096
    # What is small says as much, and is read sooner.
    ls -Sr "fuzz/corpus/$target" | tail -n "+$((most + 1))" | while read -r file; do
        rm "fuzz/corpus/$target/$file"
    done
    echo "== $target: $(ls "fuzz/corpus/$target" | wc -l) files in the corpus"
done

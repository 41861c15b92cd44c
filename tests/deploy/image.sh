#!/bin/sh
# What deploy/docker/Dockerfile does, as far as that goes without a container.
#
#   tests/deploy/image.sh TOLLGATE_BINARY SCRATCH_FOLDER
set -eu
binary=$1
scratch=$2
. deploy/prerequisites.sh
recipe=deploy/docker/Dockerfile
started=""
trap '[ -z "$started" ] || kill $started 2>/dev/null || true' EXIT

# The step before the layer of dependencies makes every file that Cargo.toml names, or cargo refuses to begin.
layer="$scratch/layer"
mkdir "$layer"
cp Cargo.toml Cargo.lock "$layer/"
step=$(sed -n '/^RUN mkdir -p src/,/cargo build/p' "$recipe" | sed -e 's/^RUN //' -e '/cargo build/d' -e 's/\\$//' | tr '\n' ' ')
(cd "$layer" && sh -euc "$step" && cargo metadata --no-deps --locked --offline --format-version 1 >/dev/null) \
    || fail "the layer of dependencies in $recipe lacks files that Cargo.toml names"
# Volumes take over the user of the folders that they come upon: who is not root could write into no other.
for folder in /var/lib/tollgate /backup; do
    grep -qx "COPY --from=build --chown=65532:65532 /empty $folder" "$recipe" || fail "$recipe lacks $folder"
done
# What is copied is let through, and there.
for copied in $(sed -n 's/^COPY \([a-zA-Z].*\) [^ ]*$/\1/p' "$recipe"); do
    [ -e "$copied" ] || fail "$recipe copies $copied, which is not there"
    grep -qx "!$copied" "$recipe.dockerignore" || fail "$recipe.dockerignore keeps $copied out"
done

# Starts what compose starts, waits for its first line, and leaves the URL in it in $said.
start() {
    mkfifo "$scratch/$1"
    "$binary" "$@" >"$scratch/$1" &
    started="$started $!"
    read -r line <"$scratch/$1" || fail "tollgate $1 did not start; its message is above."
    said=${line##* }
}

printf 'whsec_only_for_tests\n' >"$scratch/webhook_secret"
start sample-api --listen 127.0.0.1:0
[ -n "$said" ] || fail "the sample API did not say where it is"
start sandbox --listen 127.0.0.1:0 --webhook http://127.0.0.1:1/ --webhook-secret-file "$scratch/webhook_secret"
[ -n "$said" ] || fail "the local Stripe did not say where it is"
if "$binary" health --address 127.0.0.1:1 2>"$scratch/health"; then
    fail "the health check is content with nothing"
fi
grep -q "no gateway answers" "$scratch/health"
for process in $started; do
    kill "$process"
    wait "$process" || fail "SIGTERM did not end it well"
done
started=""

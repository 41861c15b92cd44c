#!/bin/sh
# What deployments start with, each checked by its own tool: the image's recipe, compose files, units, manifests, scripts,
# and the configurations that lie beside them.
#
#   tests/deploy/run.sh TOLLGATE_BINARY
#
# TOLLGATE_SKIP_SDK=1 leaves out what comes from PyPI: the checks of the recipe and the manifests.
# Nothing here runs a container: images are not built.
set -eu
binary=$(realpath "$1")
cd "$(dirname "$0")/../.."
. deploy/prerequisites.sh

need_deploy_tools
need_python
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say "shellcheck on every script"
git ls-files '*.sh' .ci/run | xargs shellcheck -x -S warning
say "systemd-analyze on the units"
mkdir -p "$scratch/units"
for unit in deploy/systemd/*.service; do
    # Where it would be installed there is no binary here.
    sed "s|/usr/local/bin/tollgate|$binary|" "$unit" >"$scratch/units/$(basename "$unit")"
done
cp "$scratch/units/tollgate@.service" "$scratch/units/tollgate@blue.service"
for unit in tollgate.service tollgate@blue.service; do
    said=$(systemd-analyze verify "$scratch/units/$unit" 2>&1) || fail "$unit: $said"
    [ -z "$said" ] || fail "$unit: $said"
    systemd-analyze security --offline=yes --threshold=20 "$scratch/units/$unit" | tail -1
done
# What is there for the service alone a command in a shell does not see; and who may try again is asked of ExecStart alone.
if grep -nE '^(DynamicUser|LoadCredential|ExecStartPre)' deploy/systemd/*.service; then
    fail "see the head of tollgate.service, and at RestartPreventExitStatus, why not"
fi
service() {
    sed -e '1,/^\[Service\]/d' -e 's/ --upgrade$//' "deploy/systemd/$1" | grep '^[A-Z]' | sort
}
[ "$(service tollgate.service)" = "$(service tollgate@.service)" ] || fail "the units differ in more than --upgrade"

say "docker compose on its files"
compose="docker compose"
docker compose version >/dev/null 2>&1 || compose=docker-compose
for file in deploy/compose/compose.yml deploy/fleet/compose.yml; do
    JWT_SECRET=x TOLLGATE_ADMIN_TOKEN=x $compose -f "$file" config -q
    [ "$(grep -c ':/backup' "$file")" = "$(grep -c ':/var/lib/tollgate$\|:/var/lib/tollgate ' "$file")" ] \
        || fail "$file has a gateway without a volume for its backup"
done
say "the time that a gateway is given to end"
python3 tests/deploy/ending.py

if [ "${TOLLGATE_SKIP_SDK:-}" != 1 ]; then
    venv="${CARGO_TARGET_DIR:-target}/deploy-venv"
    need_from_pypi "$venv" tests/deploy/requirements.txt
    say "hadolint on the image's recipe"
    "$venv/bin/hadolint" deploy/docker/Dockerfile
    say "manifests against the schemas of Kubernetes"
    built=""
    if has kubectl; then
        built="$scratch/kubernetes.yaml"
        kubectl kustomize deploy/kubernetes >"$built"
    fi
    "$venv/bin/python" tests/deploy/manifests.py deploy/kubernetes ${built:+"$built"}
fi

say "the configurations that lie beside them"
secrets="$scratch/secrets"
export TOLLGATE_NODE=tollgate-0 REDIS_PASSWORD=only-for-tests
export JWT_SECRET=only-for-tests-0123456789-0123456789 TOLLGATE_ADMIN_TOKEN=only-for-tests-admin
export STRIPE_SECRET_KEY=sk_test_x STRIPE_WEBHOOK_SECRET=whsec_x
mkdir "$secrets"
for name in jwt_secret admin_token stripe_secret_key stripe_webhook_secret; do
    printf 'sk_test_0123456789-0123456789-0123456789' >"$secrets/$name"
done
for file in deploy/compose/tollgate.toml deploy/kubernetes/tollgate.toml deploy/fleet/tollgate.toml; do
    # Their secrets are files of another machine; here they are ours.
    sed -e "s|/run/secrets/tollgate/|$secrets/|" -e "s|/run/secrets/|$secrets/|" "$file" >"$scratch/tollgate.toml"
    "$binary" check --config "$scratch/tollgate.toml" || fail "$file has a mistake, see above"
done

say "the image's steps by hand: its layer of dependencies, its commands, its health check"
sh tests/deploy/image.sh "$binary" "$scratch"

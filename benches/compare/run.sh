#!/bin/sh
# Measures Tollgate beside other proxies, or by itself: `run.sh [compare|cold|half|soak] [OPTION...]`, see README.md.
# Installs what is missing, and builds everything with the flags of a deployment.
set -eu
cd "$(dirname "$0")/../.."
. deploy/prerequisites.sh

# Debian's packages of what is missing.
missing_packages() {
    for package in wrk haproxy nginx openssl python3; do
        has "$package" || [ -x "/usr/sbin/$package" ] || printf '%s\n' "$package"
    done
    [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] || echo libnginx-mod-http-lua
    ls /usr/lib/*/lua/5.1/cjson.so >/dev/null 2>&1 || echo lua-cjson
}

case " $* " in
    *" --help "* | *" -h "*) exec python3 -B benches/compare/measure.py --binaries none --help ;;
esac
say "looking for a C compiler, cmake, Rust, wrk, HAProxy and nginx with Lua" >&2
need_build_tools >&2
need_rust >&2
PATH="$PATH:/usr/sbin"
packages=$(missing_packages)
# shellcheck disable=SC2086 # a list of names
[ -z "$packages" ] || install_packages $packages >&2
say "building (some minutes the first time)" >&2
cargo build --locked --profile dist --features compare --bin tollgate \
    --example bare --example origin --example load --example tokens
exec python3 -B benches/compare/measure.py --binaries "$(realpath "${CARGO_TARGET_DIR:-target}")/dist" "$@"

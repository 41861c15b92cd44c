# shellcheck shell=sh
# What building and testing need. Sourced by demo.sh, tests/run.sh and .ci/run with the repository as working
# directory. Packages are installed with apt-get where it is there and allowed; elsewhere they are named.

say() {
    printf '==> %s\n' "$*"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# The prefix that makes a command root's: nothing for root itself; fails where there is none.
root_prefix() {
    if [ "$(id -u)" -eq 0 ]; then
        return 0
    fi
    has sudo && sudo -n true 2>/dev/null && printf 'sudo -n'
}

# install_packages PACKAGE...: names as Debian has them.
install_packages() {
    if ! has apt-get || ! as_root=$(root_prefix); then
        fail "Missing: $* (Debian's names). Install what your system calls them, then run this again."
    fi
    say "installing $*"
    $as_root apt-get update -qq </dev/null || say "the package lists could not be renewed; trying with the old ones"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        </dev/null >/dev/null || fail "apt-get could not install $*; its messages are above."
}

# A compiler without the C library's headers is no use either.
compiles_c() {
    has cc && printf '#include <stdlib.h>\n' | cc -x c -fsyntax-only - 2>/dev/null
}

# SQLite and ring are C; pingora's zlib-ng is built by cmake, which calls make.
need_build_tools() {
    missing=""
    compiles_c || missing="gcc libc6-dev"
    has cmake || missing="$missing cmake"
    has make || missing="$missing make"
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
}

# 1.91.0-nightly becomes 1091, so that versions compare as numbers.
version_number() {
    printf '%s\n' "$1" | awk -F. '{ print $1 * 1000 + $2 }'
}

need_rust() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    get="get it from https://rustup.rs, or with \"rustup update stable\""
    if ! has cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
        export PATH
    fi
    if ! has cargo || ! has rustc; then
        fail "Rust $wanted or newer is needed: $get, then run this again."
    fi
    found=$(rustc --version | cut -d ' ' -f 2)
    [ "$(version_number "$found")" -ge "$(version_number "$wanted")" ] \
        || fail "Rust $wanted or newer is needed, and this is $found: $get, then run this again."
}

# Python with what makes virtual environments; Debian packs the two apart.
need_python() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3 python3-venv
}

# need_from_pypi FOLDER FILE: a Python of its own in that folder, with what the file lists.
need_from_pypi() {
    need_python
    "$1/bin/python" -c 'import pip' 2>/dev/null || python3 -m venv --clear "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2" \
        || fail "What $2 lists could not be installed: is PyPI reachable? TOLLGATE_SKIP_SDK=1 runs the other tests alone."
}

# The tests of a fleet start their own servers, some with TLS.
need_redis() {
    missing=""
    has redis-server || missing="redis-server"
    has openssl || missing="$missing openssl"
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
}

# Servers and clients that are not ours.
need_others() {
    missing=""
    has curl || missing="curl"
    has nginx || missing="$missing nginx"
    has nghttp || missing="$missing nghttp2-client"
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
}

# promtool tries the alert rules, and Prometheus itself scrapes the gateways of a test. Installing starts no service of it.
need_prometheus() {
    has prometheus && has promtool && return 0
    # Asked before a package starts its services; 101 says no. One that is there has its own say.
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ] || ! has apt-get || ! as_root=$(root_prefix); then
        install_packages prometheus
        return
    fi
    # Left behind by Ctrl-C it would keep all packages from starting theirs.
    (
        trap '$as_root rm -f "$policy"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null && $as_root chmod +x "$policy" \
            || fail "$policy cannot be written."
        install_packages prometheus
    ) || exit
}

# What checks the files that deployments start with.
need_deploy_tools() {
    missing=""
    has git || missing="git"
    has shellcheck || missing="$missing shellcheck"
    has systemd-analyze || missing="$missing systemd"
    docker compose version >/dev/null 2>&1 || has docker-compose || missing="$missing docker-compose"
    has openssl || missing="$missing openssl"
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
}

# The pages' tests drive a real browser; fonts, so that text has its size.
need_browser() {
    missing=""
    has chromium || [ -n "${TOLLGATE_BROWSER:-}" ] || missing="chromium fonts-dejavu-core"
    has node || missing="$missing nodejs"
    has npm || missing="$missing npm"
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
}

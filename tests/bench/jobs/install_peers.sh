#!/usr/bin/env bash
# Makes .cache/bench-peers, a venv with the job libraries that `make bench-jobs` compares with, and for arq alone
# .cache/bench-peers-arq, and sees to it that the programs of Redis and PostgreSQL are there. Where nothing is missing
# it returns at once; it can be interrupted and run again. PYTHON names the interpreter for the venvs (default: .venv's).
set -euo pipefail

# Whatever Python the caller has activated or pointed to must not leak into this one.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../../.."

# The lower bounds are what was measured first; without them pip goes back by years rather than give up. taskiq-redis
# 1.2 cannot be imported beside taskiq 0.13, and beside redis 8.1 no job arrived. uvloop is what the product runs on.
peers=(
    "saq[redis,hiredis]>=0.26"
    "taskiq>=0.12,<0.13"
    "taskiq-redis>=1.2"
    "redis<8"
    "pgqueuer[asyncpg]>=1.6"
    "procrastinate>=3.10"
    "psycopg[binary,pool]>=3.3"
    "uvloop>=0.21"
)

# arq asks for a redis client that is too old for the others.
arq=("arq>=0.28" "hiredis>=3" "uvloop>=0.21")

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

has_redis() { command -v redis-server >/dev/null 2>&1; }

has_postgres() {
    command -v initdb >/dev/null 2>&1 || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

# Installs Debian packages where that needs no password. Their services are not started: a policy-rc.d says no for as
# long as apt-get runs. The benchmark starts servers of its own.
install_packages() {
    local as_root=() policy=/usr/sbin/policy-rc.d
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "Missing here: $* (as Debian calls them). Install them with this system's package manager and try again."
    elif [ "$(id -u)" != 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            fail "Please run this and try again: sudo apt-get install --no-install-recommends $*"
        fi
        as_root=(sudo -n)
    fi
    say "Installing $* with apt-get ..."
    "${as_root[@]}" apt-get update -qq </dev/null >&2 || say "apt-get update failed; going on with the lists there are"
    "${as_root[@]}" sh -c '
        policy=$1
        shift
        if [ ! -e "$policy" ]; then
            trap "rm -f \"$policy\"" EXIT INT TERM
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod 755 "$policy"
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
    ' sh "$policy" "$@" </dev/null >/dev/null ||
        fail "apt-get could not. Please run this and try again: sudo apt-get install --no-install-recommends $*"
}

missing=()
has_redis || missing+=(redis-server)
has_postgres || missing+=(postgresql)
if [ "${#missing[@]}" -gt 0 ]; then
    install_packages "${missing[@]}"
fi

# make_venv FOLDER REQUIREMENT...: a folder that was made here from the same requirements is kept.
make_venv() {
    local venv=$1 stamp=$1/.installed wanted python=${PYTHON:-.venv/bin/python}
    shift
    # A venv does not survive being moved, so its place is part of what is compared.
    wanted=$(printf '%s\n' "$PWD" "$@")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    python=$(command -v "$python" || command -v python3) || fail "Python 3.11 or newer was not found"
    say "Making $venv ..."
    rm -rf "$venv"
    mkdir -p .cache
    "$python" -I -m venv "$venv"
    "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check "$@" ||
        fail "pip could not install $*"
    printf '%s\n' "$wanted" >"$stamp" # last, so that a venv whose making did not finish is made anew
}

make_venv .cache/bench-peers "${peers[@]}"
make_venv .cache/bench-peers-arq "${arq[@]}"

#!/bin/sh
# Makes .venv from the locks and installs this checkout into it, editable.
#
#   deploy/bootstrap.sh runtime   what `promptforge` needs to run (default)
#   deploy/bootstrap.sh dev       that, and what tests and checks need
#   deploy/bootstrap.sh browser   a Chromium for the tests that need one, where there is none
#   deploy/bootstrap.sh python    only prints the interpreter that it would use
#
# It can be interrupted and run again at any time: a .venv whose making did not finish is made anew. Where nothing has
# changed since the last run it returns at once. PYTHON names an interpreter to use instead of the first that fits.
set -eu

# Whatever Python the caller has activated or pointed to must not leak into this one.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV __PYVENV_LAUNCHER__ PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT
unset CDPATH

root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
cd -- "$root"

wanted=${1:-runtime}
venv_python=.venv/bin/python
stamp=.venv/.promptforge-installed       # the set, and the fingerprint of what it was installed from
place=.venv/.promptforge-place           # the checkout that this .venv was made in
unfinished=.venv/.promptforge-unfinished # there while something is being made or installed

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

fits() {
    "$1" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' </dev/null >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3 /usr/bin/python3; do
        if fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or 3.12 is needed and was not found. On Debian 12: sudo apt-get install python3.11 python3.11-venv"
}

# The checkout's place is part of it: a .venv does not survive being moved.
fingerprint() {
    case $1 in
    dev) set -- requirements.lock requirements-dev.lock pyproject.toml ;;
    *) set -- requirements.lock pyproject.toml ;;
    esac
    { printf '%s\n' "$root" && cat -- "$@"; } | cksum
}

installed_set() {
    read -r set_name _ <"$stamp" || return 0
    printf '%s' "$set_name"
}

# Is .venv whole, and does it hold what set $1 asks for?
satisfies() {
    [ -x "$venv_python" ] && [ -f "$stamp" ] && [ ! -e "$unfinished" ] || return 1
    case $1,$(installed_set) in
    runtime,runtime | runtime,dev | dev,dev) [ "$(cat "$stamp")" = "$(installed_set) $(fingerprint "$(installed_set)")" ] ;;
    *) return 1 ;;
    esac
}

# Installs Debian packages where that needs no password; otherwise says in one line what to run.
need_debian_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "Missing here: $*. Install it with this system's package manager and run this again."
    elif [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        fail "Please run this and try again: sudo apt-get install $*"
    fi
    say "Installing $* with apt-get ..."
    $as_root apt-get update -qq </dev/null >&2 || say "apt-get update failed; going on with the lists that are there"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" \
        </dev/null >/dev/null || fail "apt-get could not install $*. Please do, and try again: sudo apt-get install $*"
}

# The embedded mongod is linked against libcurl. It is used on Linux x86-64, where nobody names another MongoDB.
lacks_libcurl() {
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] && [ -z "${MONGO_URL:-}${PROMPTFORGE_MONGOD:-}" ] || return 1
    PATH=$PATH:/usr/sbin:/sbin
    command -v mongod >/dev/null 2>&1 && return 1
    command -v ldconfig >/dev/null 2>&1 || return 1
    ! ldconfig -p | grep -q 'libcurl\.so\.4 '
}

has_ensurepip() { "$1" -I -c 'import ensurepip, venv' </dev/null >/dev/null 2>&1; }

# A .venv that works and was made here (its scripts hold this path) is kept.
venv_is_usable() {
    [ ! -e "$unfinished" ] && [ "$(cat "$place" 2>/dev/null)" = "$root" ] && fits "$venv_python" &&
        "$venv_python" -I -m pip --version </dev/null >/dev/null 2>&1
}

make_venv() {
    say "Making .venv with $python ..."
    has_ensurepip "$python" || fail "$python has no ensurepip, so it cannot make a .venv"
    rm -rf .venv
    mkdir .venv
    : >"$unfinished"
    "$python" -I -m venv .venv </dev/null || fail "$python could not make .venv"
    printf '%s\n' "$root" >"$place"
}

pip() {
    PIP_USER=0 PIP_NO_INPUT=1 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$venv_python" -I -m pip --quiet "$@" </dev/null >&2
}

# uv takes a tenth of pip's time. It does not read pip's settings, so where it reaches no index, pip installs as ever:
# by the hashes these are the same files.
install_quickly() {
    [ "$1" = dev ] || return 1
    sed -n '/^uv==/,/[^\\]$/p' "$2" >.cache/uv.lock
    pip install --no-deps --require-hashes -r .cache/uv.lock &&
        UV_HTTP_TIMEOUT=15 UV_HTTP_RETRIES=1 .venv/bin/uv --quiet --no-config pip install --python "$venv_python" \
            --no-deps --require-hashes -r "$2" </dev/null >&2
}

install() {
    case $1 in
    dev) lock=requirements-dev.lock ;;
    *) lock=requirements.lock ;;
    esac
    say "Installing $(grep -c '^[a-z0-9].*==' "$lock") packages from $lock (a minute or so, once) ..."
    : >"$unfinished"
    rm -f "$stamp"
    install_quickly "$1" "$lock" || pip install --no-deps --require-hashes -r "$lock" ||
        fail "The packages of $lock could not be installed."
    PIP_REQUIRE_HASHES=0 pip install --no-deps --no-build-isolation --editable . || fail "promptforge could not be installed."
    printf '%s %s\n' "$1" "$(fingerprint "$1")" >"$stamp"
    rm -f "$unfinished"
}

case $wanted in
python)
    find_python
    exit
    ;;
browser)
    command -v chromium >/dev/null 2>&1 || need_debian_packages chromium
    exit
    ;;
runtime | dev) ;;
*) fail "usage: $0 [runtime|dev|browser|python]" ;;
esac

satisfies "$wanted" && exit

# Two of these at once must not write into one .venv.
mkdir -p .cache
if command -v flock >/dev/null 2>&1; then
    exec 9>.cache/bootstrap.lock
    flock 9
    satisfies "$wanted" && exit
fi

if [ -f "$stamp" ] && [ "$(installed_set)" = dev ]; then
    wanted=dev # what was once installed is kept up to date
fi
python=
venv_is_usable || python=$(find_python)
set --
if [ -n "$python" ] && ! has_ensurepip "$python"; then
    set -- "python$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
fi
if lacks_libcurl; then
    set -- "$@" libcurl4
fi
[ $# = 0 ] || need_debian_packages "$@"
[ -z "$python" ] || make_venv
install "$wanted"

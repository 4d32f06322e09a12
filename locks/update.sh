#!/usr/bin/env bash
# Write the lock files: the versions of constraints.txt with the SHA-256 of every file, for Linux, Windows and macOS.
# Needs uv (pip install uv). Run it after a change of pyproject.toml or constraints.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() {
    local out=$1
    shift
    uv pip compile pyproject.toml "$@" -c constraints.txt --generate-hashes --universal --python-version 3.11 \
        --no-annotate --no-header --quiet --output-file "$out.new"
    { echo "# Made by locks/update.sh. Install with: pip install --require-hashes -r $out"; cat "$out.new"; } >"$out"
    rm "$out.new"
}
lock locks/score.txt --extra serve --extra sign
lock locks/dev.txt --extra dev

# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
# shellcheck shell=bash disable=SC2034
# Sourced by the steps of the pipeline: the paths, the Python versions, and the report of a skipped step.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
ROOT=$PWD
CACHE=$ROOT/.cache
NAMESPACE_DIR=ansible_collections/stagecraft/pods
MAIN_PYTHON=3.11
# The Python versions of hosts and controllers; the sanity tests import every module with each of them.
PYTHONS=(3.9 3.11 3.12 3.13)

# Nothing of this project's runs touches the user's own collections, nor finds an older copy of this one there.
export ANSIBLE_HOME=$CACHE/ansible
export ANSIBLE_COLLECTIONS_PATH=$CACHE/collections
export ANSIBLE_NOCOWS=1 NO_COLOR=1 PY_COLORS=0 LC_ALL=C.UTF-8
unset PYTHONPATH PYTHONHOME ANSIBLE_CONFIG
# uv and pip trust the certificates of the system.
if [ -z "${SSL_CERT_FILE:-}" ] && [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
fi

say() { printf '%s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# A part that cannot run here: an error in CI, a line that the table of steps repeats elsewhere.
skip() {
    [ -z "${CI:-}" ] || fail "$* (CI=$CI: nothing may be skipped)"
    printf 'SKIP: %s\n' "$*"
    exit 77
}

# A real interpreter of that version: of the machine, or of pyenv, whose shims answer only for selected versions.
find_python() {
    local version=$1 candidate
    for candidate in "python$version" python3 "$HOME/.pyenv/versions/$version".*/bin/"python$version"; do
        if "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            "$candidate" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'
            return
        fi
    done
    return 1
}

# The collection as a copy, with its own git repository: ansible-test accepts neither links nor the ignored folder of
# another checkout, and in an ignored copy without .git it finds no file and calls that success.
copy_tree() {
    local to=$1/$NAMESPACE_DIR
    rm -rf "$1"
    mkdir -p "$to"
    git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -cf - 2>/dev/null | tar xf - -C "$to"
    git init -q "$to"
}

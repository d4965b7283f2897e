#!/usr/bin/env bash
# make_venv.sh VENV LOCK: a virtual environment with exactly what the lock names, and this checkout installed editable.
# Works on a bare Debian: looks for a Python that is new enough and for a way to make an environment with it, and says what
# to do where it finds none. Installs Debian packages only when run as root; never calls sudo.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="$1" lock="$2"

source scripts/debian.sh

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# $PYTHON when it is set; else the system's own python3, else any versioned one that is new enough.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

# In order: the standard library's venv (Debian splits its ensurepip off), virtualenv, and the missing Debian package.
make_environment() {
    local python="$1"
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$venv"
    elif "$python" -c 'import virtualenv' 2>/dev/null; then
        "$python" -m virtualenv --quiet "$venv"
    else
        # The versioned package fits every Debian Python, the unversioned one only the default.
        apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        "$python" -m venv "$venv"
    fi
}

# Of pip's many lines the few that show over a minute that something happens: large downloads, and the unpacking.
tell_progress() {
    local line
    while IFS= read -r line; do
        case "$line" in
            *Downloading*" MB)" | *"Using cached"*" MB)") say "  ${line#"${line%%[![:space:]]*}"}" ;;
            "Installing collected packages:"*) say "  unpacking all of it" ;;
        esac
    done
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || ! new_enough "$venv/bin/python"; then
    if ! python="$(find_python)"; then
        [ -z "${PYTHON:-}" ] || stop "$PYTHON is missing or older than Python 3.11"
        apt_install python3 python3-venv
        python="$(find_python)" || stop "rayfleet needs Python 3.11 or newer, and this system offers $(python3 --version)"
    fi
    say "making $venv with $("$python" --version)"
    rm -rf "$venv" # what is there, if anything, is half an environment
    make_environment "$python"
fi

say "installing what $lock names (a minute or two the first time)"
# Errors are shown, pip's warnings (about running as root, about indexes) are not: they only frighten.
{
    "$venv/bin/python" -m pip install --progress-bar off --disable-pip-version-check --require-hashes -r "$lock" 2>&1 >&3 |
        sed '/^WARNING: /d' >&2
} 3>&1 | tell_progress
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
say "ready: $venv/bin/rayfleet"

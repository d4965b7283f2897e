#!/usr/bin/env bash
# need_debian.sh PROGRAM[=PACKAGE]...: each program is there, or its Debian package (of the same name) gets installed.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/debian.sh

for program in "$@"; do
    command -v "${program%%=*}" >/dev/null || apt_install "${program#*=}"
done

#!/usr/bin/env bash
# Writes the lock files anew from pyproject.toml: names, versions and hashes, nothing that tells where they came from.
# Needs network access to a package index. Run it as `make lock`, or `make lock UPGRADE=1` to take newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet uv

upgrade=()
[ -z "${UPGRADE:-}" ] || upgrade=(--upgrade)

# Python 3.11 is the oldest supported; --universal adds the markers for the newer ones and for other platforms.
compile() {
    "$work/venv/bin/uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate \
        --python-version 3.11 --custom-compile-command "make lock" "${upgrade[@]}" "$@"
}

mkdir -p requirements
compile pyproject.toml --output-file requirements/runtime.lock
places=(--extra ssh --extra aws --extra gcp --extra azure --extra aliyun)
compile pyproject.toml --group dev "${places[@]}" --constraint requirements/runtime.lock --output-file requirements/dev.lock
# What the operator's image has.
compile pyproject.toml --extra kubernetes --extra traces --constraint requirements/dev.lock --output-file requirements/kubernetes.lock
compile --group docs --constraint requirements/dev.lock --output-file requirements/docs.lock
compile --group mutants --constraint requirements/dev.lock --output-file requirements/mutants.lock
compile --group serve --constraint requirements/dev.lock --output-file requirements/serve.lock
# The oldest supported Ray, under the same tools; only the tests that touch Ray run on it (`make test-matrix`).
echo "ray==2.52.0" >"$work/floor.txt"
compile pyproject.toml --group dev --constraint "$work/floor.txt" --output-file requirements/ray-floor.lock

for lock in requirements/*.lock; do
    if grep -nE '://|find-links|index-url|/tmp/|/opt/|/home/' "$lock"; then
        echo "lock: $lock names an address or a path, see above" >&2
        exit 1
    fi
done

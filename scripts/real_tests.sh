#!/usr/bin/env bash
# real_tests.sh PYTHON [PYTEST ARGUMENTS]: tests that start real Ray. They wait with deadlines, and a machine that is busy with
# something else can miss one: what failed is run once more, by itself, and the output says so. A test that fails twice fails.
set -uo pipefail
python="$1"
shift
"$python" -m pytest "$@"
code=$?
if [ "$code" -eq 1 ]; then # 1: tests failed; anything else (interrupted, not collected, none found) is not theirs
    echo "real Ray: once more what failed, by itself"
    "$python" -m pytest "$@" --last-failed --last-failed-no-failures none
    code=$?
fi
exit "$code"

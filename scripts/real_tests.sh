#!/usr/bin/env bash
# real_tests.sh PYTHON [PYTEST ARGUMENTS]: tests that start real Ray or Kubernetes, two files at a time: most of their time
# they wait for programs. They wait with deadlines, and a machine that is busy with something else can miss one: what failed is
# run once more, by itself, and the output says so. A test that fails twice fails. ARGS="-n 0" runs one test at a time, with -s
# and so on.
set -uo pipefail
python="$1"
shift
"$python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
code=$?
if [ "$code" -eq 1 ]; then # 1: tests failed; anything else (interrupted, not collected, none found) is not theirs
    echo "real programs: once more what failed, by itself"
    "$python" -m pytest "$@" -n 0 --last-failed --last-failed-no-failures none
    code=$?
fi
exit "$code"

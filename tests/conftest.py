"""What holds for every test: pure code gets no network, properties repeat, no dashboard comes up, Ctrl-C is heard."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Tests of pure code. A socket opened there means that I/O has crept in, so it is an error and not merely slow.
PURE = ("unit/model", "unit/planner", "unit/config", "properties", "golden")

# Where tests of a mark are; of several, the first counts. The Makefile's targets look nowhere else: importing all tests
# takes longer than running some.
PLACES = {
    "kubernetes": ("kubernetes", "unit/deploy"),
    "guides": ("guides",),
    "e2e": ("e2e", "conformance"),
    "ray": ("e2e", "conformance"),
    "redis": ("unit/kube_operator/raycluster",),
}


# The same examples in every run, however long each takes: a busy machine finds what any other finds. A test's own
# settings add to these; `--hypothesis-profile=default` looks for new examples.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

# Whoever tests the dashboard that `up` starts asks for it; all other clusters come up without.
os.environ["RAYFLEET_DASHBOARD"] = "off"

# A shell that starts something in the background has it ignore SIGINT, and its children inherit that: the tests would
# press a dead key.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bar sockets in the tests of pure rooms; refuse a test that no target of the Makefile would run."""
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        if place.startswith(tuple(f"{folder}/" for folder in PURE)):
            item.add_marker(pytest.mark.disable_socket)
        mark = next((mark for mark in PLACES if item.get_closest_marker(mark)), None)
        if mark and not place.startswith(tuple(f"{folder}/" for folder in PLACES[mark])):
            raise pytest.UsageError(f"{place} is marked {mark!r}, which `make` looks for in {PLACES[mark]} only")
    _longest_files_first(items)


def _longest_files_first(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: workers that share the files then end at about the same time."""
    limit_s: dict[Path, float] = {}
    for item in items:
        # Tests of Kubernetes stay in their order: what one has left on a control plane ends while others run.
        limit = None if "kubernetes" in item.path.parts else item.get_closest_marker("timeout")
        limit_s[item.path] = max(limit_s.get(item.path, 0.0), limit.args[0] if limit else 0.0)
    items.sort(key=lambda item: -limit_s[item.path])


def pytest_collection_finish() -> None:
    """Put all that was collected out of the garbage collector's sight: millions of objects, alive until the end."""
    gc.freeze()

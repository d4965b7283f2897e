"""What holds for every test: pure code gets no network, and Ctrl-C reaches the programs that tests start."""

import signal
from pathlib import Path

import pytest

# Tests of pure code. A socket opened there means that I/O has crept in, so it is an error and not merely slow.
PURE = ("unit/model", "unit/planner", "unit/config", "properties", "golden")


# A shell that starts something in the background has it ignore SIGINT, and its children inherit that: the tests would
# press a dead key.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bar sockets in the tests of pure rooms."""
    here = Path(__file__).parent
    for item in items:
        place = item.path.relative_to(here).as_posix()
        if place.startswith(tuple(f"{folder}/" for folder in PURE)):
            item.add_marker(pytest.mark.disable_socket)

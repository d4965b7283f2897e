"""What hosts of tests have of their own hides nothing that their programs need."""

from __future__ import annotations

import sys
from pathlib import Path

import rayfleet
from rayfleet.testing.hosts import image


def test_programs_are_where_the_tests_run() -> None:
    found = image.programs()
    assert Path(sys.prefix).resolve() in found
    assert any(Path(rayfleet.__file__).resolve().is_relative_to(path) for path in found)


def test_only_what_a_hosts_own_folders_would_hide_is_shown_again() -> None:
    paths = (Path("/tmp/checkout/.venv"), Path("/tmpfiles"), Path("/home/me/checkout"), Path("/run/user/0/checkout"))
    assert image.hidden(paths) == (paths[0], paths[3])

"""A node's watcher as a process of its own, with a program in the raylet's place: how the node ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.engines.ray import node_main

STUBBORN = """#!/bin/bash
trap '' TERM
echo $$ > {folder}/pid
: > @TEMP_DIR@/{session}/sockets/raylet
while :; do sleep 0.05; done
"""
POLITE = STUBBORN.replace("trap '' TERM\n", "")  # ended by the kernel: a shell with a trap waits for its command first


def begin(folder: Path, raylet: str) -> subprocess.Popen[bytes]:
    """Start the watcher; its farewell leaves a file."""
    program = folder / "raylet"
    (folder / "machine").mkdir()
    head = {"session_name": "s", "logs_dir": "/nowhere", "raylet_argv": [str(program), "@TEMP_DIR@"]}
    program.write_text(raylet.format(folder=folder, session="s").replace("@TEMP_DIR@", "$1"))
    program.chmod(0o700)
    (folder / "head.json").write_text(json.dumps(head))
    spec = {
        "head_path": str(folder / "head.json"),
        "gcs_address": "127.0.0.1:1",
        "own_addresses": True,
        "resources": {"CPU": 1},
        "labels": {},
        "object_store_bytes": 100,
        "pool": "cpu1",
        "python": sys.executable,
        "farewell": ["/bin/sh", "-c", f"echo $0 > {folder}/farewell"],
    }
    return subprocess.Popen(
        [sys.executable, "-I", "-S", node_main.__file__, "worker", json.dumps(spec)],
        env={**os.environ, "RAYFLEET_MACHINE_DIR": str(folder / "machine"), "RAYFLEET_MACHINE_ID": "m1"},
    )


@pytest.mark.parametrize(("raylet", "told"), [(STUBBORN, True), (POLITE, False)], ids=["stubborn", "polite"])
def test_the_gcs_is_told_of_a_raylet_that_cannot_say_good_bye_itself(
    tmp_path: Path, raylet: str, *, told: bool
) -> None:
    """Ray's own hangs when it is asked to end while it registers, and its node would be thought alive for 14 s."""
    with begin(tmp_path, raylet) as watcher:
        while not (tmp_path / "machine" / "started").exists():
            assert watcher.poll() is None
        pid = int((tmp_path / "pid").read_text())
        watcher.send_signal(signal.SIGTERM)
        assert watcher.wait(timeout=100) == 0
    assert not Path(f"/proc/{pid}").exists()
    assert (tmp_path / "farewell").exists() is told
    if told:
        assert len((tmp_path / "farewell").read_text().strip()) == 56  # the node's id

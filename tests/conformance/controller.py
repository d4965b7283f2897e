"""A controller in a process of its own, killed with -9 at a chosen moment of a launch."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

from tests.conformance.machines import Fleet, always, request

from rayfleet.contracts import LaunchRequest, ProviderContext, StartScript
from rayfleet.model import FrozenMap
from rayfleet.providers.process import Settings
from rayfleet.providers.process.host import Spawn, ThisHost
from rayfleet.providers.process.identity import cluster_root, cluster_tag
from rayfleet.providers.process.procfs import ProcessKey
from rayfleet.providers.process.provider import ProcessProvider

Moment = Literal["recorded", "before_spawn", "after_spawn"]
"""Everything is written and nothing started | one is marked as starting | its process runs, its pid is not saved."""


class DoomedHost(ThisHost):
    """This computer, until the moment comes: then the whole controller dies as by `kill -9`."""

    def __init__(self, tag: str, root: Path, when: str) -> None:
        super().__init__(tag, root)
        self._when = when

    def prepare(self) -> None:
        super().prepare()
        if self._when == "recorded":  # what is written down is followed by this, and by what starts it
            os.kill(os.getpid(), signal.SIGKILL)

    def spawn(self, spawn: Spawn) -> ProcessKey:
        if self._when == "before_spawn":
            os.kill(os.getpid(), signal.SIGKILL)
        started = super().spawn(spawn)
        if self._when == "after_spawn":
            os.kill(os.getpid(), signal.SIGKILL)
        return started


def killed_controller(fleet: Fleet, cluster: str, asked: LaunchRequest, when: Moment) -> None:
    """Run a controller that launches and is killed; return when it is dead."""
    word = {
        "cluster": cluster,
        "state_dir": str(fleet.state_dir(cluster)),
        "settings": fleet.settings.model_dump(mode="json"),
        "argv": fleet.script.argv,
        "env": dict(fleet.script.env),
        "batch": asked.batch,
        "claims": asked.claims,
        "when": when,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.controller", json.dumps(word)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


async def _launch(word: dict[str, object]) -> None:
    """Launch, and die at the moment that was asked for."""
    cluster, state_dir = str(word["cluster"]), Path(str(word["state_dir"]))
    settings = Settings.model_validate(word["settings"])
    argv, env, claims, when = word["argv"], word["env"], word["claims"], str(word["when"])
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    assert isinstance(claims, list)
    tag = cluster_tag(cluster, state_dir)
    context = ProviderContext(cluster, state_dir, settings, always(StartScript(tuple(argv), FrozenMap(env))))
    provider = ProcessProvider(context, DoomedHost(tag, cluster_root(settings.root, tag), when))
    await provider.launch(request(str(word["batch"]), *claims))
    await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(_launch(json.loads(sys.argv[1])))

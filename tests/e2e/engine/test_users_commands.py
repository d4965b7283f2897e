"""Users' own start commands: a real head and worker start from them, by the script that a machine gets."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.e2e.engine.real_cluster import eventually

from rayfleet.bootstrap.recipe import Extra, recipe
from rayfleet.bootstrap.script import start_script
from rayfleet.bootstrap.steps import Start
from rayfleet.config import default_spec
from rayfleet.engines.ray import commands
from rayfleet.engines.ray.commands import Remote
from rayfleet.engines.ray.engine import RayEngine
from rayfleet.engines.ray.settings import RaySettings, choose_ports, free_ports, own_address
from rayfleet.model import Labels, Pool, Resources
from rayfleet.wire.node_end import NODE_VARIABLE, end_node

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

HEAD = Pool("head", Resources(), max_workers=1)
CPU = Pool("cpu", Resources.of({"CPU": 3, "licence": 2}), Labels({"tier": "batch"}))


@dataclass
class Machines:
    """A head and its workers, all on this machine, each with a home of its own."""

    folder: Path
    settings: RaySettings
    remote: Remote
    names: list[str] = field(default_factory=list)

    def processes(self) -> dict[int, str]:
        """Return the command lines of all that belongs to the cluster's nodes, by process id."""
        tag, found = f"{NODE_VARIABLE}={self.settings.cluster}/".encode(), {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if tag in (entry / "environ").read_bytes():
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue  # it has just ended
        return found

    def boot(self, name: str, pool: Pool, *, head: bool) -> str:
        """Carry a machine's script out to its end; return its log."""
        home = self.folder / name
        if not home.exists():
            home.mkdir()
            (home / ".bashrc").write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
            self.names.append(name)
        spec = default_spec(self.settings.cluster, (CPU,), HEAD)
        start = Start(
            commands.start_commands(self.settings, pool, self.remote, head=head),
            commands.exports(self.settings, pool, head=head),
        )
        extra = Extra(self.settings.token(), commands.client_exports(self.settings))
        script = start_script(recipe(spec, pool, start, extra, head=head))
        done = subprocess.run(
            script.argv, env=self.environment(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        assert done.returncode == 0, done.stdout.decode()
        return done.stdout.decode()

    def environment(self, name: str) -> dict[str, str]:
        home = str(self.folder / name)
        return {"HOME": home, "PATH": os.defpath, "RAYFLEET_MACHINE_ID": name, "RAYFLEET_MACHINE_DIR": home}

    def end(self) -> None:
        for name in reversed(self.names):
            subprocess.run(["/bin/bash", "-c", end_node(self.settings.cluster)], env=self.environment(name), check=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    ports, name = choose_ports(preferred_default=False), f"own-{os.getpid()}"
    settings = RaySettings(name, str(tmp_path / "cluster"), own_address(), ports)
    settings.save()
    temp = tempfile.mkdtemp(prefix="rf-")  # short: the kernel bounds the paths of sockets in it
    more = free_ports(1, taken=(ports.gcs_port, ports.client_port, ports.dashboard_port))
    shared = "--object-store-memory 80000000 --disable-usage-stats"
    head = (
        f"ulimit -n 65536; ray start --head --port={ports.gcs_port} --autoscaling-config=~/ray_bootstrap_config.yaml "
        f"--ray-client-server-port {ports.client_port} --dashboard-port={ports.dashboard_port} --temp-dir={temp} "
        f"--dashboard-agent-listen-port {more[0]} {shared}"
    )
    worker = f"ray start --address=$RAY_HEAD_IP:{ports.gcs_port} --labels=own=yes --temp-dir={temp} {shared}"
    found = Machines(tmp_path, settings, Remote((head,), (worker,)))
    yield found
    found.end()
    left = found.processes()
    shutil.rmtree(temp)
    assert not left


async def test_users_commands_start_nodes_of_ours_and_no_autoscaler_of_rays(machines: Machines) -> None:
    await asyncio.to_thread(machines.boot, "i-head", HEAD, head=True)
    await asyncio.to_thread(machines.boot, "i-worker", CPU, head=False)
    assert not [line for line in machines.processes().values() if "monitor.py" in line and "log_monitor" not in line]
    engine = RayEngine(machines.settings, remote=machines.remote)

    view = await eventually(engine.look, lambda seen: len(seen.nodes) == 2)
    head, worker = sorted(view.nodes, key=lambda node: not node.head)
    assert (head.instance_id, head.pool, head.total.amounts().get("CPU", 0)) == ("i-head", "head", 0)
    assert (worker.instance_id, worker.pool) == ("i-worker", "cpu")
    assert {"CPU": 3.0, "licence": 2.0}.items() <= worker.total.amounts().items()
    assert {"tier": "batch", "own": "yes", "ray.io/node-group": "cpu"}.items() <= worker.labels.items()
    await engine.close()

    before = machines.processes().keys()
    assert "started before" in await asyncio.to_thread(machines.boot, "i-worker", CPU, head=False)
    assert before <= machines.processes().keys()

    shell = '. "$HOME"/.rayfleet/*/client.sh; exec "$0" -c "import ray; ray.init(); print(ray.cluster_resources())"'
    shown = await asyncio.create_subprocess_exec(
        "/bin/bash", "-c", shell, sys.executable, env=machines.environment("i-worker"), stdout=subprocess.PIPE
    )
    assert "licence" in (await shown.communicate())[0].decode()

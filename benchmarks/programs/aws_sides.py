"""Both sides on the EC2 emulator, for a network namespace that has nothing but loopback; prints JSON.

python -m benchmarks.programs.aws_sides PAIRS FOLDER. Each turn has a new account with nothing in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import boto3
from benchmarks.programs.aws_head import REGION
from benchmarks.stock import RAY

from rayfleet.contracts import LaunchRequest, ProviderContext, StartScript
from rayfleet.model import CPU, Market, OfferKey, Pool, Resources
from rayfleet.providers.aws import PROVIDER, Settings
from rayfleet.testing.clouds.aws import AwsEmulator, aws_emulator

MACHINES: Final = 1000
_PATIENCE_S: Final = 240.0
_YAML: Final = """
cluster_name: bench
max_workers: 1
provider: {type: aws, region: us-west-2, availability_zone: "us-west-2a,us-west-2b", cache_stopped_nodes: false}
auth: {ssh_user: ubuntu}
available_node_types:
  head: {node_config: {InstanceType: m5.large, ImageId: ami-0123456789abcdef0}, resources: {CPU: 2}}
head_node_type: head
"""
_SSH: Final = "#!/bin/sh\ntouch {mark}\nexit 255\n"
"""Stands for ssh on Ray's side: its first attempt is the end of what is measured."""


def main(pairs: int, folder: Path) -> dict[str, Any]:
    """Measure and return seconds and calls of each turn, and what a thousand machines took."""
    turns: dict[str, list[Any]] = {"ours_s": [], "ours_calls": [], "theirs_s": [], "theirs_calls": []}
    for number in range(pairs):
        for side, start in (("ours", _ours), ("theirs", _theirs)):
            home = folder / f"{side}-{number}"
            home.mkdir()
            took_s, calls = _turn(start, home)
            turns[f"{side}_s"].append(took_s)
            turns[f"{side}_calls"].append(calls)
    return {**turns, "many": asyncio.run(_many(folder / "many"))}


def _turn(start: Callable[[AwsEmulator, Path], float], home: Path) -> tuple[float, list[str]]:
    """Return how long a side took, and its calls. What moto does once for each account is done before."""
    with aws_emulator(managed_policies=True) as emulator:
        os.environ.update(emulator.environment)
        client = boto3.client("ec2", region_name=REGION)
        client.describe_subnets()
        page = client.describe_instance_types()
        while "NextToken" in page:
            page = client.describe_instance_types(NextToken=page["NextToken"])
        boto3.client("iam", region_name=REGION).list_instance_profiles()
        emulator.log.clear()
        took_s = start(emulator, home)
        return took_s, [call.action for call in emulator.log]


def _ours(emulator: AwsEmulator, home: Path) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.programs.aws_head", emulator.endpoint_url, str(home)]
    address = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True).stdout
    took_s = time.monotonic() - began
    if not address.startswith("127."):
        raise RuntimeError(f"no address: {address}")
    return took_s


def _theirs(emulator: AwsEmulator, home: Path) -> float:
    mark, path = home / "ssh-was-tried", home / "bin"
    path.mkdir()
    (path / "ssh").write_text(_SSH.format(mark=mark), "utf-8")
    (path / "ssh").chmod(0o755)
    file = home / "cluster.yaml"
    file.write_text(_YAML, "utf-8")
    variables = {"HOME": str(home), "PATH": f"{path}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    began = time.monotonic()
    with (home / "output").open("w") as output:
        process = subprocess.Popen(
            [str(RAY), "up", "--yes", "--no-config-cache", "--disable-usage-stats", str(file)],
            env={**os.environ, **emulator.environment, **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        while not mark.exists():
            if process.poll() is not None or time.monotonic() - began > _PATIENCE_S:
                raise RuntimeError(f"ray up never tried ssh: {(home / 'output').read_text()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - began
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _many(folder: Path) -> dict[str, float]:
    """Return calls and seconds of a thousand machines: set-up and launch, and one listing of them all."""
    pool = Pool("cpu1", Resources.of({CPU: 1}))
    with aws_emulator() as emulator:
        context = ProviderContext(
            "many", folder, Settings(endpoint_url=emulator.endpoint_url), lambda _pool, _head: StartScript(())
        )
        provider = PROVIDER.build(context)
        began = time.monotonic()
        offer = OfferKey(pool.name, "aws", REGION, None, Market.ON_DEMAND)
        await provider.launch(LaunchRequest("b1", offer, pool, tuple(map(str, range(MACHINES)))))
        launched_s, launch_calls = time.monotonic() - began, len(emulator.log)
        began = time.monotonic()
        listed = len(await provider.list())
        listed_s = time.monotonic() - began
        await provider.close()
    if listed != MACHINES:
        raise RuntimeError(f"{listed} machines are listed, not {MACHINES}")
    list_calls = len(emulator.log) - launch_calls
    return {"launch_s": launched_s, "launch_calls": launch_calls, "list_s": listed_s, "list_calls": list_calls}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), Path(sys.argv[2]))))

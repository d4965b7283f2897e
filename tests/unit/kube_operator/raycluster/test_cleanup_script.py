"""The clean-up that a Job runs, against a Redis with the keys of two clusters."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.kubernetes.waiting import eventually

from rayfleet.engines.ray.settings import free_ports
from rayfleet.kube_operator.raycluster.deletion import SCRIPT

pytestmark = pytest.mark.redis

PASSWORD = "guess me"
Ask = Callable[..., str]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[tuple[Ask, int]]:
    """Ask a Redis of the test's own; and its port."""
    (port,) = free_ports(1)
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--requirepass",
        PASSWORD,
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    environment = {**os.environ, "REDISCLI_AUTH": PASSWORD}

    def ask(*words: str) -> str:
        command = ["redis-cli", "-p", str(port), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()

    try:
        eventually(lambda: ask("ping") == "PONG")
        yield ask, port
    finally:
        server.terminate()
        server.wait(20)


def clean(address: str, password: str) -> subprocess.CompletedProcess[str]:
    told = {
        "RAY_REDIS_ADDRESS": address,
        "REDIS_PASSWORD": password,
        "RAY_external_storage_namespace": "uid-demo",
    }
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("scheme", ["", "redis://"])
def test_only_the_clusters_own_keys_go(ask: tuple[Ask, int], scheme: str) -> None:
    say, port = ask
    for key in ("RAYuid-demo@KV", "RAYuid-demo@NODE", "RAYuid-demo2@KV"):
        say("hset", key, "a", "b")
    done = clean(f"{scheme}127.0.0.1:{port}", PASSWORD)
    assert done.returncode == 0, done.stderr
    assert say("keys", "*") == "RAYuid-demo2@KV"


def test_a_wrong_password_fails_the_job(ask: tuple[Ask, int]) -> None:
    say, port = ask
    say("hset", "RAYuid-demo@KV", "a", "b")
    assert clean(f"127.0.0.1:{port}", "wrong").returncode != 0
    assert say("keys", "*") == "RAYuid-demo@KV"

"""Cluster files for tests of machines elsewhere, and the recipes that come of them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from rayfleet.bootstrap.recipe import Extra, recipe
from rayfleet.bootstrap.steps import Recipe, Start
from rayfleet.config import ClusterSpec, load
from rayfleet.contracts import Notices, Provider, ProviderContext, ProviderKind
from rayfleet.model import Pool
from rayfleet.testing.fake_provider import FakePlace, FakeProvider, ManualClock
from rayfleet.testing.fake_ssh import FakeSsh
from rayfleet.wire.node_end import mark_node

START = Start(("ray start --here",), ('export RAY_CLOUD_INSTANCE_ID="$RAYFLEET_MACHINE_ID"', "export RAY_HEAD_IP=h"))
HALF = """
if [ -e ~/left ]; then
  grep -q . /proc/$(cat ~/left)/environ 2>/dev/null && exit 1
  echo start again >> ~/ray.log
else
  tail -f /dev/null < /dev/null > /dev/null 2>&1 & echo $! > ~/left; exit 1
fi
"""
"""A program `ray` whose first start fails and leaves a process, and which starts nothing beside that."""
MARKED = Start(START.commands, (*START.exports, mark_node("demo")))
EXTRA = Extra("secret-token", ("export RAY_ADDRESS=h:6379",))


class Settings(BaseModel):
    """The `provider:` section of a cloud that does not exist."""

    model_config = ConfigDict(extra="forbid")
    uses: ClassVar[tuple[str, ...]] = ()

    use_internal_ips: bool = False


class RecordingProvider(FakeProvider):
    """A provider that keeps what it was built from."""

    def __init__(self, context: ProviderContext) -> None:
        """Stand at an empty place."""
        super().__init__(FakePlace(ManualClock()))
        self.context = context


class LendingProvider(RecordingProvider):
    """One that is logged in to its hosts already."""

    def __init__(self, context: ProviderContext) -> None:
        """Know no host yet."""
        super().__init__(context)
        self.ssh = FakeSsh()


def _build(context: ProviderContext) -> Provider:
    return RecordingProvider(context)


NOTICES = Notices("def left_s(ask, url):\n    return 100.0 if ask(url, {}) else None\n", "http://here")
CLOUD = ProviderKind(name="nimbus", settings=Settings, build=_build, remote=True, notices=lambda _settings: NOTICES)
OWNED = ProviderKind(name="rack", settings=Settings, build=LendingProvider, remote=True, keeps_hosts=True)


def spec(text: str = "", place: str = "nimbus") -> ClusterSpec:
    """Return the spec of a file with two types, `head` and `cpu`, and more lines."""
    lines = f"""
cluster_name: demo
provider: {{type: {place}}}
available_node_types:
  head: {{resources: {{CPU: 2}}, node_config: {{size: s}}}}
  cpu: {{resources: {{CPU: 4}}, max_workers: 9, node_config: {{size: l}}}}
head_node_type: head
{text}
"""
    return load(lines, {"nimbus": CLOUD, "rack": OWNED}, "demo.yaml")


def worker_recipe(text: str = "", start: Start = START, extra: Extra = EXTRA) -> Recipe:
    """Return the recipe of a `cpu` machine."""
    found = spec(text)
    return recipe(found, pool_of(found, "cpu"), start, extra, head=False)


def head_recipe(text: str = "", start: Start = START, extra: Extra = EXTRA) -> Recipe:
    """Return the recipe of the head."""
    found = spec(text)
    assert found.policy.head is not None
    return recipe(found, found.policy.head, start, extra, head=True)


def pool_of(found: ClusterSpec, name: str) -> Pool:
    """Return a pool by its name."""
    return next(pool for pool in found.policy.pools if pool.name == name)

"""Node provider classes as users have them: no import of Ray, places in memory that outlive the objects."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Place:
    """The nodes of one account, by cluster. `failing`: what the next `create_node` calls raise."""

    nodes: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    failing: list[Exception] = field(default_factory=list)
    failing_after: list[Exception] = field(default_factory=list)
    made: int = 0
    stock: int = 1_000_000
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)


PLACES: dict[str, Place] = {}


class Base:
    """What all of them have."""

    keeps_tags = True
    looks_to_run = 2

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        self.provider_config = provider_config
        self.cluster_name = cluster_name
        self.place = PLACES.setdefault(provider_config["place"], Place())
        self.nodes = self.place.nodes.setdefault(cluster_name, {})

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        for node_id in self.nodes:
            self.place.looks[node_id] = self.place.looks.get(node_id, 0) + 1
        return [name for name, tags in self.nodes.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        return self.place.looks.get(node_id, 0) > self.looks_to_run

    def is_terminated(self, node_id: str) -> bool:
        return node_id not in self.nodes

    def node_tags(self, node_id: str) -> dict[str, str]:
        self.place.calls["node_tags"] += 1
        return dict(self.nodes[node_id])

    def internal_ip(self, node_id: str) -> str | None:
        self.place.calls["internal_ip"] += 1
        return f"10.0.0.{int(node_id.rpartition('-')[2]) % 250}"

    def external_ip(self, node_id: str) -> str | None:
        return None

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any] | None:
        self.place.asked.append((node_config, tags, count))
        if self.place.failing:
            raise self.place.failing.pop(0)
        if self.place.stock < count:
            count, short = self.place.stock, True
        else:
            short = False
        self.place.stock -= count
        names = []
        for _ in range(count):
            self.place.made += 1
            names.append(f"node-{self.place.made:06d}")
            self.nodes[names[-1]] = dict(tags) if self.keeps_tags else {}
        if self.place.failing_after:
            raise self.place.failing_after.pop(0)
        if short:
            raise RuntimeError("insufficient capacity")
        return self.told(names)

    def told(self, names: list[str]) -> dict[str, Any] | None:
        return {name: {} for name in names}

    def terminate_node(self, node_id: str) -> None:
        del self.nodes[node_id]


class Telling(Base):
    """Says which nodes it made, and keeps their tags."""


class Silent(Base):
    """Says nothing, and keeps no tags."""

    keeps_tags = False

    def told(self, names: list[str]) -> dict[str, Any] | None:
        return None


class Newer(Base):
    """Takes resources and labels, and many ids at once."""

    max_terminate_nodes = 2

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> dict[str, Any] | None:
        made = self.create_node(node_config, tags, count)
        self.place.asked.append((resources, labels))
        return made

    def terminate_nodes(self, node_ids: list[str]) -> None:
        self.place.asked.append(("terminate_nodes", tuple(node_ids)))
        for node_id in node_ids:
            self.terminate_node(node_id)


class WithoutAddresses(Base):
    """Raises for a node that has no addresses yet, and for tags of one that it does not know any more."""

    def internal_ip(self, node_id: str) -> str | None:
        if self.place.looks[node_id] < 5:
            raise TypeError("'NoneType' object is not subscriptable")
        return super().internal_ip(node_id)

    def external_ip(self, node_id: str) -> str | None:
        return "192.0.2.1" if self.place.looks[node_id] >= 7 else None


class Broken(Base):
    """Cannot list."""

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        raise ConnectionError("the place does not answer")


class Unfinished(Base):
    """Has not implemented what it needs."""

    def is_running(self, node_id: str) -> bool:
        raise NotImplementedError


class ReadOnly(Base):
    """Makes no nodes."""

    def is_readonly(self) -> bool:
        return True


class Unmakeable(Base):
    """Cannot be made."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        raise KeyError("api_url")


class NodeLaunchException(Exception):
    """As Ray has it."""

    def __init__(self, category: str, description: str) -> None:
        super().__init__(f"Node Launch Exception ({category}): {description}")
        self.category = category

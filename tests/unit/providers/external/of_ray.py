"""A class that derives from Ray's own, as most do: the methods that are missing are Ray's."""

from typing import Any

from ray.autoscaler.node_provider import NodeProvider


class OfRay(NodeProvider):  # type: ignore[misc]  # Ray comes without types
    """Nodes that run at once, in memory."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self.nodes: dict[str, dict[str, str]] = {}

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        return [name for name, tags in self.nodes.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self.nodes

    def node_tags(self, node_id: str) -> dict[str, str]:
        return self.nodes[node_id]

    def internal_ip(self, node_id: str) -> str:
        return f"10.0.0.{node_id.rpartition('-')[2]}"

    def external_ip(self, node_id: str) -> str:
        return self.internal_ip(node_id)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        for _ in range(count):
            self.nodes[f"node-{len(self.nodes) + 1}"] = dict(tags)

    def terminate_node(self, node_id: str) -> None:
        del self.nodes[node_id]

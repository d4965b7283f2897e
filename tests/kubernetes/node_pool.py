"""A cluster autoscaler as clouds have one: it adds machines for pods that have no room, and takes away empty ones."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rayfleet.testing.kubernetes.background import Background
from rayfleet.testing.kubernetes.control_plane import ControlPlane
from rayfleet.testing.kubernetes.nodes import NodeSpec
from rayfleet.testing.kubernetes.process_kubelet import ProcessKubelet

LOOK_S = 0.5


class NodePool:
    """Up to `most` machines like one, beside those that are always there; `names` are those that there are now."""

    def __init__(self, plane: ControlPlane, kubelet: Background[ProcessKubelet], like: NodeSpec, most: int) -> None:
        self.names: list[str] = []
        self.ever: list[str] = []
        self._plane, self._kubelet, self._like, self._most = plane, kubelet, like, most

    def look(self) -> None:
        """Add one machine for pods without room, or take away those that have been left empty."""
        pods = self._plane.get("/api/v1/pods")["items"]
        homeless = [one for one in pods if _has_no_room(one) and _wants(one, self._like)]
        used = {one["spec"].get("nodeName") for one in pods}
        if homeless and len(self.names) < self._most and used.issuperset(self.names):
            name = f"{self._like.name}-{len(self.ever) + 1}"
            self._kubelet.do(lambda kubelet: kubelet.add_node(replace(self._like, name=name)))
            self.names.append(name)
            self.ever.append(name)
        elif not homeless:
            for name in [name for name in self.names if name not in used]:
                self._kubelet.do(lambda kubelet, name=name: kubelet.remove_node(name))  # type: ignore[misc]
                self.names.remove(name)


def _has_no_room(pod: Any) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "PodScheduled" and one.get("reason") == "Unschedulable" for one in conditions)


def _wants(pod: Any, node: NodeSpec) -> bool:
    return bool((pod["spec"].get("nodeSelector") or {}).items() <= node.labels.items())


@contextmanager
def at_work(pool: NodePool) -> Iterator[NodePool]:
    """Have it look again and again inside the block; what goes wrong there is raised at the end."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(LOOK_S):
            pool.look()

    with ThreadPoolExecutor(1) as aside:
        looking = aside.submit(go_on)
        try:
            yield pool
        finally:
            over.set()
        looking.result()

"""What a kubelet knows of one pod's containers, and the pod status that follows from it. Pure.

A `Change` takes a view to the next one (all containers run, one exits, the pod is evicted); `status` writes a view down
as Kubernetes' kubelet would: phase, conditions, container statuses.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

Json = dict[str, Any]

INITIALIZING = {"waiting": {"reason": "PodInitializing"}}
WAITING = {"waiting": {"reason": "ContainerCreating"}}
IMAGE_WORDS = 'Back-off pulling image "{image}"'
KILLED_CODE = 137


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One container: its state and the one before, as container statuses have them."""

    name: str
    image: str
    state: Json
    last_state: Json | None = None
    ready: bool = False
    restarts: int = 0

    @property
    def never_ran(self) -> bool:
        """Say whether it still waits for its first start."""
        return "waiting" in self.state and self.last_state is None

    @property
    def exit_code(self) -> int | None:
        """The code that it ended with for good; None while it runs or will run again."""
        state = self.state.get("terminated")
        return int(state["exitCode"]) if state else None


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod on a node. `started` is when the kubelet took it, RFC 3339; `failure`: why it was ended as a whole."""

    containers: tuple[ContainerView, ...]
    inits: tuple[ContainerView, ...]
    restart_policy: str
    ip: str
    host_ip: str
    started: str
    failure: tuple[str, str] | None = None

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded or Failed."""
        codes = [container.exit_code for container in self.containers]
        if self.failure or any(init.exit_code for init in self.inits):
            return "Failed"
        if any(container.never_ran for container in self.containers):
            return "Pending"
        if any(code is None for code in codes):
            return "Running"
        return "Failed" if any(codes) else "Succeeded"

    @property
    def initialized(self) -> bool:
        """Say whether all its init containers have done their work."""
        return all(init.exit_code == 0 for init in self.inits)

    @property
    def ready(self) -> bool:
        """Say whether all its containers are."""
        return self.phase == "Running" and all(container.ready for container in self.containers)


Change = Callable[[PodView, str], PodView]
"""From a view and the time (RFC 3339) to the next view."""


def new_view(pod: Json, ip: str, host_ip: str, now: str) -> PodView:
    """Return the view of a pod that was just bound: nothing runs yet."""
    spec = pod["spec"]
    containers = tuple(ContainerView(each["name"], each["image"], WAITING) for each in spec["containers"])
    inits = tuple(ContainerView(each["name"], each["image"], INITIALIZING) for each in spec.get("initContainers", ()))
    return PodView(containers, inits, spec.get("restartPolicy", "Always"), ip, host_ip, now)


# ---- changes ---------------------------------------------------------------------------------------------------------


def run(view: PodView, now: str, *, ready: bool = True) -> PodView:
    """Start every container that has not ended for good, or change the readiness of those that run; inits are done."""
    containers = tuple(_run(container, now, ready=ready) for container in view.containers)
    inits = tuple(init if init.exit_code is not None else ended(init, "Never", (0, "", now)) for init in view.inits)
    return replace(view, containers=containers, inits=inits)


def _run(container: ContainerView, now: str, *, ready: bool) -> ContainerView:
    if container.exit_code is not None:
        return container
    state = container.state if "running" in container.state else {"running": {"startedAt": now}}
    return replace(container, state=state, ready=ready)


def run_unready(view: PodView, now: str) -> PodView:
    """Start every container; none is ready."""
    return run(view, now, ready=False)


def fail_image(view: PodView, now: str) -> PodView:
    """Let every container wait for an image that cannot be pulled."""
    del now
    containers = (
        replace(
            each, state={"waiting": {"reason": "ImagePullBackOff", "message": IMAGE_WORDS.format(image=each.image)}}
        )
        for each in view.containers
    )
    return replace(view, containers=tuple(containers))


def exits(code: int, reason: str = "", container: str = "") -> Change:
    """End one container (default: the first); the pod's restart policy says whether it waits to be started again."""

    def change(view: PodView, now: str) -> PodView:
        name = container or view.containers[0].name
        return replace(
            view,
            containers=tuple(
                ended(each, view.restart_policy, (code, reason, now)) if each.name == name else each
                for each in view.containers
            ),
        )

    return change


def all_exit(code: int) -> Change:
    """End every container with this code."""

    def change(view: PodView, now: str) -> PodView:
        containers = (ended(each, view.restart_policy, (code, "", now)) for each in view.containers)
        return replace(view, containers=tuple(containers))

    return change


def ended(container: ContainerView, policy: str, exited: tuple[int, str, str]) -> ContainerView:
    """Return it after it ended (code, reason or "", time): for good, or to be started again, as the policy says."""
    code, reason, now = exited
    started = container.state.get("running", {}).get("startedAt", now)
    words = reason or ("Error" if code else "Completed")
    terminated = {"terminated": {"exitCode": code, "reason": words, "startedAt": started, "finishedAt": now}}
    if policy == "Always" or (policy == "OnFailure" and code):
        message = f"back-off restarting failed container {container.name}"
        back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        restarts = container.restarts + 1
        return replace(container, state=back_off, last_state=terminated, ready=False, restarts=restarts)
    return replace(container, state=terminated, ready=False)


def evict(message: str = "The node was low on resource: memory.") -> Change:
    """End the pod as a node under pressure does: it stays as Failed, for its owner to see."""

    def change(view: PodView, now: str) -> PodView:
        del now
        return replace(view, failure=("Evicted", message))

    return change


# ---- the status ------------------------------------------------------------------------------------------------------


def status(view: PodView, before: Json, now: str) -> Json:
    """Return the status to write over `before`, the pod's present one; conditions keep when they last changed."""
    phase = view.phase
    written: Json = {
        "phase": phase,
        "hostIP": view.host_ip,
        "podIP": view.ip,
        "podIPs": [{"ip": view.ip}],
        "startTime": view.started,
        "reason": view.failure[0] if view.failure else None,
        "message": view.failure[1] if view.failure else None,
        "conditions": _conditions(view, phase, before.get("conditions", []), now),
        "containerStatuses": [_container_status(each) for each in view.containers if not view.failure],
    }
    if view.inits:
        written["initContainerStatuses"] = [_container_status(each, init=True) for each in view.inits]
    return written


def _conditions(view: PodView, phase: str, before: list[Json], now: str) -> list[Json]:
    reason = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
    wanted = {"Initialized": view.initialized, "Ready": view.ready, "ContainersReady": view.ready, "PodScheduled": True}
    old = {condition["type"]: condition for condition in before}
    written = []
    for kind, holds in wanted.items():
        value = str(holds)
        same = old.get(kind, {}).get("status") == value
        condition = {
            "type": kind,
            "status": value,
            "lastTransitionTime": old[kind]["lastTransitionTime"] if same else now,
        }
        written.append(condition if holds else {**condition, "reason": reason})
    return written + [condition for kind, condition in old.items() if kind not in wanted]


def _container_status(view: ContainerView, *, init: bool = False) -> Json:
    ran = view.last_state is not None or "waiting" not in view.state
    return {
        "name": view.name,
        "image": view.image,
        "imageID": "",
        "containerID": f"pretended://{view.name}-{view.restarts}" if ran else "",
        "ready": view.ready or (init and view.exit_code == 0),
        "started": "running" in view.state,
        "restartCount": view.restarts,
        "state": view.state,
        "lastState": view.last_state or {},
    }

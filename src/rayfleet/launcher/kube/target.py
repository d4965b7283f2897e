"""Which resource in which Kubernetes cluster is meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rayfleet.config import may_be_manifest
from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import is_config
from rayfleet.wire.kube.objects import RAY_CLUSTER, RAY_JOB, RAY_SERVICE, Key, Kind

PREFIX: Final = "k8s:"
KINDS: Final = {kind.name.lower(): kind for kind in (RAY_CLUSTER, RAY_JOB, RAY_SERVICE)}
_FORM: Final = "k8s:CONTEXT/NAMESPACE/NAME"
_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class Target:
    """One resource. `context` None: the kubeconfig's current one. The key's namespace "": the context's."""

    kind: Kind
    key: Key
    context: str | None = None

    @property
    def word(self) -> str:
        """Return what a user types to mean it."""
        return f"{PREFIX}{self.context or ''}/{self.key.namespace}/{self.key.name}"

    def within(self, namespace: str) -> Target:
        """Return it with a namespace, when it has none yet."""
        return self if self.key.namespace else replace(self, key=Key(namespace, self.key.name))


def means_kubernetes(word: str | None) -> bool:
    """Say whether a CLUSTER argument means a resource in Kubernetes: by its form, or by what its file holds."""
    if word is None or word.startswith(PREFIX):
        return word is not None
    if not is_config(word):
        return False
    try:
        return may_be_manifest(Path(word).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return False  # whoever wants to read it says so


def named(word: str, context: str | None = None) -> Target:
    """Return the RayCluster that `k8s:CONTEXT/NAMESPACE/NAME` means. An empty context is the current one.

    Raises:
        LauncherError: it is not of that form, or names another context than `context`.
    """
    parts = word.removeprefix(PREFIX).rsplit("/", _PARTS - 1)  # names of contexts may hold slashes
    if len(parts) != _PARTS or not parts[1] or not parts[2]:
        raise LauncherError(f"{word!r} is not {_FORM}", "an empty CONTEXT is the current one: k8s:/default/demo")
    if context is not None and parts[0] not in ("", context):
        raise LauncherError(f"{word!r} names another context than --context {context}", "name it once")
    return Target(RAY_CLUSTER, Key(parts[1], parts[2]), parts[0] or context)


def typed(word: str, context: str | None, namespace: str) -> Target:
    """Return what `NAME` or `TYPE/NAME` means, as kubectl writes it; without TYPE a RayCluster.

    Raises:
        LauncherError: there is no such type.
    """
    kind, slash, name = word.rpartition("/")
    if slash and kind.lower().removesuffix("s") not in KINDS:
        raise LauncherError(f"there is no type {kind!r}", f"known: {', '.join(KINDS)}")
    return Target(KINDS[kind.lower().removesuffix("s")] if slash else RAY_CLUSTER, Key(namespace, name), context)

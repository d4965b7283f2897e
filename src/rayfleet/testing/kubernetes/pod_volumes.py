"""The volumes of a pod as folders of this machine, and where its containers see them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rayfleet.testing.kubernetes.pod_container import Mount
from rayfleet.testing.kubernetes.pod_environment import Sources, files

Json = dict[str, Any]


class NoSuchVolume(Exception):
    """A volume of a kind that a kubelet of processes does not have."""


def token_requests(volume: Json) -> list[Json]:
    """Return the serviceAccountToken parts of a projected volume."""
    parts = volume.get("projected", {}).get("sources", [])
    return [part["serviceAccountToken"] for part in parts if "serviceAccountToken" in part]


def lay_out(volume: Json, folder: Path, sources: Sources, tokens: Mapping[str, str]) -> Path:
    """Make one volume below the pod's folder and return it; `tokens`: file name -> token of a projected volume.

    MissingSource: a config map or secret is not there. NoSuchVolume: another kind; a claim has to be its disk by now.
    """
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    place = folder / str(volume["name"])
    place.mkdir(parents=True, exist_ok=True)
    if "emptyDir" in volume:
        place.chmod(0o777)
        return place
    parts = volume["projected"]["sources"] if "projected" in volume else [volume]
    if not any(
        kind in part for part in parts for kind in ("configMap", "secret", "downwardAPI", "serviceAccountToken")
    ):
        raise NoSuchVolume(f"volume {volume['name']} is none of emptyDir, hostPath, configMap, secret, projected")
    for part in parts:
        for name, content in files(part, sources).items():
            _write(place / name, content)
    for name, token in tokens.items():
        _write(place / name, token.encode())
    return place


def mounts(container: Json, volumes: Mapping[str, Path]) -> list[Mount]:
    """Return where a container sees the volumes."""
    found = []
    for each in container.get("volumeMounts", ()):
        source: Path = volumes[each["name"]]
        if each.get("subPath"):
            source /= each["subPath"]
            if not source.exists():
                source.mkdir(parents=True)
        found.append(Mount(source, each["mountPath"], bool(each.get("readOnly"))))
    return found


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)

"""Fetches what a pod refers to: config maps, secrets, tokens of its service account, and the disks of its claims."""

import base64
from typing import Any

from rayfleet.testing.kubernetes.api import Api, ApiError
from rayfleet.testing.kubernetes.pod_environment import MissingSource, Sources, references
from rayfleet.testing.kubernetes.pod_volumes import token_requests

Json = dict[str, Any]
MISSING = 404


async def fetch(api: Api, pod: Json) -> Sources:
    """Return all of it that is there; what is missing shows when it is needed."""
    maps, secrets = references(pod["spec"])
    home = f"/api/v1/namespaces/{pod['metadata']['namespace']}"
    return Sources(
        pod,
        {name: found for name in maps if (found := await _map(api, f"{home}/configmaps/{name}")) is not None},
        {name: found for name in secrets if (found := await _map(api, f"{home}/secrets/{name}")) is not None},
    )


async def tokens(api: Api, pod: Json, volume: Json) -> dict[str, str]:
    """Return path -> token for a projected volume: bound to the pod, with the audience and life that it asks for."""
    metadata, account = pod["metadata"], pod["spec"].get("serviceAccountName", "default")
    path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
    bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
    made = {}
    for wanted in token_requests(volume):
        spec: Json = {"expirationSeconds": wanted.get("expirationSeconds", 3600), "boundObjectRef": bound}
        if "audience" in wanted:
            spec["audiences"] = [wanted["audience"]]
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        made[wanted["path"]] = (await api.insist("POST", path, request))["status"]["token"]
    return made


async def with_disk(api: Api, pod: Json, volume: Json) -> Json:
    """Return a volume with the folder of this machine that its claim is bound to; others as they are.

    MissingSource: the claim or its disk is not there, or the disk is no folder of this machine (hostPath, local).
    """
    if "persistentVolumeClaim" not in volume:
        return volume
    name = volume["persistentVolumeClaim"]["claimName"]
    claim = await _found(api, f"/api/v1/namespaces/{pod['metadata']['namespace']}/persistentvolumeclaims/{name}")
    bound = claim["spec"].get("volumeName") if claim else None
    disk = await _found(api, f"/api/v1/persistentvolumes/{bound}") if bound else None
    folder = (disk["spec"].get("hostPath") or disk["spec"].get("local")) if disk else None
    if not folder:
        raise MissingSource(f'the claim "{name}" has no folder of this machine')
    return {"name": volume["name"], "hostPath": folder}


async def _found(api: Api, path: str) -> Json | None:
    try:
        found: Json = await api.insist("GET", path)
    except ApiError as refusal:
        if refusal.status == MISSING:
            return None
        raise
    return found


async def _map(api: Api, path: str) -> dict[str, bytes] | None:
    found = await _found(api, path)
    if found is None:
        return None
    encoded = found.get("binaryData") or {} if found["kind"] == "ConfigMap" else found.get("data") or {}
    plain = found.get("data") or {} if found["kind"] == "ConfigMap" else {}
    decoded = {key: base64.b64decode(value) for key, value in encoded.items()}
    return decoded | {key: value.encode() for key, value in plain.items()}

"""The calls about TPUs: slices of one or more hosts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from rayfleet.testing.clouds.gcp.account import Account, Operation
from rayfleet.testing.clouds.gcp.call import Body, Call
from rayfleet.testing.clouds.gcp.faults import ApiFault, bad_request, not_found

HOSTS: Final = {"v2-8": 1, "v3-8": 1, "v3-32": 4, "v4-8": 1, "v4-16": 2, "v5litepod-8": 1, "v5litepod-16": 4}
TOPOLOGIES: Final = {"2x2x1": 1, "2x2x2": 2, "2x2x4": 4}
_NEXT: Final = {"CREATING": "READY"}


def create(account: Account, call: Call) -> Body:
    """Make a slice; one whose operation is to fail is seen until it has failed."""
    zone, name = call.path["locationsId"], call.query.get("nodeId", "")
    if (zone, name) in account.slices:
        raise ApiFault(HTTPStatus.CONFLICT, "alreadyExists", f"Resource 'nodes/{name}' already exists")
    kind, topology = call.body.get("acceleratorType"), call.body.get("acceleratorConfig", {}).get("topology")
    hosts = HOSTS.get(kind or "") or TOPOLOGIES.get(topology or "")
    if hosts is None or not name or not call.body.get("runtimeVersion"):
        raise bad_request(f"a slice needs a name, a runtimeVersion and a type that exists here, not {kind or topology}")
    path = f"projects/{account.project}/locations/{zone}/nodes/{name}"
    account.slices[zone, name] = {**call.body, "name": path, "state": "CREATING", "createTime": "2026-01-01T00:00:00Z"}
    account.slices[zone, name]["networkEndpoints"] = []
    account.ever_made += 1
    operation = _begin(account, call)
    operation.then = lambda: _made(account, zone, name, 0 if call.error else hosts)
    return operation.body


def delete(account: Account, call: Call) -> Body:
    """Begin to delete a slice."""
    key = (call.path["locationsId"], call.path["nodesId"])
    if key not in account.slices:
        raise not_found(f"nodes/{key[1]}")
    if account.slices[key]["state"] != "DELETING":
        for host in range(len(account.slices[key]["networkEndpoints"])):
            account.down(f"{key[1]}-w{host}")
    account.slices[key]["state"] = "DELETING"
    operation = _begin(account, call)
    operation.finish()
    return operation.body


def list_all(account: Account, call: Call) -> Body:
    """Return the slices of a zone, or of all (`-`); each gets on by being looked at."""
    where, first = call.path["locationsId"], not call.query.get("pageToken")
    for key, body in tuple(account.slices.items()):
        if first and body["state"] == "DELETING" and body.setdefault("description", "") == "seen":
            del account.slices[key]
        elif first and body["state"] == "DELETING":
            body["description"] = "seen"
        elif first and body["networkEndpoints"]:
            body["state"] = _NEXT.get(body["state"], body["state"])
    found = [body for key, body in sorted(account.slices.items()) if where in {"-", key[0]}]
    lost = [f"locations/{call.fault.zone}"] if call.fault and call.fault.operation else []
    return {"nodes": found, **({"unreachable": lost} if lost else {})}


def get_operation(account: Account, call: Call) -> Body:
    """Return how far an operation is."""
    operation = account.operations.get(call.path["operationsId"])
    if operation is None:
        raise not_found(f"operations/{call.path['operationsId']}")
    return operation.look()


def _begin(account: Account, call: Call) -> Operation:
    name = f"operation-{next(account.numbers)}"
    path = f"projects/{account.project}/locations/{call.path['locationsId']}/operations/{name}"
    body: dict[str, Any] = {"name": path, "done": False}
    end: dict[str, Any] = {"done": True}
    if call.error:
        end["error"] = {"code": int(call.error[0]), "message": call.error[1]}
    account.operations[name] = Operation(body, account.operation_looks, end=end)
    return account.operations[name]


def _made(account: Account, zone: str, name: str, hosts: int) -> None:
    body = account.slices.get((zone, name))
    if body is None or not hosts:
        account.slices.pop((zone, name), None)
        return
    for host in range(hosts):
        number = next(account.numbers)
        given = account.up(f"{name}-w{host}", zone, dict(body.get("labels", {})), dict(body.get("metadata", {})))
        inner, outer = given or (
            f"127.2.{number // 250}.{1 + number % 250}",
            f"127.12.{number // 250}.{1 + number % 250}",
        )
        body["networkEndpoints"].append({"ipAddress": inner, "accessConfig": {"externalIp": outer}})


SLICE_ACTIONS: Final = {
    "tpu.projects.locations.nodes.create": create,
    "tpu.projects.locations.nodes.delete": delete,
    "tpu.projects.locations.nodes.list": list_all,
    "tpu.projects.locations.operations.get": get_operation,
}

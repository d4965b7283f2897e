"""The calls of the API over an account: one function per call, under Google's name for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from rayfleet.testing.clouds.gcp.account import ZONES, Account, Operation, Virtual
from rayfleet.testing.clouds.gcp.call import Body, Call
from rayfleet.testing.clouds.gcp.faults import ApiFault, bad_request, not_found
from rayfleet.testing.clouds.gcp.making import fingerprint, make
from rayfleet.testing.clouds.gcp.slices import SLICE_ACTIONS


def _replayed(account: Account, call: Call) -> Operation | None:
    name = account.requests.get(call.request_id) if call.request_id else None
    return account.operations[name] if name else None


def _begin(account: Account, call: Call, kind: str, target: str) -> Operation:
    return account.operation(kind, call.place, target=target, error=call.error, request_id=call.request_id)


def insert(account: Account, call: Call) -> Body:
    """Make one machine; one whose operation is to fail is seen until it has failed."""
    if again := _replayed(account, call):
        return again.body
    name = call.body.get("name", "")
    if (call.place, name) in account.machines:
        raise ApiFault(HTTPStatus.CONFLICT, "alreadyExists", f"The resource 'instances/{name}' already exists")
    machine = make(account, call.place, call.body)
    account.launches.append(call.request_id)
    operation = _begin(account, call, "insert", name)
    if call.error:
        operation.then = lambda: _drop(account, machine)
    return operation.body


def bulk_insert(account: Account, call: Call) -> Body:
    """Make several machines, in one zone or spread over a region; fewer than asked for when told so."""
    if again := _replayed(account, call):
        return again.body
    names, properties = list(call.body.get("perInstanceProperties", {})), call.body["instanceProperties"]
    if int(call.body.get("count", 0)) != len(names):
        raise bad_request("count must be the number of perInstanceProperties")
    zones = (call.path["zone"],) if "zone" in call.path else ZONES[call.path["region"]]
    taken = [name for name in names if any((zone, name) in account.machines for zone in zones)]
    if taken:
        raise ApiFault(HTTPStatus.CONFLICT, "alreadyExists", f"The resource 'instances/{taken[0]}' already exists")
    made = call.fault.made if call.fault and call.error else len(names)
    enough = made >= int(call.body.get("minCount", len(names)))
    account.launches.append(call.request_id)
    for index, name in enumerate(names[:made] if enough else ()):
        zone = zones[index % len(zones)]
        full = properties | {"name": name, "machineType": f"zones/{zone}/machineTypes/{properties['machineType']}"}
        make(account, zone, full, bulk=True)
    operation = _begin(account, call, "bulkInsert", "")
    status: dict[str, Body] = {f"zones/{zone}": {"createdVmCount": 0, "targetVmCount": 0} for zone in zones}
    for index, name in enumerate(names):
        part = status[f"zones/{zones[index % len(zones)]}"]
        part["targetVmCount"] += 1
        part["createdVmCount"] += enough and name in names[:made]
    operation.body["instancesBulkInsertOperationMetadata"] = {"perLocationStatus": status}
    return operation.body


def delete(account: Account, call: Call) -> Body:
    """Begin to delete a machine."""
    machine = _machine(account, call)
    if again := _replayed(account, call):
        return again.body
    if not machine.deleting:
        account.down(machine.name)
    machine.deleting, machine.hidden = True, 0
    machine.body["status"] = "STOPPING"
    return _begin(account, call, "delete", machine.name).body


def stop(account: Account, call: Call) -> Body:
    """Begin to stop a machine."""
    machine = _machine(account, call)
    if machine.body["status"] not in {"TERMINATED", "STOPPING"}:
        account.down(machine.name)
        machine.body["status"] = "STOPPING"
    return _begin(account, call, "stop", machine.name).body


def start(account: Account, call: Call) -> Body:
    """Start a machine that is stopped, once per request id."""
    machine = _machine(account, call)
    if again := _replayed(account, call):
        return again.body
    if machine.body["status"] == "TERMINATED" and not call.error:
        account.up(machine.name, machine.zone, dict(machine.body.get("labels", {})), machine.metadata)
        machine.body["status"] = "PROVISIONING"
    return _begin(account, call, "start", machine.name).body


def set_labels(account: Account, call: Call) -> Body:
    """Replace a machine's labels, if nobody else has done so since they were read."""
    machine = _machine(account, call)
    if call.body.get("labelFingerprint") != machine.body["labelFingerprint"]:
        raise ApiFault(HTTPStatus.PRECONDITION_FAILED, "conditionNotMet", "Labels fingerprint either invalid or stale")
    machine.body["labels"] = call.body.get("labels", {})
    machine.body["labelFingerprint"] = fingerprint(account)
    return _begin(account, call, "setLabels", machine.name).body


def set_metadata(account: Account, call: Call) -> Body:
    """Replace a machine's metadata, if nobody else has done so since it was read."""
    machine = _machine(account, call)
    if again := _replayed(account, call):
        return again.body
    if call.body.get("fingerprint") != machine.body["metadata"]["fingerprint"]:
        raise ApiFault(HTTPStatus.PRECONDITION_FAILED, "conditionNotMet", "Supplied fingerprint does not match")
    machine.body["metadata"] = {"items": call.body.get("items", []), "fingerprint": fingerprint(account)}
    return _begin(account, call, "setMetadata", machine.name).body


def get(account: Account, call: Call) -> Body:
    """Return one machine."""
    return _machine(account, call).body


def list_zone(account: Account, call: Call) -> Body:
    """Return the machines of a zone, a page at a time."""
    page, token = _page(account, call)
    items = [m.body for m in page]
    return {"kind": "compute#instanceList", "items": items, **({"nextPageToken": token} if token else {})}


def aggregated_list(account: Account, call: Call) -> Body:
    """Return the machines of all zones, a page at a time."""
    page, token = _page(account, call)
    scopes: dict[str, Body] = {f"zones/{zone}": {} for zones in ZONES.values() for zone in zones}
    for machine in page:
        scopes[f"zones/{machine.zone}"].setdefault("instances", []).append(machine.body)
    for name, scope in scopes.items():
        if not scope:
            why = {"code": "NO_RESULTS_ON_PAGE", "message": f"There are no results for scope '{name}' on this page."}
            scope["warning"] = why
    if call.fault and call.fault.operation:
        scopes[f"zones/{call.fault.zone}"] = {"warning": {"code": call.fault.operation, "message": call.fault.message}}
    return {
        "kind": "compute#instanceAggregatedList",
        "items": scopes,
        **({"nextPageToken": token} if token else {}),
    }


def get_operation(account: Account, call: Call) -> Body:
    """Return how far an operation is."""
    operation = account.operations.get(call.path["operation"])
    if operation is None:
        raise not_found(f"operations/{call.path['operation']}")
    if call.action.endswith(".wait"):
        operation.finish()
    return operation.look()


def list_operations(account: Account, call: Call) -> Body:
    """Return the operations of a zone."""
    here = account.link(f"zones/{call.path['zone']}")
    items = [operation.body for operation in account.operations.values() if operation.body.get("zone") == here]
    return {"kind": "compute#operationList", "items": items}


def list_subnetworks(account: Account, call: Call) -> Body:
    """Return the subnetwork that every region of a new project has."""
    region = call.path["region"]
    link = account.link(f"regions/{region}/subnetworks/default")
    items = [{"name": "default", "selfLink": link, "network": account.link("global/networks/default")}]
    return {"kind": "compute#subnetworkList", "items": [] if account.no_subnets else items}


def list_firewalls(account: Account, call: Call) -> Body:  # noqa: ARG001 - there is nothing to ask
    """Return all rules."""
    return {"kind": "compute#firewallList", "items": list(account.firewalls.values())}


def insert_firewall(account: Account, call: Call) -> Body:
    """Make a rule."""
    name = call.body["name"]
    if name in account.firewalls:
        raise ApiFault(HTTPStatus.CONFLICT, "alreadyExists", f"The resource 'firewalls/{name}' already exists")
    account.firewalls[name] = dict(call.body)
    return _begin(account, call, "insert", name).body


def get_firewall(account: Account, call: Call) -> Body:
    """Return one rule."""
    rule = account.firewalls.get(call.path["firewall"])
    if rule is None:
        raise not_found(f"firewalls/{call.path['firewall']}")
    return rule


def get_service_account(account: Account, call: Call) -> Body:
    """Return one account."""
    found = account.service_accounts.get(call.path["serviceAccountsId"])
    if found is None:
        raise not_found(f"serviceAccounts/{call.path['serviceAccountsId']}")
    return found


def create_service_account(account: Account, call: Call) -> Body:
    """Make an account."""
    email = f"{call.body['accountId']}@{account.project}.iam.gserviceaccount.com"
    if email in account.service_accounts:
        raise ApiFault(HTTPStatus.CONFLICT, "alreadyExists", f"Service account {email} already exists")
    account.service_accounts[email] = {"email": email, "projectId": account.project}
    return account.service_accounts[email]


def get_policy(account: Account, call: Call) -> Body:  # noqa: ARG001 - a project has one
    """Return who may do what."""
    return account.policy


def set_policy(account: Account, call: Call) -> Body:
    """Replace who may do what, if nobody else has done so since it was read."""
    if call.body["policy"].get("etag") != account.policy["etag"]:
        raise ApiFault(HTTPStatus.CONFLICT, "aborted", "There were concurrent policy changes.")
    account.policy = {**call.body["policy"], "etag": fingerprint(account)}
    return account.policy


def _drop(account: Account, machine: Virtual) -> None:
    if account.machines.pop((machine.zone, machine.name), None):
        account.down(machine.name)


def _machine(account: Account, call: Call) -> Virtual:
    machine = account.machines.get((call.place, call.path["instance"]))
    if machine is None:
        raise not_found(f"projects/{account.project}/zones/{call.place}/instances/{call.path['instance']}")
    return machine


def _page(account: Account, call: Call) -> tuple[list[Virtual], str]:
    """Return the machines on a page, and the token of the next one. All are looked at on the first page."""
    here, matches = call.path.get("zone"), _filter(call.query.get("filter", ""))
    found = [m for key, m in sorted(account.machines.items()) if here in {None, key[0]} and matches(m.body)]
    after = call.query.get("pageToken", "")
    if not after:
        found = [machine for machine in found if account.step(machine)]
    rest = [machine for machine in found if machine.hidden == 0 and f"{machine.zone}/{machine.name}" > after]
    size = int(call.query.get("maxResults", "500"))
    page = rest[:size]
    return page, f"{page[-1].zone}/{page[-1].name}" if len(rest) > size else ""


_TERM: Final = re.compile(r"\(?\s*(?P<key>[\w.-]+)\s*(?P<sign>=|!=|:)\s*\"?(?P<value>[^\s\")]*)\"?\s*\)?")


def _filter(text: str) -> Callable[[Body], bool]:
    """Return what a filter means: terms `labels.KEY=VALUE`, `labels.KEY:*` or `FIELD=VALUE`, joined by AND."""
    terms = []
    for part in filter(None, re.split(r"\s+AND\s+", text)):
        found = _TERM.fullmatch(part.strip())
        if found is None:
            raise bad_request(f"Invalid value for field 'filter': {text!r}")
        terms.append((found["key"], found["sign"], found["value"]))
    return lambda body: all(_holds(body, *term) for term in terms)


def _holds(body: Body, key: str, sign: str, value: str) -> bool:
    label = key.removeprefix("labels.")
    has = body.get("labels", {}).get(label) if label != key else body.get(key)
    if sign == ":" and value == "*":
        return has is not None
    return (has != value) if sign == "!=" else has == value


ACTIONS: Final[Mapping[str, Callable[[Account, Call], Body]]] = {
    "compute.instances.insert": insert,
    "compute.instances.bulkInsert": bulk_insert,
    "compute.regionInstances.bulkInsert": bulk_insert,
    "compute.instances.delete": delete,
    "compute.instances.stop": stop,
    "compute.instances.start": start,
    "compute.instances.setLabels": set_labels,
    "compute.instances.setMetadata": set_metadata,
    "compute.instances.get": get,
    "compute.instances.list": list_zone,
    "compute.instances.aggregatedList": aggregated_list,
    "compute.zoneOperations.get": get_operation,
    "compute.zoneOperations.wait": get_operation,
    "compute.zoneOperations.list": list_operations,
    "compute.regionOperations.get": get_operation,
    "compute.regionOperations.wait": get_operation,
    "compute.globalOperations.get": get_operation,
    "compute.subnetworks.list": list_subnetworks,
    "compute.firewalls.list": list_firewalls,
    "compute.firewalls.insert": insert_firewall,
    "compute.firewalls.get": get_firewall,
    "iam.projects.serviceAccounts.get": get_service_account,
    "iam.projects.serviceAccounts.create": create_service_account,
    "cloudresourcemanager.projects.getIamPolicy": get_policy,
    "cloudresourcemanager.projects.setIamPolicy": set_policy,
    **SLICE_ACTIONS,
}

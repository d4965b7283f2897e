"""Google's client library, behind the few calls that we make. Calls block; `provider` makes them in threads.

Operations are asked after here: the library's own waiting goes to Google's address whatever `endpoint` says. Nothing is
repeated by the library either: it would repeat listing for ten minutes and inserting never.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from rayfleet.contracts import Denied
from rayfleet.providers.gcp.errors import Trouble
from rayfleet.providers.gcp.settings import Settings

TIMEOUT_S: Final = 30.0
"""One call."""
INSTALL: Final = 'provider gcp needs Google\'s client library: pip install "rayfleet[gcp]"'
SIGN_IN: Final = "run `gcloud auth application-default login`, or give the head a service account"
PAGE: Final = 500
_RPC_CODES: Final = {
    3: ("INVALID_ARGUMENT", 400),
    4: ("DEADLINE_EXCEEDED", 504),
    5: ("NOT_FOUND", 404),
    6: ("ALREADY_EXISTS", 409),
    7: ("PERMISSION_DENIED", 403),
    8: ("RESOURCE_EXHAUSTED", 0),
    9: ("FAILED_PRECONDITION", 400),
    10: ("ABORTED", 409),
    13: ("INTERNAL", 500),
    14: ("UNAVAILABLE", 503),
    16: ("UNAUTHENTICATED", 401),
}
"""Codes of operations on TPUs, with the HTTP status that a call would have."""
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class CallFailed(Exception):
    """A call, or the operation that it began, did not work."""

    def __init__(self, trouble: Trouble) -> None:
        """Keep what Google said."""
        super().__init__(str(trouble))
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Operation:
    """One that Google has accepted. `place`: its zone or region, "" for all; `made`: what a bulkInsert has made."""

    name: str
    place: str
    done: bool
    troubles: tuple[Trouble, ...] = ()
    made: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A machine as Google describes it."""

    name: str
    zone: str
    status: str
    labels: Mapping[str, str]
    internal: str = ""
    external: str = ""
    created: str = ""
    spot: bool = False
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice of TPUs as Google describes it. `addresses`: internal and external one of each host, once known."""

    name: str
    zone: str
    state: str
    labels: Mapping[str, str]
    addresses: tuple[tuple[str, str], ...] = ()
    created: str = ""
    message: str = ""


class Compute:
    """One project's Compute Engine. Nothing is imported or read before the first call."""

    def __init__(self, settings: Settings) -> None:
        """Take what the user has set."""
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}
        self._access: tuple[Any, str] | None = None

    @property
    def project(self) -> str:
        """Return the project's id.

        Raises:
            Denied: nothing says which.
        """
        found = self._settings.project_id or self._credentials()[1]
        if not found:
            raise Denied("provider.project_id is not set, and the credentials name no project either")
        return found

    def insert(self, zone: str, body: Mapping[str, Any], request_id: str, template: str, image: str) -> Operation:
        """Ask for one machine.

        Raises:
            CallFailed, Denied: as for every call here.
        """
        extra = {"source_instance_template": template, "source_machine_image": image}
        request = {
            "project": self.project,
            "zone": zone,
            "instance_resource": self._message("Instance", body),
            "request_id": request_id,
            **{key: value for key, value in extra.items() if value},
        }
        return self._begun("Instances", "insert_unary", request, zone)

    def bulk_insert(self, zone: str, region: str, body: Mapping[str, Any], request_id: str) -> Operation:
        """Ask for several machines, in a zone, or anywhere in a region when it is ""."""
        resource = self._message("BulkInsertInstanceResource", body)
        request = {
            "project": self.project,
            "bulk_insert_instance_resource_resource": resource,
            "request_id": request_id,
        }
        if zone:
            return self._begun("Instances", "bulk_insert_unary", {**request, "zone": zone}, zone)
        return self._begun("RegionInstances", "bulk_insert_unary", {**request, "region": region}, region)

    def instances(self, filter_text: str) -> tuple[Seen, ...]:
        """Return all machines that a filter finds, in all zones.

        Raises:
            CallFailed: also when a zone did not answer: nothing may be concluded then.
        """
        request = {"project": self.project, "filter": filter_text, "max_results": PAGE}
        found: list[Seen] = []
        with _told():
            for scope, listed in self._call("Instances", "aggregated_list", request):
                if listed.warning and listed.warning.code == "UNREACHABLE":
                    raise CallFailed(Trouble(503, "UNREACHABLE", f"{scope} cannot be listed: {listed.warning.message}"))
                found += [_seen(instance) for instance in listed.instances]
        return tuple(found)

    def instance(self, zone: str, name: str) -> Seen:
        """Return one machine."""
        with _told():
            answer = self._call("Instances", "get", {"project": self.project, "zone": zone, "instance": name})
            return _seen(answer)

    def act(self, verb: str, zone: str, name: str, request_id: str = "") -> Operation:
        """Begin to `delete`, `stop` or `start` a machine; without a `request_id`, a repetition is another call."""
        request = {"project": self.project, "zone": zone, "instance": name}
        if request_id:
            request["request_id"] = request_id
        return self._begun("Instances", f"{verb}_unary", request, zone)

    def set_metadata(self, seen: Seen, items: Mapping[str, str], request_id: str) -> Operation:
        """Replace a machine's metadata, if it is still as it was seen."""
        pairs = [{"key": key, "value": value} for key, value in items.items()]
        request = {
            "project": self.project,
            "zone": seen.zone,
            "instance": seen.name,
            "metadata_resource": self._message("Metadata", {"fingerprint": seen.fingerprint, "items": pairs}),
            "request_id": request_id,
        }
        return self._begun("Instances", "set_metadata_unary", request, seen.zone)

    def operation(self, operation: Operation) -> Operation:
        """Return how far an operation is now; one of TPUs has a path for a name."""
        if "/" in operation.name:
            with _told():
                return _long_running(self._call("Tpu", "get_operation", {"name": operation.name}), operation.place)
        kind, where = _scope(operation.place)
        request = {"project": self.project, "operation": operation.name, **where}
        with _told():
            return _operation(self._call(f"{kind}Operations", "get", request), operation.place)

    def subnetworks(self, region: str) -> tuple[tuple[str, str], ...]:
        """Return the subnetworks of a region: own address, and that of the network."""
        with _told():
            found = self._call("Subnetworks", "list", {"project": self.project, "region": region})
            links = [(str(subnet.name), str(subnet.self_link), str(subnet.network)) for subnet in found]
        return tuple((link, network) for _, link, network in sorted(links, key=lambda row: row[0] != "default"))

    def firewalls(self) -> tuple[tuple[str, str], ...]:
        """Return all firewall rules: name, and address of the network."""
        with _told():
            found = self._call("Firewalls", "list", {"project": self.project})
            return tuple((str(rule.name), str(rule.network)) for rule in found)

    def insert_firewall(self, body: Mapping[str, Any]) -> Operation:
        """Make a firewall rule."""
        request = {"project": self.project, "firewall_resource": self._message("Firewall", body)}
        return self._begun("Firewalls", "insert_unary", request, "")

    def create_slice(self, zone: str, name: str, body: Mapping[str, Any]) -> Operation:
        """Ask for a slice of TPUs; the name is the token, for Google has none here."""
        node = self._message("Node", body, "google.cloud.tpu_v2")
        request = {"parent": f"projects/{self.project}/locations/{zone}", "node_id": name, "node": node}
        with _told():
            return _long_running(self._call("Tpu", "create_node", request).operation, zone)

    def slices(self) -> tuple[Slice, ...]:
        """Return all slices of TPUs, in all zones."""
        with _told():
            found = self._call("Tpu", "list_nodes", {"parent": f"projects/{self.project}/locations/-"})
            slices = tuple(map(_slice, found))
            if lost := list(found.unreachable):
                raise CallFailed(Trouble(503, "UNREACHABLE", f"TPUs cannot be listed: {', '.join(lost)}"))
            return slices

    def delete_slice(self, zone: str, name: str) -> Operation:
        """Begin to delete a slice of TPUs."""
        path = f"projects/{self.project}/locations/{zone}/nodes/{name}"
        with _told():
            return _long_running(self._call("Tpu", "delete_node", {"name": path}).operation, zone)

    def request(self, verb: str, service: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Call one of Google's other services, which this library does not have; `service` is the name of its host."""
        base = self._settings.endpoint or f"https://{service}.googleapis.com"
        with _told():
            with self._lock:
                if "session" not in self._made:
                    session = _library("google.auth.transport.requests").AuthorizedSession
                    self._made["session"] = session(self._credentials()[0])
                session = self._made["session"]
            answer = session.request(verb, f"{base}/{path}", json=body, timeout=TIMEOUT_S)
            if not answer.ok:
                raise _library("google.api_core.exceptions").from_http_response(answer)
            found: dict[str, Any] = answer.json()
            return found

    def close(self) -> None:
        """Let go of connections."""
        session = self._made.pop("session", None)
        if session is not None:
            session.close()
        for client in self._made.values():
            client.transport.close()
        self._made.clear()

    def _begun(self, kind: str, method: str, request: Mapping[str, Any], place: str) -> Operation:
        with _told():
            return _operation(self._call(kind, method, request), place)

    def _call(self, kind: str, method: str, request: Mapping[str, Any]) -> Any:
        call: Callable[..., Any] = getattr(self._client(kind), method)
        return call(request=dict(request), retry=None, timeout=TIMEOUT_S)

    def _client(self, kind: str) -> Any:
        with self._lock:
            if kind not in self._made:
                credentials, _ = self._credentials()
                options = _library("google.api_core.client_options").ClientOptions(api_endpoint=self._settings.endpoint)
                package = "google.cloud.tpu_v2" if kind == "Tpu" else "google.cloud.compute_v1"
                maker = getattr(_library(package), f"{kind}Client")
                self._made[kind] = maker(credentials=credentials, client_options=options, transport="rest")
            return self._made[kind]

    def _credentials(self) -> tuple[Any, str]:
        """Return who we are, and the project that goes with it; nobody at another address than Google's."""
        if self._access is None:
            self._access = _access(self._settings)
        return self._access

    def _message(self, kind: str, body: Mapping[str, Any], package: str = "google.cloud.compute_v1") -> Any:
        """Return a body as the library's own; a key that Google does not know is the user's mistake."""
        parse_error = _library("google.protobuf.json_format").ParseError
        try:
            return getattr(_library(package), kind).from_json(json.dumps(body))
        except (parse_error, TypeError, ValueError) as error:
            raise Denied(f"node_config: {str(error).splitlines()[0]}") from error


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise Denied(INSTALL) from error


def _access(settings: Settings) -> tuple[Any, str]:
    if settings.endpoint:
        return _library("google.auth.credentials").AnonymousCredentials(), ""
    given = settings.gcp_credentials
    if given is None:
        auth = _library("google.auth")
        try:
            credentials, project = auth.default(scopes=[SCOPE])
            return credentials, str(project or "")
        except auth.exceptions.DefaultCredentialsError as error:
            raise Denied(f"no credentials for Google Cloud: {SIGN_IN} ({error})") from error
    if given.type == "credentials_token":
        return _library("google.oauth2.credentials").Credentials(given.credentials), ""
    try:
        about = json.loads(given.credentials)
        made = _library("google.oauth2.service_account").Credentials.from_service_account_info(about, scopes=[SCOPE])
    except (ValueError, TypeError) as error:  # not JSON, or not that of a service account
        raise Denied(f"provider.gcp_credentials.credentials is not a service account's key file: {error}") from error
    return made, str(made.project_id or "")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the library raises into `CallFailed`."""
    exceptions, auth = _library("google.api_core.exceptions"), _library("google.auth.exceptions")
    requests = _library("requests.exceptions")
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        reasons = [str(told.get("reason", "")) for told in error.errors or () if isinstance(told, dict)]
        trouble = Trouble(int(error.code or 500), next(iter(reasons), ""), str(error.message))
        raise CallFailed(trouble) from error
    except (auth.RefreshError, auth.DefaultCredentialsError) as error:
        raise Denied(f"Google Cloud does not take the credentials: {SIGN_IN} ({error})") from error
    except (auth.TransportError, exceptions.RetryError, requests.RequestException, OSError) as error:
        raise CallFailed(Trouble(503, "no answer", str(error))) from error


def _scope(place: str) -> tuple[str, dict[str, str]]:
    if not place:
        return "Global", {}
    return ("Zone", {"zone": place}) if place.count("-") > 1 else ("Region", {"region": place})


def _operation(answer: Any, place: str) -> Operation:
    troubles = tuple(Trouble(0, str(told.code), str(told.message)) for told in answer.error.errors)
    status = answer.status if isinstance(answer.status, str) else answer.status.name
    parts = answer.instances_bulk_insert_operation_metadata.per_location_status.values()
    return Operation(str(answer.name), place, status == "DONE", troubles, sum(part.created_vm_count for part in parts))


def _long_running(answer: Any, place: str) -> Operation:
    failed = answer.HasField("error")
    code, status = _RPC_CODES.get(answer.error.code, (str(answer.error.code), 0))
    trouble = (Trouble(status, code, str(answer.error.message)),) if failed else ()
    return Operation(str(answer.name), place, bool(answer.done), trouble)


def _slice(node: Any) -> Slice:
    where = str(node.name).split("/")
    return Slice(
        name=where[-1],
        zone=where[where.index("locations") + 1],
        state=str(node.state.name),
        labels=dict(node.labels),
        addresses=tuple((str(end.ip_address), str(end.access_config.external_ip)) for end in node.network_endpoints),
        created=node.create_time.isoformat() if node.create_time else "",
        message=str(node.health_description),
    )


def _seen(instance: Any) -> Seen:
    instance = type(instance).pb(instance)  # the message itself: its wrapper makes an object for each look
    interfaces = list(instance.network_interfaces)
    accesses = list(interfaces[0].access_configs) if interfaces else []
    return Seen(
        name=str(instance.name),
        zone=str(instance.zone).rpartition("/")[2],
        status=str(instance.status),
        labels=dict(instance.labels),
        internal=str(interfaces[0].network_i_p) if interfaces else "",
        external=str(accesses[0].nat_i_p) if accesses else "",
        created=str(instance.creation_timestamp),
        spot=bool(instance.scheduling.preemptible) or instance.scheduling.provisioning_model == "SPOT",
        message=str(instance.status_message),
        metadata={str(item.key): str(item.value) for item in instance.metadata.items},
        fingerprint=str(instance.metadata.fingerprint),
    )

"""The API server over HTTPS: lightkube finds it (kubeconfig, service account) and proves who we are.

Objects stay plain. Typed models of Kubernetes' own would cost a conversion each way and lose what they do not know;
pods are made from templates that users wrote, and must come through whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2
import msgspec
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from rayfleet.wire.kube import errors
from rayfleet.wire.kube.kube import Change, JsonPatch, Listing, MergePatch, Seen
from rayfleet.wire.kube.objects import POD, Key, Kind, Object

PAGE: Final = 500
CALL_TIMEOUT_S: Final = 15.0
WATCH_S: Final = 290
"""A watch is ended by the server after so long ..."""
WATCH_SLACK_S: Final = 20.0
"""... and is thought broken when nothing, not even its end, came so long after that."""
_NO_LIMIT: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
"""Each watch holds a connection, one for each kind and namespace: many of them must leave some for calls."""

_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"


def find_config(context: str | None = None) -> SingleConfig:
    """Return how to reach the API server: the kubeconfig's `context` (None: its current one), or that of our own pod.

    Raises:
        errors.Forbidden: there is no usable configuration; the message says what is missing.
    """
    try:
        config = KubeConfig.from_env().get(context)
    except (ConfigError, OSError) as error:
        raise errors.Forbidden(f"no way to a Kubernetes cluster: {error}", "NoConfig") from error
    if config is None:
        raise errors.Forbidden(f"the kubeconfig has no context {context!r}", "NoConfig")
    return config


class KubeClient:
    """`Kube` over HTTPS. Many calls may be under way at once; one per event loop."""

    def __init__(self, config: SingleConfig) -> None:
        """Keep connections to the server that `config` names; no I/O yet."""
        found = ConnectionParams(timeout=httpx2.Timeout(CALL_TIMEOUT_S)).httpx_params(config)
        self._http = httpx2.AsyncClient(**found)
        self._watches = httpx2.AsyncClient(**found, limits=_NO_LIMIT)

    async def get(self, kind: Kind, key: Key) -> Object:
        """Return one object."""
        return _decoded(await self._call("GET", _url(kind, key.namespace, key.name)))

    async def list(self, kind: Kind, namespace: str | None = None, selector: str = "") -> Listing:
        """Return all objects of a kind, asked for in pages."""
        items: list[Object] = []
        query = {"limit": str(PAGE), **_selected(selector)}
        while True:
            page = _decoded(await self._call("GET", _url(kind, namespace), query=query))
            items += page.get("items") or ()
            rest = page["metadata"].get("continue")
            if not rest:
                return Listing(tuple(items), page["metadata"].get("resourceVersion", ""))
            query["continue"] = rest

    async def watch(
        self, kind: Kind, version: str, namespace: str | None = None, selector: str = ""
    ) -> AsyncIterator[Seen]:
        """Yield changes until the server ends the watch."""
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true", **_selected(selector)}
        query["timeoutSeconds"] = str(WATCH_S)
        patience = httpx2.Timeout(CALL_TIMEOUT_S, read=WATCH_S + WATCH_SLACK_S)
        try:
            async with self._watches.stream("GET", _url(kind, namespace), params=query, timeout=patience) as answer:
                if answer.is_error:
                    raise _refusal(answer.status_code, await answer.aread(), patched=False)
                async for line in answer.aiter_lines():
                    if line:
                        yield _change(line)
        except httpx2.HTTPError as error:
            raise errors.Unavailable(_no_answer(error)) from error
        except (ConfigError, OSError) as error:
            raise errors.Forbidden(f"cannot prove who we are: {error}", "NoCredentials") from error

    async def create(self, kind: Kind, thing: Object) -> Object:
        """Create the object."""
        body = {"apiVersion": kind.api_version, "kind": kind.name, **thing}
        url = _url(kind, thing["metadata"].get("namespace"))
        return _decoded(await self._call("POST", url, body=body))

    async def patch(self, kind: Kind, key: Key, patch: JsonPatch | MergePatch, subresource: str = "") -> Object:
        """Change the object."""
        url = _url(kind, key.namespace, key.name, subresource)
        content = _MERGE_PATCH if isinstance(patch, Mapping) else _JSON_PATCH
        return _decoded(await self._call("PATCH", url, body=patch, content=content))

    async def delete(self, kind: Kind, key: Key, *, uid: str = "", grace_s: int | None = None) -> None:
        """Ask for the object to go."""
        body: Object = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        await self._call("DELETE", _url(kind, key.namespace, key.name), body=body)

    async def serves(self, kind: Kind, subresource: str) -> bool:
        """Ask the server what it has."""
        root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        resources = _decoded(await self._call("GET", root)).get("resources") or ()
        return any(one.get("name") == f"{kind.plural}/{subresource}" for one in resources)

    async def log(self, pod: Key, container: str = "", *, tail: int | None = None) -> str:
        """Return what a container has printed."""
        query = ({"container": container} if container else {}) | ({"tailLines": str(tail)} if tail is not None else {})
        answer = await self._call("GET", _url(POD, pod.namespace, pod.name, "log"), query=query)
        return answer.decode(errors="replace")

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()
        await self._watches.aclose()

    async def _call(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content: str = _JSON,
    ) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": content}
        try:
            answer = await self._http.request(method, url, params=query, content=data, headers=headers)
        except httpx2.HTTPError as error:
            raise errors.Unavailable(_no_answer(error)) from error
        except (ConfigError, OSError) as error:
            raise errors.Forbidden(f"cannot prove who we are: {error}", "NoCredentials") from error
        if answer.is_error:
            raise _refusal(answer.status_code, answer.content, patched=content == _JSON_PATCH)
        return bytes(answer.content)


def _url(kind: Kind, namespace: str | None, name: str = "", subresource: str = "") -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    place = f"/namespaces/{namespace}" if namespace and kind.namespaced else ""
    return "/".join(part for part in (f"{root}{place}/{kind.plural}", name, subresource) if part)


def _selected(selector: str) -> dict[str, str]:
    return {"labelSelector": selector} if selector else {}


def _decoded(data: bytes) -> Object:
    """Return an object. Whatever is in the way (a proxy's page, half an answer) is no answer."""
    try:
        return msgspec.json.decode(data, type=Object)
    except msgspec.MsgspecError as error:
        raise errors.Unavailable(f"the API server's answer cannot be read: {error}") from error


def _change(line: str) -> Seen:
    event = _decoded(line.encode())
    if event.get("type") == "ERROR":
        status = event["object"]
        raise _error(int(status.get("code") or 0), status, patched=False)
    try:
        return Seen(Change(event["type"]), event["object"])
    except (KeyError, ValueError) as error:
        raise errors.Unavailable(f"the API server's watch tells what nobody knows: {error}") from error


def _no_answer(error: Exception) -> str:
    return f"the API server does not answer: {str(error) or type(error).__name__}"


def _refusal(code: int, data: bytes, *, patched: bool) -> errors.KubeError:
    try:
        status = msgspec.json.decode(data)
    except msgspec.DecodeError:
        status = {"message": data[:200].decode(errors="replace")}
    return _error(code, status if isinstance(status, dict) else {}, patched=patched)


def _error(code: int, status: Mapping[str, Any], *, patched: bool) -> errors.KubeError:
    """Return the error for a Status. `patched`: the call was a JSON patch, whose failed `test` is answered with 422."""
    message, reason = str(status.get("message") or f"HTTP {code}"), str(status.get("reason") or "")
    causes = (status.get("details") or {}).get("causes")
    match code:
        case 404:
            kind: type[errors.KubeError] = errors.NotFound
        case 409:
            kind = errors.AlreadyExists if reason == "AlreadyExists" else errors.Conflict
        case 410:
            kind = errors.Expired
        case 401 | 403:
            kind = errors.QuotaExceeded if "exceeded quota" in message else errors.Forbidden
        case 422 if patched and not causes:
            kind = errors.Conflict
        case 400 | 405 | 406 | 415 | 422:
            kind = errors.Invalid
        case _:
            kind = errors.Unavailable
    return kind(message, reason)

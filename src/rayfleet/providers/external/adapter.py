"""A user's node provider class, as Ray's first autoscaler knows it: loaded, called, and its errors understood.

All calls block, and such a class need not bear two at once: whoever uses this runs one at a time, outside of the loop.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from rayfleet.contracts import Denied, Flaky, OutOfStock, ProviderError, QuotaReached

STOCK_WORDS: Final = ("capacity", "stock", "exhausted", "notenough", "unavailablezone", "skunotavailable")
QUOTA_WORDS: Final = ("quota", "limitexceeded", "toomany")
DENIED_WORDS: Final = (
    "unauthorized",
    "forbidden",
    "accessdenied",
    "authfailure",
    "permission",
    "credential",
    "invalid",
)

_MISSING: Final = (NotImplementedError, PermissionError, ImportError)
_NEVER: Final = (*_MISSING, TypeError, AttributeError)
"""Errors of the class itself, or of rights: trying again does not help."""

T = TypeVar("T")


class Adapter:
    """The class at work. It is loaded by the first call that needs it."""

    def __init__(self, module: str, section: Mapping[str, Any], cluster: str) -> None:
        """Take the path of the class, and what Ray would give its constructor."""
        self._module = module
        self._section = dict(section)
        self._cluster = cluster
        self._made: Any = None

    def ids(self) -> list[str]:
        """Return the nodes that exist."""
        with self._errors("non_terminated_nodes"):
            return [str(node_id) for node_id in self._provider().non_terminated_nodes({})]

    def tags(self, node_id: str) -> dict[str, str]:
        """Return a node's tags; those of one that has gone since are empty."""
        return self._of_one("node_tags", node_id, lambda value: dict(value or {}), {})

    def is_running(self, node_id: str) -> bool:
        """Say whether a node has booted."""
        return self._of_one("is_running", node_id, bool, otherwise=False)

    def addresses(self, node_id: str) -> tuple[str, str]:
        """Return the internal and the external address, "" for what is not known (yet)."""
        internal = self._of_one("internal_ip", node_id, lambda value: str(value or ""), "")
        external = self._of_one("external_ip", node_id, lambda value: str(value or ""), "")
        return internal, external

    def create(
        self, node_config: Mapping[str, Any], tags: Mapping[str, str], count: int, more: Mapping[str, Any]
    ) -> list[str]:
        """Have nodes made; return their ids where the class says them. `more`: resources and labels of each."""
        provider = self._provider()
        given: tuple[Any, ...] = (dict(node_config), dict(tags), count)
        with self._errors("create_node"):
            if hasattr(provider, "create_node_with_resources_and_labels"):
                resources, labels = dict(more["resources"]), dict(more["labels"])
                made = provider.create_node_with_resources_and_labels(*given, resources, labels)
            elif hasattr(provider, "create_node_with_resources"):
                made = provider.create_node_with_resources(*given, dict(more["resources"]))
            else:
                made = provider.create_node(*given)
        return [str(node_id) for node_id in made] if isinstance(made, Mapping) else []

    def end(self, node_ids: Sequence[str]) -> None:
        """Have nodes ended, in as many calls as the class wants."""
        provider = self._provider()
        with self._errors("terminate_nodes"):
            if not hasattr(provider, "terminate_nodes"):
                for node_id in node_ids:
                    provider.terminate_node(node_id)
                return
            size = getattr(provider, "max_terminate_nodes", None) or max(1, len(node_ids))
            for start in range(0, len(node_ids), size):
                provider.terminate_nodes([*node_ids[start : start + size]])

    def _of_one(self, method: str, node_id: str, read: Callable[[Any], T], otherwise: T) -> T:
        """Ask about one node. One that the class does not know (any more, or yet) is no error of the listing."""
        try:
            return read(getattr(self._provider(), method)(node_id))
        except ProviderError:
            raise
        except _MISSING as error:
            raise self._error(method, error) from error
        except Exception:  # noqa: BLE001 - nothing is said about what such classes raise for a node without addresses
            return otherwise

    def _provider(self) -> Any:
        if self._made is None:
            folder, _, name = self._module.rpartition(".")
            try:
                made = getattr(importlib.import_module(folder), name)(self._section, self._cluster)
            except Exception as error:
                where = f"provider.module {self._module} cannot be used: {type(error).__name__}: {error}"
                raise Denied(where) from error
            if hasattr(made, "is_readonly") and made.is_readonly():
                raise Denied(f"provider.module {self._module} is read-only: it makes no nodes")
            self._made = made
        return self._made

    @contextmanager
    def _errors(self, method: str) -> Iterator[None]:
        """Turn whatever the class raises into the contract's errors."""
        try:
            yield
        except ProviderError:
            raise
        except Exception as error:
            raise self._error(method, error) from error

    def _error(self, method: str, error: Exception) -> ProviderError:
        text = f"{self._module}.{method}: {type(error).__name__}: {error}"
        return kind_of(error)(text)


def kind_of(error: Exception) -> type[ProviderError]:
    """Return the contract's error for one of such a class.

    Ray's own launch error has a category, mostly a cloud's code; elsewhere the words of the error are all there is.
    """
    said = str(getattr(error, "category", "")) or f"{type(error).__name__} {error}"
    word = "".join(said.lower().replace("_", "").replace("-", "").split())
    for kind, words in ((OutOfStock, STOCK_WORDS), (QuotaReached, QUOTA_WORDS)):
        if any(one in word for one in words):
            return kind
    refused = hasattr(error, "category") and any(one in word for one in DENIED_WORDS)
    return Denied if refused or isinstance(error, _NEVER) else Flaky

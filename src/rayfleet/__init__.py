"""rayfleet keeps Ray clusters exactly as large as their work needs.

LocalCluster          a cluster on this machine for as long as a `with` block lasts
request_resources     ask for capacity before work comes
set_policy            change limits of a running cluster
status                what there is, what waits, and why
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayfleet.api import LocalCluster, request_resources, set_policy, status

__version__ = "0.1.0.dev0"

__all__ = ["LocalCluster", "__version__", "request_resources", "set_policy", "status"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: importing one room must not load the others."""
    if name in __all__:
        from rayfleet import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List what users may use."""
    return sorted(__all__)

"""Ray's protobuf messages without Ray.

The generated modules inside the Ray package need nothing but protobuf and each other. Importing them through `ray`
would load all of Ray into the controller: 40 MiB and half a second. The classes are the very same ones that Ray uses.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = f"{__name__}.generated"


def _package() -> None:
    """Register a package of our own whose modules are Ray's generated ones."""
    found = importlib.util.find_spec("ray")  # locates, does not import
    if found is None or not found.submodule_search_locations:
        raise ImportError("Ray is not installed: pip install 'ray[default]'")
    package = ModuleType(_PACKAGE, "Ray's generated protobuf modules.")
    package.__path__ = [str(Path(place) / "core" / "generated") for place in found.submodule_search_locations]
    sys.modules[_PACKAGE] = package


if _PACKAGE not in sys.modules:
    _package()


def generated(name: str) -> Any:
    """Return one of Ray's generated modules, such as "gcs_service_pb2"."""
    return importlib.import_module(f"{_PACKAGE}.{name}")


autoscaler: Any = generated("autoscaler_pb2")
common: Any = generated("common_pb2")

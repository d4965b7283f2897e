"""What all `ray.io` models share: KubeRay's names in files, ours in code, and Kubernetes' own objects as they are."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

GROUP: Final = "ray.io"
VERSION: Final = "v1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
INT32_MAX: Final = 2**31 - 1

Object = dict[str, Any]
"""An object of Kubernetes' own (a pod template, a Service), kept as it was written."""


class Spec(BaseModel):
    """A part of a `ray.io` resource. Unknown keys are dropped, as the API server does; null is as left out."""

    # Models are built on first use: a command that reads none does not pay for them.
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", defer_build=True
    )

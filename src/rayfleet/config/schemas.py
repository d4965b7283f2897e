"""JSON Schemas of the files that users write, for editors and for tools that write such files."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from rayfleet.config.cluster_form import ClusterForm
from rayfleet.config.scenario_form import ScenarioForm

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files."""
    return _schema(ScenarioForm, "rayfleet scenario")


def cluster_schema() -> dict[str, Any]:
    """Return the JSON Schema of cluster files; the keys of `provider` are its type's own."""
    return _schema(ClusterForm, "rayfleet cluster")


def _schema(form: type[BaseModel], title: str) -> dict[str, Any]:
    return {"$schema": DIALECT, **form.model_json_schema(mode="validation"), "title": title}

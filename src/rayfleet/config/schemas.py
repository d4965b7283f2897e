"""JSON Schemas of the files that users write, for editors and for tools that write such files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from rayfleet.config.cluster_form import ClusterForm
from rayfleet.config.field_texts import field_texts
from rayfleet.config.forms import Form
from rayfleet.config.scenario_form import ScenarioForm, TimeoutsForm
from rayfleet.config.scenario_texts import SCENARIO_TEXTS
from rayfleet.model import Timeouts

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TOLD_ELSEWHERE: Final[dict[type, type]] = {TimeoutsForm: Timeouts}
"""Forms that are made from another class -> the class that says what the keys mean."""


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of scenario files."""
    return _schema(ScenarioForm, "rayfleet scenario")


def cluster_schema() -> dict[str, Any]:
    """Return the JSON Schema of cluster files; the keys of `provider` are its type's own."""
    return _schema(ClusterForm, "rayfleet cluster")


def settings_schema(settings: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a provider's own section of a cluster file (without `type`)."""
    return _schema(settings, "provider")


def _schema(form: type[BaseModel], title: str) -> dict[str, Any]:
    whole = {"$schema": DIALECT, **form.model_json_schema(mode="validation"), "title": title}
    sections = {each.__name__: each for each in _forms(Form)}
    _describe(whole, form)
    for name, section in whole.get("$defs", {}).items():
        if name in sections:
            _describe(section, sections[name])
    return whole


def _describe(section: dict[str, Any], form: type[BaseModel]) -> None:
    """Write below every key of a section what its form says about it."""
    for name, text in (SCENARIO_TEXTS.get(form.__name__, {}) | field_texts(_TOLD_ELSEWHERE.get(form, form))).items():
        field = form.model_fields.get(name)
        key = (field.alias if field else None) or name  # a key may be a word that Python keeps for itself
        if key in section["properties"]:
            section["properties"][key]["description"] = text


def _forms(base: type[Form]) -> Iterator[type[Form]]:
    for form in base.__subclasses__():
        yield form
        yield from _forms(form)

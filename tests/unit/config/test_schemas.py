"""The schemas say of every key what it means, in the words that stand below the field in the code."""

from collections.abc import Iterator
from typing import Any

import pytest

from rayfleet.config import cluster_schema, scenario_schema, settings_schema
from rayfleet.config.field_texts import field_texts
from rayfleet.config.forms import Form
from rayfleet.config.scenario_form import TimeoutsForm
from rayfleet.providers.process.settings import Settings


def keys(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield section.key and description of every key in a schema."""
    for name, section in {"": schema, **schema.get("$defs", {})}.items():
        for key, of_key in section.get("properties", {}).items():
            yield f"{name}.{key}".lstrip("."), of_key


@pytest.mark.parametrize("schema", [cluster_schema(), settings_schema(Settings)], ids=["cluster", "process"])
def test_every_key_says_what_it_means(schema: dict[str, Any]) -> None:
    found = dict(keys(schema))
    assert len(found) > 5
    assert [key for key, of_key in found.items() if not of_key.get("description", "").endswith(".")] == []


def test_texts_of_a_class_are_those_below_its_fields_and_those_that_it_inherits() -> None:
    class Base:
        first: int = 1
        """The first,
        on two lines."""
        silent: int = 2

    class Other(Base):
        second: int = 3
        """The second."""

    assert field_texts(Other) == {"first": "The first, on two lines.", "second": "The second."}


def test_a_class_without_source_says_nothing() -> None:
    assert set(field_texts(TimeoutsForm)) == set(field_texts(Form))


def test_a_scenario_has_the_same_texts_where_it_has_the_same_sections() -> None:
    ours, theirs = cluster_schema()["$defs"], scenario_schema()["$defs"]
    assert ours["TimeoutsForm"] == theirs["TimeoutsForm"]
    offer = dict(ours["TypeOfferForm"]["properties"])
    del offer["max_usd_per_hour"]  # a scenario has no provider to tell it to
    assert offer == theirs["OfferForm"]["properties"]
    for section in ("TypeOfferForm", "TimeoutsForm"):
        assert all("description" in of_key for of_key in ours[section]["properties"].values())

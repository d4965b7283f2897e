"""The examples of the documentation are files that work."""

import re
from pathlib import Path

import pytest
from tests.unit.config.places import HERE

from rayfleet.config import check, load_scenario
from rayfleet.config.cluster_form import ClusterForm, NodeTypeForm
from rayfleet.config.forms import Form
from rayfleet.config.scenario_form import MachineForm, PolicyForm, PoolForm, ScenarioForm

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[str]:
    return BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def test_scenarios() -> None:
    found = blocks("scenario.md")
    names = [load_scenario(text, "scenario.md").policy.pools[0].name for text in found]
    assert names[:2] == ["cpu16", "a"]
    assert all(names)


def test_cluster_files() -> None:
    found = blocks("config.md")
    assert [check(text, HERE, "config.md").problems for text in found] == [(), ()]


@pytest.mark.parametrize("form", [ScenarioForm, PolicyForm, PoolForm, MachineForm])
def test_every_key_of_a_scenario_is_documented(form: type[Form]) -> None:
    page = (DOCS / "scenario.md").read_text(encoding="utf-8")
    assert [key for key in form.model_fields if f"`{key}`" not in page] == []


def test_every_key_of_a_cluster_that_this_version_uses_is_documented() -> None:
    page = (DOCS / "config.md").read_text(encoding="utf-8")
    for key in ("cluster_name", "max_workers", "timeouts", *NodeTypeForm.model_fields):
        assert f"`{key}`" in page, key
    assert {"cluster_name", "max_workers", "timeouts"} <= set(ClusterForm.model_fields)

"""The examples of the documentation are files that work."""

import re
from pathlib import Path

import pytest
from tests.unit.config.places import HERE
from typer.testing import CliRunner

from rayfleet.cli import kubectl
from rayfleet.cli.app import app
from rayfleet.config import check, load_scenario
from rayfleet.config.cluster_form import ClusterForm, NodeTypeForm
from rayfleet.config.forms import Form
from rayfleet.config.scenario_form import MachineForm, PolicyForm, PoolForm, ScenarioForm

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)


PROGRAMS = {"rayfleet": app, "kubectl rayfleet": kubectl.app}


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[str]:
    return BLOCK.findall(page(name))


def test_scenarios() -> None:
    found = blocks("scenario.md")
    names = [load_scenario(text, "scenario.md").policy.pools[0].name for text in found]
    assert names[:2] == ["cpu16", "a"]
    assert all(names)


def test_cluster_files() -> None:
    found = blocks("config.md")
    assert [check(text, HERE, "config.md").problems for text in found] == [(), ()]


def test_ray_clusters() -> None:
    (text,) = blocks("kubernetes.md")
    found = check(text, HERE, "kubernetes.md")
    assert (found.problems, found.notices, found.can_run) == ((), (), True)


def test_what_is_typed_for_kubernetes_can_be_typed() -> None:
    """Every command of the page is a verb, and every long option is one of that verb's."""
    typed = re.findall(r"^\$ (rayfleet|kubectl rayfleet) (config \w+|\w+)(.*)$", page("kubernetes.md"), re.MULTILINE)
    assert len(typed) > 12
    for program, verb, rest in typed:
        shown = CliRunner().invoke(PROGRAMS[program], [*verb.split(), "--help"]).stdout
        assert f" {verb} " in shown
        assert [one for one in re.findall(r"--[a-z-]+", rest.partition("#")[0]) if one not in shown] == []


@pytest.mark.parametrize("form", [ScenarioForm, PolicyForm, PoolForm, MachineForm])
def test_every_key_of_a_scenario_is_documented(form: type[Form]) -> None:
    text = page("scenario.md")
    assert [key for key in form.model_fields if f"`{key}`" not in text] == []


def test_every_key_of_a_cluster_that_this_version_uses_is_documented() -> None:
    text = page("config.md")
    for key in ("cluster_name", "max_workers", "timeouts", *NodeTypeForm.model_fields):
        assert f"`{key}`" in text, key
    assert {"cluster_name", "max_workers", "timeouts"} <= set(ClusterForm.model_fields)

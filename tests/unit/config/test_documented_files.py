"""The examples of the documentation are files that work."""

import re
import tomllib
from pathlib import Path

import pytest
from tests.unit.config.clouds import LENIENT, PLACES, every_place
from tests.unit.config.places import HERE
from typer.testing import CliRunner

from rayfleet.cli import kubectl
from rayfleet.cli.app import app
from rayfleet.config import check, load_scenario
from rayfleet.config.alerting import THRESHOLDS
from rayfleet.config.alerting_form import AlertingForm
from rayfleet.config.cluster_form import ClusterForm, NodeTypeForm
from rayfleet.config.cluster_spec import Registry
from rayfleet.config.forms import Form
from rayfleet.config.scenario_form import MachineForm, PolicyForm, PoolForm, ScenarioForm
from rayfleet.wiring import registry

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
    places: Registry = {**HERE, **LENIENT}
    assert [check(text, places, "config.md").problems for text in found] == [()] * 4
    assert all(check(text, places, "config.md").can_run for text in found)


@pytest.mark.parametrize(("name", "places"), [("clusters.md", ["aws"]), ("providers.md", list(PLACES))])
def test_files_for_places(name: str, places: list[str]) -> None:
    """Each is taken as it stands by the place's own provider, with no word but on what is filled in and defaults."""
    found = [check(text, every_place(), name) for text in blocks(name)]
    assert [(each.problems, each.can_run) for each in found] == [((), True)] * len(places)
    expected = ("no resources: ", "no cache_stopped_nodes: ")
    assert [one for each in found for one in each.notices if not one.message.startswith(expected)] == []
    assert [each.spec.provider for each in found if each.spec] == places


def test_the_table_of_places_says_what_they_are() -> None:
    """Every place has its section, its extra and its README; the table has what the provider declares."""
    text = page("providers.md")
    rows = re.findall(r"^\| `(\w+)` \| `rayfleet\[(\w+)\]` \| (yes|no)[^|]* \| (\w+) \|", text, re.MULTILINE)
    kinds = {kind: place for kind, place in registry().items() if place.remote}
    extras = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [(row[0], row[2] == "yes", row[3] == "stopped") for row in rows] == [
        (name, kinds[name].user_data and not kinds[name].keeps_hosts, bool(kinds[name].standby)) for name in PLACES
    ]
    assert sorted(kinds) == sorted(PLACES)
    assert [name for name in PLACES if f"\n## `{name}`: " not in text] == []
    assert {row[1] for row in rows} <= extras["optional-dependencies"].keys()
    assert [name for name in PLACES if not (DOCS.parent / f"src/rayfleet/providers/{name}/README.md").is_file()] == []


def test_tests_that_a_page_names_are_there() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", page("providers.md"))
    assert len(named) > 8
    assert [path for path in named if not (DOCS.parent / path).exists()] == []


def test_ray_clusters() -> None:
    (text,) = blocks("kubernetes.md")
    found = check(text, HERE, "kubernetes.md")
    assert (found.problems, found.notices, found.can_run) == ((), (), True)


def test_alerts() -> None:
    """The file of the page is taken with no word about who is told; the page has every rule with its own times."""
    text = page("alerts.md")
    (block,) = blocks("alerts.md")
    found = check(block, registry(), "alerts.md")
    assert found.problems == ()
    assert [one for one in found.notices if "alerting" in one.path] == []
    for rule, threshold in THRESHOLDS.items():
        told = re.search(rf"^\| `{rule}` \|.*$", text, re.MULTILINE)
        assert told is not None
        assert not threshold.for_s or f"{threshold.for_s:g} s" in told[0], rule
        assert threshold.count is None or str(threshold.count) in told[0], rule
    assert [key for key in AlertingForm.model_fields if f"`{key}`" not in text and f"{key}:" not in text] == []


PAGES = [("alerts.md", 3), ("logs.md", 3), ("kubernetes.md", 13), ("clusters.md", 19)]


@pytest.mark.parametrize(("name", "least"), PAGES)
def test_what_is_typed_can_be_typed(name: str, least: int) -> None:
    """Every command of the page is a verb, and every long option is one of that verb's."""
    typed = re.findall(r"^\$ (rayfleet|kubectl rayfleet) (config \w+|alerts \w+|[\w-]+)(.*)$", page(name), re.MULTILINE)
    assert len(typed) >= least
    for program, verb, rest in typed:
        shown = CliRunner().invoke(PROGRAMS[program], [*verb.split(), "--help"]).stdout
        assert f" {verb} " in shown
        assert [
            one for one in re.findall(r"--[a-z-]+", rest.partition("#")[0].partition(" '")[0]) if one not in shown
        ] == []


@pytest.mark.parametrize("form", [ScenarioForm, PolicyForm, PoolForm, MachineForm])
def test_every_key_of_a_scenario_is_documented(form: type[Form]) -> None:
    text = page("scenario.md")
    assert [key for key in form.model_fields if f"`{key}`" not in text] == []


def test_every_key_of_a_cluster_that_this_version_uses_is_documented() -> None:
    text = page("config.md")
    for key in ("cluster_name", "max_workers", "timeouts", *NodeTypeForm.model_fields):
        assert f"`{key}`" in text, key
    assert {"cluster_name", "max_workers", "timeouts"} <= set(ClusterForm.model_fields)

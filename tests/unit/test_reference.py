"""The reference is made from the code: every reason, command, key and public name is in it."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from scripts import reference_pages
from tests.unit.docs.judges import settings
from typer.main import get_command

import rayfleet
from rayfleet import contracts, model
from rayfleet.cli.app import app
from rayfleet.config import scenario_schema
from rayfleet.config.cluster_form import ClusterForm, NodeTypeForm
from rayfleet.config.forms import Form
from rayfleet.config.scenario_texts import SCENARIO_TEXTS
from rayfleet.model import ReasonCode
from rayfleet.model.meanings import MEANINGS
from rayfleet.reports.events import KINDS, Event
from rayfleet.reports.metrics.families import COMMON, FAMILIES, Family
from rayfleet.wiring import registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def written(page: str) -> str:
    return (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=list(reference_pages.PARTS))
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def reasons() -> str:
    return reference_pages.filled("reasons", written("reasons"))


@pytest.fixture(scope="module")
def scenario_page() -> dict[str, str]:
    return sections(reference_pages.filled("scenario", written("scenario")))


@pytest.fixture(scope="module")
def commands() -> str:
    return reference_pages.filled("commands", written("commands"))


def sections(page: str) -> dict[str, str]:
    """Return heading -> text below it; a heading that comes twice is an error."""
    parts = re.split(r"^#+ (.*)\n", page, flags=re.MULTILINE)
    headings = parts[1::2]
    assert len(headings) == len(set(headings))
    return dict(zip(headings, parts[2::2], strict=True))


# ---- reasons ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_code_is_documented(code: ReasonCode, reasons: str) -> None:
    text = sections(reasons)[code.value]
    meaning = MEANINGS[code]
    assert reference_pages.escaped(meaning.says) in text
    assert reference_pages.escaped(meaning.do) in text
    assert [detail for detail in meaning.details if f"| `{detail}` | " not in text] == []


def test_what_a_reason_advises_can_be_typed() -> None:
    known = {name for name, _ in names(app)}
    advised = {
        f"rayfleet {word}"
        for meaning in MEANINGS.values()
        for word in re.findall(r"`rayfleet (\w+)", f"{meaning.says} {meaning.do}")
    }
    assert len(advised) > 5
    assert advised <= known


def test_settings_that_a_reason_advises_can_be_set() -> None:
    texts = [f"{meaning.says} {meaning.do}" for meaning in MEANINGS.values()]
    advised = {one for text in texts for one in re.findall(r"`(rayfleet set [^`]+)`", text)}
    assert len(advised) > 20
    assert [problem for one in advised for problem in settings(tuple(re.sub("=N$", "=1", one).split()))] == []


# ---- metrics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_metric_is_documented(family: Family) -> None:
    page = reference_pages.filled("metrics", written("metrics"))
    (row,) = re.findall(rf"^\| `{family.name}` \|(.*)\|$", page, re.MULTILINE)
    kind, unit, labels, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
    assert kind == family.kind
    assert unit == family.unit
    assert re.findall(r"`(\w+)`", labels) == list(family.labels)
    assert meaning == reference_pages.escaped(family.text)
    assert [label for label in COMMON if f"`{label}`" not in page] == []


def test_every_alert_is_documented() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    alerts = re.findall(r"^      - alert: (\w+)$", rules, re.MULTILINE)
    assert len(alerts) > 5
    assert re.findall(r"^\| `(Rayfleet\w+)` \|", page, re.MULTILINE) == alerts


# ---- events -----------------------------------------------------------------------------------------------------


def test_every_kind_of_event_and_every_key_is_documented() -> None:
    page = reference_pages.filled("events", written("events"))
    assert re.findall(r"^\| `(\w+)` \|.*\|.*\|$", page.partition("Each event")[0], re.MULTILINE) == list(KINDS)
    assert re.findall(r"^\| `(\w+)` \|", page.partition("Each event")[2], re.MULTILINE) == [
        f.name for f in fields(Event)
    ]


# ---- commands ---------------------------------------------------------------------------------------------------


def names(of: typer.Typer, before: str = "rayfleet") -> Iterator[tuple[str, bool]]:
    """Yield every command by its full name, and whether users are to see it."""
    for command in of.registered_commands:
        assert command.callback is not None
        yield f"{before} {command.name or command.callback.__name__}", not command.hidden
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield f"{before} {group.name}", True
        yield from names(group.typer_instance, f"{before} {group.name}")


@pytest.mark.parametrize("name", [name for name, seen in names(app) if seen])
def test_every_command_is_documented(name: str, commands: str) -> None:
    text = sections(commands)[name]
    command: Any = get_command(app)
    for word in name.split()[1:]:
        command = command.commands[word]
    assert f"```text\n{name} [" in text
    assert [
        option for param in command.params for option in param.opts if option.startswith("-") and option not in text
    ] == []
    assert [p.name for p in command.params if p.help and reference_pages.escaped(p.help) not in text] == []
    assert "commands" in dir(command) or f"\n{name}" in text.split("Examples:")[1]


def test_commands_for_our_own_use_are_not_shown(commands: str) -> None:
    """Nor are other spellings that Ray's users may have in their fingers."""
    hidden = {name for name, seen in names(app) if not seen}
    on_heads = {f"rayfleet head-{verb}" for verb in ("start", "state", "rest", "stop", "page")}
    older = {f"rayfleet {name}" for name in ("rsync_up", "rsync_down", "get_head_ip", "get_worker_ips")}
    assert hidden == {"rayfleet controller", *on_heads, *older}
    assert not hidden & sections(commands).keys()


def test_every_argument_is_in_the_usage(commands: str) -> None:
    found = 0
    for name, text in sections(commands).items():
        usage = "".join(text.split("```")[1:2])
        for table in re.findall(r"^\| argument \|.*?(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE):
            for words in re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE):
                assert words in usage, name
                found += 1
    assert found > 10


# ---- keys, names ------------------------------------------------------------------------------------------------


def test_every_key_of_a_cluster_file_is_documented() -> None:
    page = sections(reference_pages.filled("configuration", written("configuration")))
    assert [key for key in ClusterForm.model_fields if f"| `{key}` |" not in page["A cluster file"]] == []
    assert [key for key in NodeTypeForm.model_fields if f"| `{key}` |" not in page["Node type"]] == []
    for kind, provider in registry().items():
        text = page[f"`provider`, with `type: {kind}`"]
        fields = provider.settings.model_fields.items()
        assert [key for key, field in fields if f"| `{field.alias or key}` |" not in text] == []


def test_sections_of_a_place_are_linked_and_called_after_it() -> None:
    page = sections(reference_pages.filled("configuration", written("configuration")))
    assert "[Aws credentials](#aws-credentials)" in page["`provider`, with `type: aws`"]
    assert "| `aws_session_token` |" in page["Aws credentials"]
    assert "| `credentials` |" in page["Gcp credentials"]
    assert "| `host_keys` | `first` or `known` or `any` | `first` |" in page["`provider`, with `type: local`"]


SCENARIO = scenario_schema()
SCENARIO_SECTIONS = {"A scenario file": SCENARIO} | {
    reference_pages.title(name): SCENARIO["$defs"][name] for name in reference_pages.sections(SCENARIO)
}
BARE = {
    "priority", "format", "serial", "scale_up_pending_threshold", "hosts_per_replica", "error", "launched_last_min",
    "details", "keep_starting_share",
}  # fmt: skip
"""Numbers that are nothing but numbers, and keys that take several things."""


@pytest.mark.parametrize(
    ("heading", "key"), [(heading, key) for heading, found in SCENARIO_SECTIONS.items() for key in found["properties"]]
)
def test_every_key_of_a_scenario_has_type_unit_default_and_meaning(
    heading: str, key: str, scenario_page: dict[str, str]
) -> None:
    page = scenario_page
    (row,) = re.findall(rf"^\| `{key}` \|(.*)\|$", page[heading], re.MULTILINE)
    what, unit, default, meaning = (cell.strip() for cell in re.split(r"(?<!\\)\|", row))
    assert what
    assert meaning
    found = SCENARIO_SECTIONS[heading]
    assert (default == "required") == (key in found.get("required", []))
    assert default
    numeric = "number" in what and "](#" not in what and "true" not in what
    assert bool(unit) == numeric or key in BARE


def test_the_meanings_of_keys_are_about_keys_that_there_are() -> None:
    ours = [form for form in all_forms(Form) if form.__module__.startswith("rayfleet.config")]
    forms = {form.__name__: form for form in ours}
    unknown = [
        f"{name}.{key}"
        for name, texts in SCENARIO_TEXTS.items()
        for key in texts
        if key not in forms[name].model_fields
    ]
    assert unknown == []


def all_forms(base: type[Form]) -> Iterator[type[Form]]:
    for form in base.__subclasses__():
        yield form
        yield from all_forms(form)


@pytest.mark.parametrize("page", ["configuration", "scenario"])
def test_every_link_to_a_section_has_one(page: str) -> None:
    text = reference_pages.PARTS[page]()
    slugs = {re.sub(r"[^\w ]", "", heading).lower().replace(" ", "-") for heading in sections(text)}
    links = set(re.findall(r"\]\(#([\w-]+)\)", text))
    assert len(links) > 5
    assert links <= slugs


def test_every_public_name_of_the_package_is_documented() -> None:
    page = written("api")
    public = set(rayfleet.__all__) - {"__version__"}
    assert set(re.findall(r"^::: rayfleet\.api\.(\w+)$", page, re.MULTILINE)) == public


@pytest.mark.parametrize(("page", "room"), [("contracts", contracts), ("model", model)])
def test_every_public_name_of_a_room_is_documented(page: str, room: Any) -> None:
    modules = [importlib.import_module(name) for name in re.findall(r"^::: ([\w.]+)$", written(page), re.MULTILINE)]
    assert [name for name in room.__all__ if not any(hasattr(module, name) for module in modules)] == []


# ---- the pages themselves ---------------------------------------------------------------------------------------


def test_each_generated_page_is_linked_from_the_first_ones(part: str) -> None:
    assert f"(reference/{part}.md)" in (DOCS / "index.md").read_text(encoding="utf-8")
    assert f"(docs/reference/{part}.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_page_that_has_lost_its_mark_fails_the_build(part: str) -> None:
    with pytest.raises(ValueError, match=f"{part}.md must have <!-- {part} --> once"):
        reference_pages.filled(part, written(part).replace("<!--", "<!"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a <b> c|d", r"a \<b> c\|d"),
        ("see `a_b <c>` or a_b", r"see `a_b <c>` or a\_b"),
        ("[x] and 2 * 3", r"\[x] and 2 \* 3"),
    ],
)
def test_texts_are_no_markup(text: str, shown: str) -> None:
    assert reference_pages.escaped(text) == shown

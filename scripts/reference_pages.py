"""The generated parts of the reference: commands, reasons, configuration, scenario, metrics, events; from the code.

python scripts/reference_pages.py commands|reasons|configuration|scenario|metrics|events prints one of them
"""

import json
import re
import string
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

from typer.main import get_command

from rayfleet.cli.app import app
from rayfleet.config import cluster_schema, scenario_schema, settings_schema
from rayfleet.model import (
    TEXTS,
    Disruption,
    MachineFact,
    Market,
    NodeFact,
    OrderKind,
    OutcomeKind,
    Phase,
    ReasonCode,
    ReleaseMode,
    StandbyMode,
    Strategy,
    Trouble,
)
from rayfleet.model.meanings import SECTIONS, Meaning
from rayfleet.reports import events as happened
from rayfleet.reports.metrics import families
from rayfleet.wiring import registry

KEPT = "\b\n"  # how the command line marks a paragraph whose lines stay as they are
MARK = "<!-- {} -->"


# ---- commands ---------------------------------------------------------------------------------------------------


def commands() -> str:
    """Return a section for every command that users see."""
    return "\n\n".join(section(name, command) for name, command in visible(get_command(app), "rayfleet"))


def visible(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield full name and command of this one and of everything below it, in the order of its help."""
    if command.hidden:
        return
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from visible(below, f"{name} {word}")


def section(name: str, command: Any) -> str:
    """Return one command: usage, help, examples, arguments and options."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = command.get_usage(context).removeprefix("Usage: ")
    records = [(param, param.get_help_record(context)) for param in command.params if not param.hidden]
    arguments = [
        (param.metavar or param.name, help_of(param, record)) for param, record in records if is_argument(param)
    ]
    options = [(record[0], record[1]) for param, record in records if record and not is_argument(param)]
    parts = [
        f"## {name}",
        fenced("text", usage),
        *paragraphs(command.help or ""),
        table(("argument", "what it is"), arguments),
        table(("option", "what it does"), options),
    ]
    return "\n\n".join(part for part in parts if part)


def is_argument(param: Any) -> bool:
    """Tell arguments from options."""
    return bool(param.param_type_name == "argument")


def help_of(param: Any, record: tuple[str, str] | None) -> str:
    """Return what an argument says of itself, with its choices; required ones may leave that to the usage line."""
    text = param.help or ("required" if param.required else "")
    choices = re.search(r"<(\w+(?:\|\w+)+)>", record[0] if record else "")
    return f"{text} One of `{choices[1].replace('|', '`, `')}`." if choices else text


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; those with lines of their own keep them."""
    for paragraph in text.split("\n\n"):
        if not paragraph.startswith(KEPT):
            yield escaped(" ".join(paragraph.split()))
            continue
        title, *lines = paragraph.removeprefix(KEPT).splitlines()
        yield escaped(title)
        yield fenced("text", "\n".join(line.removeprefix("  ") for line in lines))


# ---- reasons ----------------------------------------------------------------------------------------------------


def reasons() -> str:
    """Return a section for every reason code."""
    parts: list[str] = []
    for title, codes in SECTIONS.items():
        parts.append(f"## {title}")
        parts += (explained(code, meaning) for code, meaning in codes.items())
    return "\n\n".join(parts)


def explained(code: ReasonCode, meaning: Meaning) -> str:
    """Return one code: its sentence, what it means, its details, what to do."""
    parts = [
        f"### {code.value}",
        f"*{escaped(sentence(TEXTS[code]))}*",
        escaped(meaning.says),
        table(("detail", "what it is"), [(key, text) for key, text in meaning.details.items()]),
        f"**What to do.** {escaped(meaning.do)}",
    ]
    return "\n\n".join(part for part in parts if part)


def sentence(template: str) -> str:
    """Return a template with its details as bare names: how the figures are rounded is nobody's business."""
    parts = string.Formatter().parse(template)
    return "".join(text + (f"{{{name}}}" if name else "") for text, name, _, _ in parts)


# ---- configuration ----------------------------------------------------------------------------------------------


def configuration() -> str:
    """Return the keys of a cluster file and of each provider's own section, from their schemas."""
    whole = cluster_schema()
    parts = ["## A cluster file", keys(whole)]
    parts += below(whole)
    for kind, provider in registry().items():
        found = named_for(kind, settings_schema(provider.settings))
        parts += [f"## `provider`, with `type: {kind}`", keys(found), *below(found)]
    return "\n\n".join(parts)


def below(schema: dict[str, Any]) -> list[str]:
    """Return the sections that a schema's keys hold, each with its heading."""
    found = [(name, schema["$defs"][name]) for name in sections(schema)]
    return [part for name, of in found for part in (f"### {title(name)}", escaped(of.get("description", "")), keys(of))]


def named_for(place: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose sections are called after the place: several places have one of the same name."""
    prefix = place.capitalize()
    found: dict[str, Any] = json.loads(json.dumps(schema).replace("#/$defs/", f"#/$defs/{prefix}"))
    return {**found, "$defs": {f"{prefix}{name}": of for name, of in found.get("$defs", {}).items()}}


def sections(schema: dict[str, Any]) -> list[str]:
    """Return the sections that have keys, in the order in which a reader meets them."""
    found: list[str] = []
    todo = [schema]
    while todo:
        names = re.findall(r"#/\$defs/(\w+)", str(todo.pop(0).get("properties", {})))
        new = [name for name in dict.fromkeys(names) if name not in found and "properties" in schema["$defs"][name]]
        found += new
        todo += [schema["$defs"][name] for name in new]
    return found


def keys(section_of: dict[str, Any]) -> str:
    """Return the table of a section's keys."""
    rows = [(key, kind(of), default(of), escaped(of.get("description", ""))) for key, of in properties(section_of)]
    head = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| `{key}` | {what} | {value} | {text} |" for key, what, value, text in rows)])


def properties(section_of: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the keys of a section with what its schema says of them."""
    return list(section_of.get("properties", {}).items())


def kind(of: dict[str, Any]) -> str:
    """Return in words what a key takes; a section is a link to its table."""
    if "$ref" in of:
        return referred(of["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in of:
        return ", ".join(dict.fromkeys(kind(one) for one in of["anyOf"]))
    if of.get("type") == "array":
        return f"list of: {kind(of['items'])}"
    values = of.get("additionalProperties")
    if of.get("type") == "object":
        return f"names to: {kind(values)}" if isinstance(values, dict) else "any keys"
    return plain(of)


def plain(of: dict[str, Any]) -> str:
    """Return in words what a key takes that is neither a list nor keys: one of some words, or a type."""
    type_ = str(of.get("type", "anything"))
    if type_ == "string" and "enum" in of:
        return " or ".join(f"`{word}`" for word in of["enum"])
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(type_, type_)


def referred(name: str) -> str:
    """Return in words what a key takes that has a type of its own: its values, or a link to its table."""
    words = {of_words.__name__: of_words for of_words in WORDS}.get(name)
    if name == ReasonCode.__name__:
        return "[code](reasons.md)"
    if words is not None:
        return " or ".join(f"`{word}`" for word in words)
    return f"[{title(name)}](#{title(name).lower().replace(' ', '-')})"


WORDS: tuple[type[StrEnum], ...] = (
    Market, Disruption, MachineFact, NodeFact, OrderKind, OutcomeKind, Phase, ReleaseMode, StandbyMode, Strategy,
    Trouble,
)  # fmt: skip
"""Types whose values are written out where a key takes them."""


def default(of: dict[str, Any]) -> str:
    """Return the default of a key. What nothing and null come to is told by its meaning, or by the section's keys."""
    value = of.get("default")
    if value is None or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def title(name: str) -> str:
    """Return a section's name as a heading: `NodeTypeForm` is `Node type`."""
    words = re.sub("(?<!^)([A-Z])", r" \1", name.removesuffix("Form"))
    return words.capitalize()


# ---- scenario ---------------------------------------------------------------------------------------------------


def scenario() -> str:
    """Return the keys of scenario files, section by section, from their schema."""
    whole = scenario_schema()
    parts = ["## A scenario file", keys_with_units(whole)]
    for name in sections(whole):
        found = whole["$defs"][name]
        parts += [f"### {title(name)}", escaped(found.get("description", "")), keys_with_units(found)]
    return "\n\n".join(parts)


def keys_with_units(section_of: dict[str, Any]) -> str:
    """Return the table of a section's keys, each with its unit."""
    needed = section_of.get("required", [])
    rows = [
        (key, kind(of), unit(key, of), "required" if key in needed else given(of), escaped(of.get("description", "")))
        for key, of in properties(section_of)
    ]
    head = ["| key | type | unit | default | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| `{key}` | {' | '.join(cells)} |" for key, *cells in rows)])


def unit(key: str, of: dict[str, Any]) -> str:
    """Return the unit of a key: it is the end of its name; resources have those of Ray."""
    if key in RESOURCES:
        return "cores, bytes, pieces"
    if key in MOMENTS or "_timeout_s" in key:
        return "s"
    if "$ref" in json.dumps(of) or not re.search("integer|number", json.dumps(of)):
        return ""
    return next((words for end, words in UNITS.items() if key.endswith(end)), "")


RESOURCES = frozenset({"resources", "shape", "used", "total", "max_resources", "usage"})
MOMENTS = frozenset({"now", "at", "until", "since", "created", "deadline", "listed_at", "retry_at", "asked_at",
                     "unseen_since", "interrupt_at", "launched_at", "spent_at"})  # fmt: skip
UNITS = {
    "usd_per_hour": "USD/h", "usd_per_day": "USD/day", "usd": "USD", "add": "USD/h", "_per_min": "machines/min",
    "_workers": "machines", "_per_replica": "machines", "nodes": "machines", "_percent": "%", "percent": "%",
    "_s": "s", "hosts": "machines", "_utilization": "share, 0 to 1", "_threshold": "share, 0 to 1", "_margin": "share",
    "_speed": "per ready machine", "effort": "steps", "count": "pieces", "multiply": "factor", "weight": "share",
    "failures": "failures", "launched_last_min": "machines", "min_workers": "machines", "keep": "machines",
}  # fmt: skip
"""End of a name -> unit; the first that fits."""


def given(of: dict[str, Any]) -> str:
    """Return the default of a key as a file would say it."""
    value = of.get("default", "missing")
    if value == "missing":
        mapping = any(one.get("type") == "object" for one in of.get("anyOf", [of]))
        return "`{}`" if mapping else "`[]`" if of.get("type") == "array" else ""
    if isinstance(value, dict):
        return "its keys' own" if value else "`{}`"
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


# ---- metrics ----------------------------------------------------------------------------------------------------


def metrics() -> str:
    """Return the table of every family of metrics, by what it is about."""
    parts: list[str] = []
    for heading, of in families.SECTIONS.items():
        head = ["| metric | kind | unit | labels | meaning |", "|---|---|---|---|---|"]
        parts += [f"## {heading}", "\n".join([*head, *(family_row(family) for family in of)])]
    return "\n\n".join(parts)


def family_row(family: families.Family) -> str:
    """Return one family as a row."""
    labels = ", ".join(f"`{label}`" for label in family.labels)
    cells = (f"`{family.name}`", family.kind.value, family.unit, labels, escaped(family.text))
    return re.sub(" {2,}", " ", f"| {' | '.join(cells)} |")


# ---- events -----------------------------------------------------------------------------------------------------


def events() -> str:
    """Return the kinds of events, and the codes that each may carry."""
    head = ["| kind | what has happened | `code` |", "|---|---|---|"]
    rows = [
        f"| `{kind}` | {escaped(text)} | {CODES_OF.get(kind, REASON)} |" for kind, text in happened.MEANINGS.items()
    ]
    return "\n".join([*head, *rows])


REASON = "a [reason](reasons.md)"
CODES_OF = {
    "ready": "`ready`", "failed": ", ".join(f"`{trouble}`" for trouble in Trouble), "trouble": "",
    "error": "the name of the exception",
}  # fmt: skip
"""Kinds whose `code` is no reason."""


# ---- all --------------------------------------------------------------------------------------------------------


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    """Return a table of names and texts; nothing when there are no rows."""
    if not rows:
        return ""
    lines = (f"| `{name}` | {escaped(text)} |".replace("  ", " ") for name, text in rows)
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *lines])


def fenced(language: str, text: str) -> str:
    """Return text as it is typed."""
    return f"```{language}\n{text}\n```"


def escaped(text: str) -> str:
    """Return text in which nothing is taken for HTML or for the edge of a table."""
    parts = re.split("(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*_|\[])", r"\\\1", part) for part in parts)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands, "reasons": reasons, "configuration": configuration, "scenario": scenario, "metrics": metrics,
    "events": events,
}  # fmt: skip


def filled(page: str, markdown: str) -> str:
    """Put a generated part (`commands`, ...) into its page, where the page asks for it."""
    mark = MARK.format(page)
    if markdown.count(mark) != 1:
        message = f"docs/reference/{page}.md must have {mark} once"
        raise ValueError(message)
    return markdown.replace(mark, PARTS[page]())


if __name__ == "__main__":
    print(PARTS[sys.argv[1]]())

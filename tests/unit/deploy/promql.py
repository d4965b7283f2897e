"""What a query of Prometheus names: metrics, each with the labels that it is asked for by, and labels beside them.

No parser of the language: enough of its words to find every name, and to refuse what it cannot read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MATCHER = re.compile(r"\s*(\w+)\s*(?:=~|!~|!=|=)\s*")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\s*\{([^}]*)\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_OFFSET = re.compile(r"\boffset\s+\w+")
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_CALL = re.compile(r"\b([a-z_]\w*)\s*\(")
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_WORDS = frozenset({"and", "or", "unless", "by", "on", "bool", "group_left", "without", "ignoring"})
FUNCTIONS = frozenset(
    {
        "sum", "min", "max", "avg", "count", "rate", "increase", "time", "vector", "histogram_quantile",
        "avg_over_time", "last_over_time", "clamp_min", "label_values",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Named:
    """`selected`: metric -> labels that its selectors match. `labels`: those of `by`, `on` and the like."""

    selected: dict[str, set[str]]
    labels: set[str]


def named(query: str) -> Named:
    """Return what a query names. ValueError: it calls what is no function that we know."""
    text = _OFFSET.sub(" ", _RANGE.sub(" ", _STRING.sub('""', query)))
    selected: dict[str, set[str]] = {}
    for metric, matchers in _SELECTOR.findall(text):
        asked = [_MATCHER.match(part) for part in matchers.split(",") if part.strip()]
        if not metric or None in asked:
            raise ValueError(f"cannot read {matchers!r} in {query}")
        selected.setdefault(metric, set()).update(match[1] for match in asked if match)
    text = _SELECTOR.sub(" ", text)
    labels = {label for found in _LABEL_LIST.findall(text) for label in _NAME.findall(found)}
    text = _LABEL_LIST.sub(" ", text)
    called = set(_CALL.findall(text)) - _WORDS
    if called - FUNCTIONS:
        raise ValueError(f"no functions that we know: {called - FUNCTIONS}")
    for name in set(_NAME.findall(text)) - called - _WORDS - FUNCTIONS:
        selected.setdefault(name, set())
    return Named(selected, labels)

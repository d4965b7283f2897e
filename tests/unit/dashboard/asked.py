"""What a page holds, from its answer over HTTP: the framework sends its elements as JSON within the page."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.testclient import TestClient


@dataclass(frozen=True)
class Asked:
    """A page's elements by what they are."""

    elements: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """Return all words of its markup and of its other elements, without tags."""
        return html.unescape(re.sub(r"<[^>]*>", " ", " ".join(self.strings())))

    @property
    def markup(self) -> str:
        """Return the markup that the page puts in itself."""
        return " ".join(each["props"].get("innerHTML", "") for each in self.elements)

    def strings(self) -> Iterator[str]:
        """Yield every text that is shown."""
        for each in self.elements:
            yield each.get("text") or ""
            yield from _strings(each["props"])

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of its first table."""
        return next(each["props"]["rows"] for each in self.elements if "rows" in each["props"])

    def charts(self) -> list[dict[str, Any]]:
        """Return the options of its charts."""
        return [each["props"]["options"] for each in self.elements if "series" in (each["props"].get("options") or {})]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def ask(client: TestClient, path: str) -> Asked:
    """Open a page."""
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    found = re.search(r"String\.raw`(\{.*?\})`", answer.text, re.DOTALL)
    assert found is not None, answer.text
    elements = json.loads(html.unescape(found[1])).values()
    return Asked(tuple({**each, "props": each.get("props", {})} for each in elements))

"""HTML from values: every text is escaped, so that nothing that a cluster says can become part of a page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

Attribute = str | bool | None
_EMPTY: Final = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Markup that is safe to put into a page; a plain `str` is text."""

    __slots__ = ()


NONE: Final = Html()


def tag(name: str, /, *children: str | None, **attributes: Attribute) -> Html:
    """Return an element. Children that are no Html are escaped, None is left out.

    Attributes: a trailing underscore is dropped and others become dashes (`class_`, `aria_label`); True writes the
    name alone, None and False nothing.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _EMPTY:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[str | None]) -> Html:
    """Return children one after the other."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children if child is not None))


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(value)}"'


def link(text: str, href: str, **attributes: Attribute) -> Html:
    """Return a link within the page's own site."""
    return tag("a", text, href=href, **attributes)


def panel(title: str, *children: str | None, note: str = "", wide: bool = False) -> Html:
    """Return a titled part of a page."""
    head = tag("h2", title, tag("span", note, class_="note") if note else None)
    return tag("section", head, *children, class_="panel wide" if wide else "panel")


def empty(text: str, advice: str = "") -> Html:
    """Return what is shown where there is nothing to show, and what to do about it."""
    return tag("p", text, tag("code", advice) if advice else None, class_="empty")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), caption: str) -> Html:
    """Return a table; `numbers`: columns that are aligned to the right. `caption`: for those who cannot see it.

    Sentences are in the last column, which may wrap.
    """
    classes = {len(columns) - 1: "wrap", **dict.fromkeys(numbers, "num")}

    def cells(name: str, row: Sequence[str]) -> Html:
        scope = "col" if name == "th" else None
        return joined(tag(name, text, class_=classes.get(place), scope=scope) for place, text in enumerate(row))

    head = tag("thead", tag("tr", cells("th", columns)))
    body = tag("tbody", *(tag("tr", cells("td", row)) for row in rows))
    seen = tag("caption", caption, class_="unseen")
    return tag("div", tag("table", seen, head, body), class_="scroll", tabindex="0", role="region", aria_label=caption)


def badge(text: str, mood: str) -> Html:
    """Return a word in a colour that says how urgent it is."""
    return tag("span", text, class_=f"badge {mood}")

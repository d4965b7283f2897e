"""Pages that stand alone, without the pages' framework: the one that asks for the token, and the one for dead ends.

Who is not known yet gets nothing else from the server. Pure.
"""

from __future__ import annotations

from rayfleet.dashboard.markup import Html, link, tag


def login_page(action: str, said: str, token_file: str, style: str) -> str:
    """Return the page. `action`: where the form goes; `said`: what was wrong with the last try; `style`: the CSS."""
    form = tag(
        "form",
        tag("label", "Token", for_="token"),
        tag(
            "input",
            type="password",
            name="token",
            id="token",
            required=True,
            autofocus=True,
            autocomplete="current-password",
        ),
        tag("p", said, class_="wrong", role="alert") if said else None,
        tag("button", "Log in", type="submit"),
        method="post",
        action=action,
    )
    where = tag("p", "The token is in ", tag("code", token_file), " on that machine.", class_="dim")
    return _page("Log in", tag("main", tag("h1", "rayfleet"), form, where, class_="login"), style)


def dead_end(title: str, text: str, style: str) -> str:
    """Return the page for what is not there, or went wrong."""
    back = tag("p", link("All clusters", "/"))
    return _page(title, tag("main", tag("h1", title), tag("p", text), back, class_="login"), style)


def _page(title: str, main: Html, style: str) -> str:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title}: rayfleet"),
        tag("style", Html(style)),
    )
    return "<!doctype html>" + tag("html", head, tag("body", main, class_="login-body"), lang="en")

"""What is left out wherever a configuration, or a command of one, is shown, logged or kept: one rule. Pure.

By the name of its key                     `password: x`, `{name: DB_TOKEN, value: x}`
In a text, behind a name and =             `DB_PASSWORD=x`, `--api-key=x`, `?token=x`; also `--password x`
In a text, in a header or an address       `Authorization: Bearer x`, `https://user:x@host`, `https://x@host`

That there is one can still be seen. What only names a secret (`$TOKEN`, `${TOKEN}`) is no secret, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "..."

_KEY: Final = re.compile(
    r"password|passwd|passphrase|secret|accesskey|apikey|(?<!ssh)privatekey|proxycommand|credentials?$|token$"
)
"""In names of keys, without their case and `_` or `-`. What Ray calls `ssh_private_key` is the path of a file."""

_NAMED: Final = r"[\w-]*(?:password|passwd|passphrase|secret|token)"
_NAME: Final = rf"(?:{_NAMED}|(?:[\w-]*[_-])?(?:api|access|private|secret|account)?key)"
_REFERENCE: Final = r"\$(?:\w+|\{\w+\})"
_TOLD: Final = rf"""(?!\.\.\.)(?!{_REFERENCE}(?:[\s"';&|)]|$))(?!"{_REFERENCE}")"""
"""Ahead is neither what was hidden before nor what names a secret only."""
_QUOTED: Final = r"""\\"(?:(?!\\").)*\\"|"(?:\\.|[^"\\])*"|'[^']*'|`[^`]*`"""
_PLAIN: Final = r"""\$\([^)]*\)|\\[^"]|[^\s"'`;&|()<>\\]"""
# A quote within a word opens where something follows it at once; else it is the end of what the word stands in.
_VALUE: Final = rf"""(?:{_QUOTED}|{_PLAIN}|["'`][^\n]*)(?:(?=["'`][^\s;&|)"'`,\]}}])(?:{_QUOTED})|{_PLAIN})*"""
_RULES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), shown)
    for pattern, shown in (
        # Quoted as a whole, so that blanks belong to the value: -e "PASSWORD=two words"; but not bash -c "TOKEN=x run".
        (rf"""(?<!c )(?<!\\)((["'])-{{0,2}}{_NAME}=)(?!{_REFERENCE}\2)(?:\\.|(?!\2).)+(\2)""", rf"\1{HIDDEN}\3"),
        (rf"((?<![\w-])-{{0,2}}{_NAME}=){_TOLD}{_VALUE}", rf"\1{HIDDEN}"),
        (rf"((?<![\w-])--{_NAMED}[ \t]+)(?!-){_TOLD}{_VALUE}", rf"\1{HIDDEN}"),
        (rf"""(authorization["']?\s*:\s*+["']?+)(?!(?:\w+\s+)?{_REFERENCE}["'\s])[^"'\n]+""", rf"\1{HIDDEN}"),
        (rf"""(://[^\s/:@?#"']*:)(?!{_REFERENCE}@)[^\s/?#"']+@""", rf"\1{HIDDEN}@"),
        (rf"""(https?://)(?!{_REFERENCE}@)[^\s/:@?#"']+@""", rf"\1{HIDDEN}@"),
    )
)


def redacted(text: str) -> str:
    """Return a text, such as a command, without the secrets in it."""
    for pattern, shown in _RULES:
        text = pattern.sub(shown, text)
    return text


def without_secrets(value: Any, key: object = "") -> Any:
    """Return JSON without the secrets in it. `key`: the name that the value has where it is from."""
    if isinstance(value, Mapping):
        named = value.get("name", value.get("Name", value.get("key", value.get("Key", ""))))
        return {
            each: without_secrets(one, named if str(each).lower() == "value" else each) for each, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(each, key) for each in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if value and _is_secret(key) else redacted(value)


def _is_secret(key: object) -> bool:
    """Say so of a name; a path among the keys, such as that of a file to copy, is none."""
    plain = re.sub(r"[_-]", "", str(key)).lower()
    return plain.isalnum() and _KEY.search(plain) is not None

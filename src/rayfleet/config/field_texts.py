"""What a form says about its keys: the text below each field in the source, as editors show it.

Read only when somebody asks for a schema or a page: pydantic could do it for every start, and would take that long.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def field_texts(owner: type) -> dict[str, str]:
    """Return key -> text (on one line) for the fields of a class, of those that it extends too."""
    texts: dict[str, str] = {}
    for cls in reversed(owner.__mro__):
        if cls is not object and cls.__module__.partition(".")[0] != "pydantic":
            texts |= _own(cls)
    return texts


def _own(cls: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # a class that was made by a function has no source
        return {}
    texts: dict[str, str] = {}
    (node,) = tree.body
    for field, text in pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                texts[name] = " ".join(words.split())
            case _:
                pass
    return texts

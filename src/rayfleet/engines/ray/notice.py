"""How a spot machine watches for the notice that its cloud takes it back: one command, its programs included. Pure.

On a notice the machine itself has Ray drain its node, by the moment that the notice names. So no way to the controller
is needed beside Ray's own: the controller sees a node that is drained and by when it leaves (`Node.leaves_at`).
"""

from __future__ import annotations

import ast
import base64
import gzip
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rayfleet.contracts import Notices
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.wire.node_end import OWN, mark_node, own_folder

_WATCH: Final = "notice_watch.py"
_PLACE: Final = "notice.py"
_PYTHON: Final = """\
for py in "$(dirname "$(command -v ray)")/python3" python3 python; do
  "$py" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("ray"))' 2>/dev/null && break
done"""
"""The Python that Ray is installed in: beside its command in environments, else the system's."""


def command(settings: RaySettings, place: Notices) -> str:
    """Return the command line that leaves the watch running, as a part of the node that ends with it."""
    own = own_folder(settings.cluster)
    arguments = f"{own}/{_PLACE} {shlex.quote(place.url)} {shlex.quote(settings.gcs_address)}"
    log = f"{own}/notice.{OWN}.log"
    return "\n".join(
        (
            mark_node(settings.cluster),
            f"mkdir -p -m 700 {own}",
            *(_writing(f"{own}/{name}", text) for name, text in programs(place).items()),
            _PYTHON,
            # A session of its own: the shell that starts it, and its terminal, end before.
            f'setsid "$py" {own}/{_WATCH} {arguments} >> {log} 2>&1 < /dev/null &',
        )
    )


def programs(place: Notices) -> Mapping[str, str]:
    """Return what goes to the machine, by name: the watch, and what knows the place. Without what is for readers."""
    watch = Path(__file__).with_name(_WATCH).read_text(encoding="utf-8")
    return {_WATCH: _bare(watch), _PLACE: _bare(place.program)}


def _bare(program: str) -> str:
    """Return a program without comments and docstrings: user-data is small."""
    tree = ast.parse(program)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef):
            node.body = [each for each in node.body if not _is_text(each)]
    return ast.unparse(tree) + "\n"


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _writing(path: str, text: str) -> str:
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return f"echo {packed} | base64 -d | gunzip > {path}"

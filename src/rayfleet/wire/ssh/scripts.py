"""Shell text that is sent to hosts. Pure.

Everything but one short line goes over standard input: neither commands nor variables are seen in a list of processes,
and no login shell but bash has to understand how they are quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

from rayfleet.wire.ssh.session import SshError

BASH: Final = """exec bash --login -c 'exec 2>&1; IFS= read -r -d "" rayfleet_script; eval "$rayfleet_script"'"""
"""What the host is asked to run: it reads a script, up to a zero byte, and leaves the rest of its input to it.

bash reads byte by byte here, so it takes nothing that is not its own.
"""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def sent(script: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> bytes:
    """Return the whole input of BASH. SshError: a name or value that no environment can have."""
    wrong = [name for name, value in (env or {}).items() if not _NAME.fullmatch(name) or "\0" in value]
    if wrong or "\0" in script:
        raise SshError(f"cannot be sent to a shell: {', '.join(wrong) or 'a zero byte in a command'}")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in (env or {}).items()]
    return "\n".join(("unset rayfleet_script", *exports, script)).encode() + b"\0" + stdin


def path_word(path: str) -> str:
    """Return a path as one word of shell; `~` is the user's home."""
    if path in ("~", "~/"):
        return '"$HOME"'
    return f'"$HOME"/{shlex.quote(path[2:])}' if path.startswith("~/") else shlex.quote(path)


def write_script(path: str, size_bytes: int, mode: int) -> str:
    """Return a script that replaces a file by its standard input in one step, or not at all when not all has come."""
    return "\n".join(
        (
            f'set -e; path={path_word(path)}; folder="$(dirname "$path")"; mkdir -p "$folder"',
            '[ ! -d "$path" ] || { echo "$path is a folder"; exit 1; }',
            'new="$(mktemp "$folder/.rayfleet.XXXXXXXX")"; trap \'rm -f "$new"\' EXIT',
            f'cat > "$new"; [ "$(wc -c < "$new")" -eq {size_bytes} ] || {{ echo "cut off"; exit 1; }}',
            f'chmod {mode:o} "$new"; mv -f "$new" "$path"',
        )
    )

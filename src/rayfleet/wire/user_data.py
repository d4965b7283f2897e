"""What a cloud's machine runs at its first boot: a shell script for cloud-init, made from a StartScript. Pure."""

from __future__ import annotations

import shlex
from typing import Final

from rayfleet.contracts import StartScript

FOLDER: Final = "/var/lib/rayfleet"
"""The machine's own folder (RAYFLEET_MACHINE_DIR), with the start script and its log."""


def user_data(script: StartScript, *, cluster: str, own_id: str, user: str = "", authorized_key: str = "") -> str:
    """Return the script; "" when there is nothing to do.

    `own_id`: shell code that prints the machine's id, for instance from its metadata service. `user`: who runs it, root
    when "". `authorized_key`: a line for that user's authorized_keys.
    """
    if not script.argv and not authorized_key:
        return ""
    parts = ["#!/bin/bash", "set -u"]
    if authorized_key:
        parts.append(_authorize(user or "root", authorized_key))
    if script.argv:
        parts.append(_start(script, cluster, own_id, user or "root"))
    return "\n".join(parts) + "\n"


def _authorize(user: str, key: str) -> str:
    home = f"$(getent passwd {shlex.quote(user)} | cut -d: -f6)"
    return "\n".join(
        (
            f'mkdir -p -m 700 "{home}/.ssh"',
            f'grep -qxF {shlex.quote(key)} "{home}/.ssh/authorized_keys" 2>/dev/null ||',
            f'  echo {shlex.quote(key)} >> "{home}/.ssh/authorized_keys"',
            f'chown -R {shlex.quote(user)} "{home}/.ssh" && chmod 600 "{home}/.ssh/authorized_keys"',
        )
    )


def _start(script: StartScript, cluster: str, own_id: str, user: str) -> str:
    """Return lines that keep the start as a script for every boot, and run it for the first time."""
    environment = {**script.env, "RAYFLEET_CLUSTER": cluster, "RAYFLEET_MACHINE_DIR": FOLDER}
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    argv, text = _apart(script.argv)
    boot = "\n".join(("#!/bin/bash", f'export RAYFLEET_MACHINE_ID="$({own_id})"', *exports, shlex.join(argv)))
    file, boots = f"{FOLDER}/start", "/var/lib/cloud/scripts/per-boot"
    run = f"su - {shlex.quote(user)} -c 'exec {file}' >> {FOLDER}/start.log 2>&1 < /dev/null &"
    return "\n".join(
        (
            f"mkdir -p -m 700 {FOLDER} {boots}",
            f"cat > {file} <<'RAYFLEET_START'",
            boot,
            "RAYFLEET_START",
            *((f"cat > {FOLDER}/script <<'RAYFLEET_SCRIPT'", text, "RAYFLEET_SCRIPT") if text else ()),
            f"chmod 700 {file} && chown -R {shlex.quote(user)} {FOLDER}",
            f"printf '%s\\n' '#!/bin/bash' {shlex.quote(run)} > {boots}/rayfleet && chmod 700 {boots}/rayfleet",
            f"{boots}/rayfleet",
        )
    )


def _apart(argv: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return a command that runs its script from a file, and the script: all users see what is in a command line."""
    if argv[-3:-1] != ("/bin/bash", "-c"):
        return argv, ""
    return (*argv[:-3], "/bin/bash", f"{FOLDER}/script"), argv[-1]

"""What comes onto a head after its recipe, as steps like the recipe's: rayfleet, and the cluster's folder. Pure.

~/.rayfleet/.bin/rayfleet                 the command, whatever Python it needs; no cluster's name begins with a dot
~/.rayfleet/.bin/*.whl                    the wheel that was carried there
~/.local/state/rayfleet/clusters/NAME/    the cluster's folder, as `launcher.home` has it: configuration and key
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rayfleet.bootstrap.steps import Run, Step, Write
from rayfleet.launcher.remote.login import KEY, POOL_TOKEN, PUBLIC

FOLDER: Final = ".rayfleet/.bin"
COMMAND: Final = f"~/{FOLDER}/rayfleet"
HOMES: Final = ".local/state/rayfleet/clusters"

EXTRAS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "aws": ("aws", ("asyncssh", "boto3")),
    "gcp": ("gcp", ("asyncssh", "google.cloud.compute_v1")),
    "azure": ("azure", ("asyncssh", "azure.identity", "azure.mgmt.compute", "azure.mgmt.network")),
    "aliyun": ("aliyun", ("asyncssh", "alibabacloud_ecs20140526")),
}
"""Type of provider -> the extra that its clients come with, and the modules by which one knows that they are there."""
_SSH: Final = ("ssh", ("asyncssh",))


def clients(kind: str) -> tuple[str, tuple[str, ...]]:
    """Return the extra that a type of provider needs, and the modules that come with it."""
    return EXTRAS.get(kind, _SSH)


def needed(kind: str, config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the extras that a head needs for a file, with commas between them, and the modules that come with them."""
    extra, modules = clients(kind)
    alerting = (config.get("monitoring_config") or {}).get("alerting") or {}
    return (f"{extra},alerts", (*modules, "apprise")) if alerting.get("urls") else (extra, modules)


@dataclass(frozen=True, slots=True)
class Carried:
    """What a head is to have. `config`: the cluster's file as it is to be there; `key`: "" when the file names none.

    `secrets`: name of a file in the cluster's folder -> what alerts need and the file does not hold.

    `public_key`: for machines that the head launches. `pool_token`: what the coordinator of its hosts wants to see.
    """

    cluster: str
    kind: str
    version: str
    wheel_name: str
    wheel: bytes = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    key: str = field(default="", repr=False)
    public_key: str = ""
    pool_token: str = field(default="", repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def steps(carried: Carried) -> tuple[Step, ...]:
    """Return the steps that give a head rayfleet and the cluster's folder; each may be done again."""
    home = home_of(carried.cluster)
    extra, modules = needed(carried.kind, carried.config)
    wheel = f"~/{FOLDER}/{carried.wheel_name}"
    script = install_script(carried.version, extra, modules, carried.wheel_name)
    written: list[Step] = [
        Run(not_here(carried.cluster), "looking whether another rayfleet is at it here"),
        Write(wheel, carried.wheel, "carrying rayfleet", mode=0o644),
        Run(script, f"installing rayfleet {carried.version}"),
        Write(f"{home}/cluster.yaml", text_of(carried.config).encode(), "writing the cluster's configuration"),
    ]
    key: list[Step] = (
        [Write(f"{home}/{KEY}", carried.key.encode(), "writing the key of its machines")] if carried.key else []
    )
    public = [Write(f"{home}/{PUBLIC}", f"{carried.public_key}\n".encode(), "writing its public half")]
    pool = [Write(f"{home}/{POOL_TOKEN}", carried.pool_token.encode(), "writing the token of its pool of hosts")]
    hidden = [
        Write(f"{home}/{name}", f"{value}\n".encode(), "writing who is told") for name, value in carried.secrets.items()
    ]
    return (*written, *hidden, *key, *(public if carried.public_key else []), *(pool if carried.pool_token else []))


def start_step(cluster: str) -> Run:
    """Return the step that starts the controller, or leaves it alone when it runs by this configuration."""
    return verb_step("head-start", cluster, "starting the controller")


def verb_step(verb: str, cluster: str, name: str) -> Run:
    """Return the step that runs one of our hidden commands on the head."""
    return Run(f"{COMMAND} {verb} {shlex.quote(cluster)}", name)


def home_of(cluster: str) -> str:
    """Return the cluster's folder on the head."""
    return f"~/{HOMES}/{cluster}"


def text_of(config: Mapping[str, Any]) -> str:
    """Return a configuration as text: JSON, which is YAML too."""
    return json.dumps(config, indent=2, default=str) + "\n"


def not_here(cluster: str) -> str:
    """Return a script that fails on the very machine from which the cluster is launched: both need the folder."""
    note = f"$HOME/{HOMES}/{cluster}/remote.json"
    return (
        f'if [ -e "{note}" ]; then echo "this machine launches the cluster, and would be its head: '
        'set XDG_STATE_HOME to another folder for rayfleet up"; exit 1; fi'
    )


def install_script(version: str, extra: str, modules: tuple[str, ...], wheel_name: str) -> str:
    """Return a script that finds or installs this version, and leaves the command that runs it.

    A Python that has Ray is preferred, since the cluster's Ray is the one to speak with. Where the system's Python
    takes no packages, an environment of its own on top of it does. The planner's kernel, which the wheel has only as a
    source, is built where there is a C compiler; else its twin in Python plans the same, slower.
    """
    asked = shlex.quote(f"rayfleet[{extra}]=={version}")
    released = "dev" not in version and "+" not in version
    from_index = (
        f'"$py" -m pip install --quiet --disable-pip-version-check {asked} 2>/dev/null' if released else "false"
    )
    return _SCRIPT.format(
        version=shlex.quote(version),
        imports=shlex.quote("; ".join(f"import {module}" for module in modules)),
        from_index=from_index,
        wheel=shlex.quote(f"{wheel_name}[{extra}]"),
        folder=FOLDER,
    )


_SCRIPT: Final = """\
folder="$HOME/{folder}"; mkdir -p "$folder"; cd "$folder" || exit 1
new_enough() {{ "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }}
has_ray() {{
  "$1" -c 'import sys, importlib.util as u; f = u.find_spec("ray"); sys.exit(not (f and f.origin))' 2>/dev/null
}}
has_rayfleet() {{
  "$py" -c 'import sys, rayfleet; sys.exit(rayfleet.__version__ != sys.argv[1])' {version} 2>/dev/null &&
  "$py" -c {imports} 2>/dev/null
}}
of_ray="$(sed -n '1s/^#! *//p' "$(command -v ray)" 2>/dev/null)"
py=""
for each in "$folder/venv/bin/python" "$of_ray" python python3 python3.13 python3.12 python3.11; do
  each="$(command -v "$each" 2>/dev/null)" || continue
  new_enough "$each" || continue
  [ -n "$py" ] || py="$each"
  if has_ray "$each"; then py="$each"; break; fi
done
if [ -z "$py" ]; then echo "rayfleet needs Python 3.11 or later on the head; setup_commands may install it"; exit 1; fi
kernel() {{
  at="$("$py" -c 'import os, rayfleet; print(os.path.join(os.path.dirname(rayfleet.__file__), "planner", "packing"))')"
  [ -f "$at/kernel.c" ] || return 0
  rm -f "$at/_kernel.so"
  ${{CC:-cc}} -O3 -std=c99 -shared -fPIC -o "$at/_kernel.new" "$at/kernel.c" 2>/dev/null &&
    mv -f "$at/_kernel.new" "$at/_kernel.so"
  return 0
}}
install() {{
  {from_index} || {{
    "$py" -m pip install --quiet --disable-pip-version-check "$folder/"{wheel} && kernel
  }}
}}
if ! has_rayfleet; then
  if ! "$py" -m pip --version >/dev/null 2>&1 ||
     "$py" -c 'import os,sys,sysconfig; p=os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
sys.exit(not (sys.prefix == sys.base_prefix and os.path.exists(p)))'; then
    "$py" -m venv --system-site-packages "$folder/venv" && py="$folder/venv/bin/python"
  fi
  install || exit 1
  if ! has_rayfleet; then echo "rayfleet was installed into $py and cannot be imported there"; exit 1; fi
fi
printf '#!/bin/sh\\nunset XDG_STATE_HOME\\nexec "%s" -m rayfleet "$@"\\n' "$py" > "$folder/rayfleet.new"
chmod 755 "$folder/rayfleet.new" && mv -f "$folder/rayfleet.new" "$folder/rayfleet"
echo "rayfleet is run by $py"
"""

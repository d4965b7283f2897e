"""What hosts are asked, as scripts for bash, and how their answers are read. Pure.

Each answer is a line that begins with `rayfleet`: whatever else a login shell prints is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rayfleet.providers.local.lease import PATH

_BOOT: Final = 'echo "rayfleet boot $(cat /proc/sys/kernel/random/boot_id)"'
_LEASE: Final = f'if [ -e {PATH} ]; then echo "rayfleet lease $(head -c 4000 {PATH} | head -n 1)"; fi'

# The file is touched: some systems clear away what has been in /var/tmp for a month.
LOOK: Final = f"# rayfleet: look\n{_BOOT}\n{_LEASE}\ntouch -c {PATH} 2>/dev/null || true"
"""Answers `boot` and, when there is one, `lease`."""

TAKE: Final = f"""# rayfleet: take
cd {PATH.rpartition("/")[0]} || exit 1
new="$(mktemp .rayfleet-XXXXXXXX)" || exit 1
printf '%s\\n' "$RF_LEASE" > "$new" && chmod 644 "$new"
ln "$new" {PATH} 2>/dev/null && echo "rayfleet taken yes"
rm -f "$new"
{_LEASE}"""
"""Takes the host under RF_LEASE, if it is free: a link is made whole or not at all. Answers `taken` and `lease`."""

FREE: Final = f"# rayfleet: free\n{_LEASE}\nrm -f {PATH}"
"""Removes whatever lease there is: only for people who know that its holder is no more."""

RELEASE: Final = f"""# rayfleet: release
ours() {{ case "$(cat {PATH} 2>/dev/null)" in *"$RF_SIGN"*) true ;; *) false ;; esac; }}
ours || {{ echo "rayfleet released already"; exit 0; }}
mine=" "; pid=$$
while [ "${{pid:-0}}" -gt 1 ]; do mine="$mine$pid "; pid="$(awk '/^PPid:/ {{ print $2 }}' "/proc/$pid/status")"; done
marked() {{
  {{ grep -lzxF -- "RAYFLEET_CLUSTER=$RF_CLUSTER" /proc/[0-9]*/environ 2>/dev/null
     echo --
     grep -sE '^PPid:' /proc/[0-9]*/status; }} | awk -v mine="$mine" -v own="$$" '
    $0 == "--" {{ second = 1; next }}
    {{ split($1, part, "/") }}
    !second {{ tagged[part[3]] = 1; next }}
    {{ parent[part[3]] = $NF }}
    END {{
      for (pid in parent) {{
        marked = 0
        for (at = pid; at > 1 && (at in parent) && at != own; at = parent[at]) if (at in tagged) marked = 1
        if (marked && at != own && index(mine, " " pid " ") == 0) print pid
      }}
    }}'
}}
living() {{ for pid in $(marked); do grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$pid/status" && echo "$pid"; done; }}
left="$(living)"
[ -z "$left" ] || kill -TERM $left 2>/dev/null
steps=0
while left="$(living)"; ours && [ -n "$left" ] && [ "$steps" -lt "$RF_STEPS" ]; do sleep 0.2; steps=$((steps + 1)); done
steps=0
while left="$(living)"; ours && [ -n "$left" ] && [ "$steps" -lt 25 ]; do
  kill -KILL $left 2>/dev/null; sleep 0.2; steps=$((steps + 1))
done
ours || {{ echo "rayfleet released already"; exit 0; }}
[ -z "$left" ] || {{ echo "rayfleet left" $left; exit 4; }}
rm -f {PATH} && echo "rayfleet released yes"
"""
"""Ends everything with the mark of RF_CLUSTER, and all that descends from it, and drops the lease that has RF_SIGN.

Over as soon as the lease is another one: another call was faster, and what runs now belongs to whoever took the host
since. By process id, politely first: RF_STEPS times 0.2 s. This shell, those that it runs in and what it starts are
spared. Answers `released`, or `left` with the processes that could not be ended.
"""

_PYTHON: Final = (
    "import platform as p, importlib.metadata as m\n"
    "print('rayfleet python', p.python_version())\n"
    "try:\n print('rayfleet ray', m.version('ray'))\n"
    "except m.PackageNotFoundError:\n pass\n"
)

_VERSIONS: Final = f"""for python in python python3; do
  if command -v $python >/dev/null; then $python -c "{_PYTHON}" 2>/dev/null && break; fi
done
"""

BRIEF_PROBE: Final = f"""# rayfleet: probe
{_BOOT}
echo "rayfleet now $(date +%s.%N)"
for folder in "$HOME" /tmp; do
  echo "rayfleet disk $folder $(df -Pk "$folder" | awk 'NR == 2 {{ print $4 }}')"
done
ports="$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" {{ sub(/.*:/, "", $2); print $2 }}')"
echo "rayfleet ports" $ports
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo "rayfleet sudo yes"; fi
echo "rayfleet cpus $(getconf _NPROCESSORS_ONLN)"
echo "rayfleet memory $(awk '/^MemTotal:/ {{ print $2 }}' /proc/meminfo)"
for program in rsync docker; do if command -v $program >/dev/null; then echo "rayfleet program $program"; fi; done
{_LEASE}"""
"""Answers what `preflight` judges, but for the versions of Python and Ray: starting Python takes longest of all."""

PROBE: Final = f"{BRIEF_PROBE}\n{_VERSIONS}true"
"""Answers everything that `preflight` judges."""


def answers(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return the answers by their first word, each in the order of its lines."""
    found: dict[str, list[str]] = {}
    for line in lines:
        mark, _, rest = line.partition(" ")
        if mark == "rayfleet":
            word, _, value = rest.partition(" ")
            found.setdefault(word, []).append(value)
    return found

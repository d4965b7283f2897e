"""What a machine is told by its metadata: who may log in, and the script that it runs at every boot. Pure."""

from __future__ import annotations

import shlex
from typing import Final

from rayfleet.contracts import Login, StartScript
from rayfleet.wire.user_data import FOLDER, user_data

_HOST: Final = f"{FOLDER}/metadata-host"
"""Where GCE_METADATA_HOST is kept, when the script is run with it, for the user's own shell does not inherit it."""
_ASK: Final = (
    'curl -sf --retry 10 --retry-connrefused -H "Metadata-Flavor: Google" "http://'
    f"${{GCE_METADATA_HOST:-$(cat {_HOST} 2> /dev/null || echo metadata.google.internal)}}"
    "/computeMetadata/v1/instance/"
)
NAME: Final = f'{_ASK}name"'
"""Prints the machine's own name, which is its id here."""
TPU_HOST: Final = f'{_ASK}attributes/instance-id"; printf -- -w; {_ASK}attributes/agent-worker-number"'
"""Prints the id of a host of a slice: the slice's name and the host's number."""

_KEEP: Final = (
    f'[ -z "${{GCE_METADATA_HOST:-}}" ] || {{ mkdir -p -m 700 {FOLDER} && echo "$GCE_METADATA_HOST" > {_HOST}; }}'
)
_OTHER_BOOTS: Final = "/var/lib/cloud/scripts/per-boot/rayfleet"
_USER_WAIT_S: Final = 60


def metadata(script: StartScript, login: Login, cluster: str, own_id: str = NAME) -> dict[str, str]:
    """Return the items of a machine's metadata."""
    items = {}
    if login.public_key and login.user:
        items["ssh-keys"] = f"{login.user}:{login.public_key}"
    if text := startup_script(script, login.user, cluster, own_id):
        items["startup-script"] = text
    return items


def startup_script(script: StartScript, user: str, cluster: str, own_id: str = NAME) -> str:
    """Return the script, "" when there is nothing to do.

    Google's agent runs the whole of it at every boot, so that cloud-init must not start the same once more. And the
    agent makes logins beside it, so that it has to wait for its user.
    """
    text = user_data(script, cluster=cluster, own_id=own_id, user=user)
    if not text:
        return ""
    first, _, rest = text.partition("\n")
    return "\n".join((first, _KEEP, *_wait_for(user), rest.rstrip(), f"rm -f {_OTHER_BOOTS}", ""))


def _wait_for(user: str) -> tuple[str, ...]:
    if user in {"", "root"}:
        return ()
    name = shlex.quote(user)
    return (
        f"for _ in $(seq {_USER_WAIT_S}); do id -u {name} > /dev/null 2>&1 && break; sleep 1; done",
        f"id -u {name} > /dev/null 2>&1 || useradd -m -s /bin/bash {name}",
    )

"""Ray for a machine whose image and set-up commands have brought none: a command line. Pure."""

from __future__ import annotations

import shlex
from typing import Final

FOLDER: Final = "$HOME/.rayfleet/.ray"
"""Where it goes, so that no package of the system's is touched. No cluster's name begins with a dot."""
FIRST: Final = f'[ ! -x "{FOLDER}/bin/ray" ] || export PATH="{FOLDER}/bin:$PATH"'
"""A line of shell after which `ray` and `python` are those, where they were needed."""

_SCRIPT: Final = """\
if command -v ray >/dev/null 2>&1; then exit 0; fi
for py in python3 python3.13 python3.12 python3.11 none; do
  "$py" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
if [ "$py" = none ]; then
  echo "there is neither Ray nor a Python 3.11 to install it with: choose an image that has one, or add setup_commands"
  exit 1
fi
if ! "$py" -m venv "{folder}" >/dev/null 2>&1; then
  # Debian and Ubuntu ship the module in a package of its own, which their images for clouds do not have.
  sudo -n apt-get update -qq && sudo -n apt-get install -y -qq python3-venv || exit 1
  "$py" -m venv "{folder}" || exit 1
fi
"{folder}/bin/python" -m pip install --quiet --disable-pip-version-check {wanted}
"""


def installation(version: str) -> str:
    """Return a command line that sees to it that there is a Ray; of this very version where there was none."""
    return _SCRIPT.format(folder=FOLDER, wanted=shlex.quote(f"ray[default]=={version}"))

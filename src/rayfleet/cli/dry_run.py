"""`up --dry-run`: what would be done, and what it costs. Offline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rayfleet.cli.terminal import print_json

if TYPE_CHECKING:
    from rayfleet.launcher.spec import Wanted


def show_dry_run(wanted: Wanted, *, as_json: bool) -> None:
    """Print what `up` would do with a cluster."""
    from rayfleet.launcher.dry_run import dry_run
    from rayfleet.launcher.home import Home, root
    from rayfleet.launcher.spec import stored

    before = None if wanted.fresh else stored(Home(root() / wanted.name))
    found = dry_run(wanted.spec, before, now=time.time())
    if as_json:
        print_json(found.as_json())
    else:
        print("\n".join(found.lines()))

"""Ray inside of the process that asks. It reads its variables once, when it is imported, which may be over."""

from __future__ import annotations

import sys


def read_variables_again() -> None:
    """Have Ray take note that the authentication variables have changed. Nothing happens when it is not imported."""
    if "ray" not in sys.modules:
        return
    from ray._raylet import AuthenticationTokenLoader, Config

    # In this order: a thread that is still ending would otherwise look for the old token under the old mode.
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def disconnect() -> None:
    """End this process's connection to its cluster, if Ray is imported and has one."""
    if "ray" not in sys.modules:
        return
    import ray

    if ray.is_initialized():
        ray.shutdown()

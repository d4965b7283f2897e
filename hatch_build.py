"""The package's own build step: the planner's kernel, from C.

Plain C without Python's headers, so that one library serves every Python; `cc` or `$CC` builds it. Without a compiler
the package is built all the same, and plans with the same kernel in Python: slower, the same plans.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/rayfleet/planner/packing")
SOURCE, LIBRARY = "kernel.c", "_kernel.so"


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]  # generic only for hatchling's own configuration
    """Builds the library beside its source, where an editable install finds it, and puts it into wheels."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it; tell where there is no compiler."""
        del version
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / FOLDER
        if not self._compiled(folder):
            return
        build_data["artifacts"].append(f"{FOLDER}/{LIBRARY}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def _compiled(self, folder: Path) -> bool:
        compiler = shlex.split(os.environ.get("CC", "cc"))
        made = folder / f"{LIBRARY}.{os.getpid()}"
        command = [*compiler, "-O3", "-std=c99", "-shared", "-fPIC", "-o", str(made), str(folder / SOURCE)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            self.app.display_warning(f"rayfleet plans without its kernel in C (slower, the same plans): {said}")
            return False
        made.replace(folder / LIBRARY)
        return True

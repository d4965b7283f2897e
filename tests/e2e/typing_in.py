"""A reader of a page of the documentation, who saves its files and types its commands."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.unit.docs.pages import DOCS, SHELLS, blocks, typed

LINE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Reader:
    """`page`: below docs/. `folder`: where the reader works; its state is kept there, too."""

    page: str
    folder: Path

    def save_files(self, changes: Mapping[str, str] = MappingProxyType({})) -> None:
        """Save what the page says is a file, with other words where the reader's own belong."""
        for block in blocks(DOCS / self.page):
            if name := block.marks.get("file"):
                text = block.text
                for theirs, own in changes.items():
                    text = text.replace(theirs, own)
                (self.folder / name).write_text(text, encoding="utf-8")

    def lines(self, without: tuple[str, ...] = ()) -> list[str]:
        """Return what the page has typed, in its order, but for lines with these words; comments are left out."""
        found = [line for block in blocks(DOCS / self.page) if block.language in SHELLS for line in typed(block)]
        plain = [shlex.join(shlex.split(line, comments=True)) for line in found]
        return [line for line in plain if not any(word in line for word in without)]

    def type(self, line: str, *, anyhow: bool = False) -> str:
        """Type a line and return what is printed; it must end well."""
        environment = {
            **os.environ,
            "PATH": f"{self._programs()}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_STATE_HOME": str(self.folder / "state"),
            "NO_COLOR": "1",
        }
        ended = subprocess.run(
            ["bash", "-c", line], env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LINE_TIMEOUT_S, check=False,
        )  # fmt: skip
        assert anyhow or ended.returncode == 0, f"{line}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def shown_after(self, line: str) -> str:
        """Return the block of output that follows a command on the page."""
        found = list(blocks(DOCS / self.page))
        at = next(n for n, block in enumerate(found) if block.language in SHELLS and line in block.text)
        return next(block.text for block in found[at:] if block.language == "text")

    def _programs(self) -> Path:
        """Return a folder with the command `rayfleet` of this very tree."""
        folder = self.folder / "bin"
        if not folder.exists():
            folder.mkdir()
            program = folder / "rayfleet"
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rayfleet "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        return folder

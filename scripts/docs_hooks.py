"""What the documentation gets while it is built: the list of decision notes, and the reference made from the code.

A note is a file `docs/decisions/NNNN-title.md` that opens with a heading and has a line `Status: ...`; whoever adds
one changes no other file.
"""

from pathlib import Path
from typing import Any

import reference_pages

PLACE = "<!-- notes -->"  # where decisions/index.md wants the table
NUMBER_DIGITS = 4


def notes(docs: Path) -> list[Path]:
    """List the notes in the order of their numbers; the template (0000) is none."""
    found = sorted((docs / "decisions").glob("[0-9]" * NUMBER_DIGITS + "-*.md"))
    return [path for path in found if not path.name.startswith("0" * NUMBER_DIGITS)]


def on_config(config: Any) -> Any:
    """Add every note to the section that holds decisions/index.md."""
    for section in config["nav"]:
        for pages in section.values():
            if isinstance(pages, list) and "decisions/index.md" in pages:
                pages.extend(f"decisions/{path.name}" for path in notes(Path(config["docs_dir"])))
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Put the table of notes where the index asks for it, and each generated part of the reference into its page."""
    folder, _, name = page.file.src_uri.removesuffix(".md").rpartition("/")
    if folder == "reference" and name in reference_pages.PARTS:
        return reference_pages.filled(name, markdown)
    if page.file.src_uri != "decisions/index.md":
        return markdown
    if PLACE not in markdown:
        message = f"docs/decisions/index.md has lost its {PLACE}"
        raise ValueError(message)
    rows = [row(path) for path in notes(Path(config["docs_dir"]))]
    return markdown.replace(PLACE, "\n".join(["| note | status |", "|---|---|", *rows]))


def row(path: Path) -> str:
    """Make one line of the table from the note's heading and status."""
    lines = path.read_text(encoding="utf-8").splitlines()
    title = next(line.removeprefix("# ") for line in lines if line.startswith("# "))
    status = next(line.removeprefix("Status: ") for line in lines if line.startswith("Status: "))
    return f"| [{title}]({path.name}) | {status} |"

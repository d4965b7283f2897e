"""Writes docs/guides.md from the catalogue of the guides; `--check` only says whether it is up to date.

python scripts/guides_page.py [--check]
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guides.md"


def main(arguments: list[str]) -> int:
    """Write or check the page; return the exit code."""
    sys.path.insert(0, str(ROOT))
    from tests.guides.catalogue import page

    text = page()
    if arguments == ["--check"]:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if current != text:
            print(f"{PAGE.relative_to(ROOT)} is not what the catalogue says: python scripts/guides_page.py")
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

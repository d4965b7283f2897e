"""Render the golden manifests anew, with helm: python tests/unit/deploy/make_goldens.py; then look at what changed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from scripts.charts import helm
from tests.unit.deploy.cases import CASES


def main() -> None:
    """Write all of them."""
    for case in CASES:
        case.golden.write_text(helm(*case.command()), encoding="utf-8")


if __name__ == "__main__":
    main()

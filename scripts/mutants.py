"""What a mutation run has found (`make mutants`): a table by file, and how each mutant that no test noticed differs.

python scripts/mutants.py [--diffs] [FOLDER]      reads what mutmut has left in FOLDER (`mutants`)

It may be asked while mutmut runs. Times are of the test runs alone, in seconds of the clock.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

FATES = {None: "not run", 0: "survived", 1: "killed", 3: "killed", 5: "no test", 33: "no test", 37: "mypy"}
"""What mutmut's exit codes mean; any other is a mutant that was ended because its tests did not end."""
COLUMNS = ("made", "mypy", "killed", "timed out", "survived", "no test", "not run")


@dataclass(frozen=True, slots=True)
class Mutated:
    """A file and what became of each of its mutants, by name."""

    path: Path
    fates: dict[str, str]
    seconds: float

    @classmethod
    def read(cls, meta: Path) -> "Mutated":
        """Read mutmut's record of one file."""
        told = json.loads(meta.read_text(encoding="utf-8"))
        fates = {name: FATES.get(code, "timed out") for name, code in told["exit_code_by_key"].items()}
        return cls(meta.with_suffix(""), fates, sum(told["durations_by_key"].values()))

    def survivors(self) -> Iterator[tuple[str, str]]:
        """Yield name with fate, and difference, of every mutant that no test has noticed."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        spans = json.loads(Path(f"{self.path}.spans").read_text(encoding="utf-8"))["spans"]
        for name, fate in self.fates.items():
            if fate in ("survived", "no test"):
                own = name.rpartition(".")[2]
                before = _source(lines, spans, f"{own.rpartition('__mutmut_')[0]}__mutmut_orig")
                differs = unified_diff(before, _source(lines, spans, own), n=1, lineterm="")
                yield f"{name}: {fate}", "\n".join(line for line in differs if not line.startswith(("---", "+++")))


def _source(lines: list[str], spans: dict[str, list[int]], name: str) -> list[str]:
    """Return the lines of a function under the name that all its mutants share."""
    first, last = spans[name]
    while f"def {name}(" not in lines[first - 1]:
        first += 1
    return [line.replace(name, name.rpartition("__mutmut_")[0]) for line in lines[first - 1 : last]]


def table(files: list[Mutated]) -> str:
    """Return counts by file, as Markdown."""
    rows = ["| file | " + " | ".join(COLUMNS) + " | seconds |", "|---|" + "---:|" * (len(COLUMNS) + 1)]
    total: Counter[str] = Counter()
    for file in files:
        counts = Counter(file.fates.values())
        counts["made"] = len(file.fates)
        total += counts
        rows.append(_row(f"`{file.path.name}`", counts, file.seconds))
    rows.append(_row("all", total, sum(file.seconds for file in files)))
    return "\n".join(rows)


def _row(name: str, counts: Counter[str], seconds: float) -> str:
    return f"| {name} | " + " | ".join(str(counts[column]) for column in COLUMNS) + f" | {seconds:.0f} |"


def main() -> None:
    """Print the table, and with `--diffs` the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("mutants"))
    parser.add_argument("--diffs", action="store_true")
    asked = parser.parse_args()
    files = [Mutated.read(meta) for meta in sorted(asked.folder.rglob("*.py.meta"))]
    for file in files if asked.diffs else ():
        for name, difference in file.survivors():
            print(f"{name}\n{difference}\n")
    print(table([file for file in files if file.fates]))


if __name__ == "__main__":
    main()

"""A mutation run over the planner (`make mutants`): does a test fail when the planner is changed in a small way?

python scripts/mutants.py [--sample N] [--longest SECONDS] [--diffs] [NAME ...]  NAME: `room.*`, `layout._first:12`

mutmut makes the changes; everything else is here, as it costs a hundredth that way: pytest imports and collects once,
and each mutant is a forked child that puts the changed code into the function and runs, the quickest first, the
tests that reach it, up to the first failure. What it finds stays in `mutants/`; stopped and started again it goes on.
"""

import __future__

import argparse
import ast
import gc
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from fnmatch import fnmatch
from functools import partial
from itertools import groupby
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any, cast

import pytest
from _pytest.runner import runtestprotocol

ROOM = Path("src/rayfleet/planner")
OUT = Path("mutants")
TESTS = ("tests/unit/planner", "tests/golden")
SELECTED = (
    *TESTS,
    # Some seconds each on the standing set; and plans made by another process, which the change does not reach.
    "--ignore=tests/unit/planner/packing/test_gates.py",
    "--deselect=tests/golden/test_plans.py::test_plans_are_the_same_whatever_the_hash_seed",
    *("-m", "not ray and not slow and not guides and not e2e"),
    *("-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler", "--tb=no", "--assert=plain"),
)
# Not as in pyproject: a changed copy of a function beside the function itself is what is to be judged, nothing else.
MYPY = ("--config-file=", "--strict", "--explicit-package-bases", "--ignore-missing-imports", "--output=json")
COLUMNS = ("made", "drawn", "mypy", "run", "killed", "ended", "survived", "no test")
"""Of the mutants that were `made`, so many were drawn and mypy refused so many of these. `ended`: it did not end in its
time, or crashed."""
DRAWN = 4
"""So many are drawn for each that is to be run: mypy refuses two of three."""
MEMORY_BYTES = 6 * 2**30
"""What a mutant may take: one that fills memory without end must not take the machine's."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one function: `file` and `function` as `packing/slow.py` and `Class.method`, and its text.

    `lines`: those of the changed statement in the file.
    """

    file: str
    function: str
    number: int
    text: str
    before: str
    lines: range

    @property
    def where(self) -> str:
        """The function's name within the planner."""
        return f"{self.file.removesuffix('.py').replace('/', '.')}.{self.function}"

    @property
    def name(self) -> str:
        """The name under which it is asked for."""
        return f"{self.where}:{self.number}"

    @property
    def key(self) -> str:
        """What it is remembered by."""
        return _hash(self.file, self.function, self.text)

    @property
    def place(self) -> int:
        """Its place in the order in which a sample is taken: as good as chance, the same each time."""
        return zlib.crc32(self.name.encode())

    def told(self, fate: str) -> str:
        """What became of it, and what is changed, as a diff."""
        lines = unified_diff(self.before.splitlines(), self.text.splitlines(), n=1, lineterm="")
        return f"{self.name}: {fate}\n" + "".join(f"{line}\n" for line in lines if not line.startswith(("---", "+++")))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


# ---- what is changed ------------------------------------------------------------------------------------------------


def made(path: Path) -> list[Mutant]:
    """Make every mutant of a file; remembered by its text."""
    file, text = path.relative_to(ROOM).as_posix(), path.read_text(encoding="utf-8")
    kept = OUT / "made" / f"{_hash(file, text)}.py"
    if not kept.exists():
        from mutmut.mutation.file_mutation import mutate_file_contents

        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(mutate_file_contents(str(path), text).code, encoding="utf-8")
    code = kept.read_text(encoding="utf-8")
    lines = code.splitlines()
    found: list[Mutant] = []
    before = ""
    at = {_name(owner, node): node for owner, node in _owned(ast.parse(text))}
    for node in _functions(ast.parse(code)):
        stem, _, number = node.name.partition("__mutmut_")
        if number:
            plain = stem.rpartition("ǁ")[2] if "ǁ" in stem else stem.removeprefix("x_")
            body = "\n".join(lines[_first(node) - 1 : node.end_lineno]).replace(node.name, plain, 1)
            if number == "orig":
                before = body
            else:
                owner = stem.split("ǁ")[1] + "." if "ǁ" in stem else ""
                lines_at = _changed(at[owner + plain], before.splitlines(), body.splitlines())
                found.append(Mutant(file, owner + plain, int(number), body, before, lines_at))
    return found


def _changed(function: ast.FunctionDef, before: list[str], after: list[str]) -> range:
    """Return the lines of the innermost statement that is changed; of one with a block, those above the block."""
    same = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after) - 1)
    line = _first(function) + same
    inside = [n for n in ast.walk(function) if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or 0)]
    innermost = max(inside, key=lambda statement: statement.lineno)
    if innermost is function:
        return range(_first(function), (function.end_lineno or 0) + 1)
    block = getattr(innermost, "body", None)
    return range(innermost.lineno, block[0].lineno if block else (innermost.end_lineno or 0) + 1)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (one for one in inside if isinstance(one, ast.FunctionDef))


def _first(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


# ---- what strict mypy refuses ---------------------------------------------------------------------------------------


def refused(mutants: list[Mutant]) -> set[str]:
    """Return the names of those that mypy refuses: they cannot land either. Remembered by what they are."""
    path = OUT / "refused.json"
    known: dict[str, bool] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    new = [mutant for mutant in mutants if mutant.key not in known]
    if new:
        found = _typed(new)
        known |= {mutant.key: mutant.name in found for mutant in new}
        path.write_text(json.dumps(known), encoding="utf-8")
    return {mutant.name for mutant in mutants if known[mutant.key]}


def _typed(mutants: list[Mutant]) -> set[str]:
    """Write each mutant under a name of its own below its function, and let mypy read them all at once."""
    tree = OUT / "typed"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree("src", tree)
    at: dict[tuple[str, int], str] = {}
    for file, those in groupby(sorted(mutants, key=lambda mutant: mutant.file), key=lambda mutant: mutant.file):
        path = tree / ROOM.relative_to("src") / file
        lines = [(line, "") for line in path.read_text(encoding="utf-8").splitlines()]
        ends = {_name(owner, node): node.end_lineno or 0 for owner, node in _owned(ast.parse(path.read_text("utf-8")))}
        for mutant in sorted(those, key=lambda mutant: -ends[mutant.function]):
            plain = mutant.function.rpartition(".")[2]
            text = mutant.text.replace(f"def {plain}(", f"def {plain}__{mutant.number}(", 1)
            lines[ends[mutant.function] : ends[mutant.function]] = [(line, mutant.name) for line in text.splitlines()]
        path.write_text("\n".join(line for line, _ in lines) + "\n", encoding="utf-8")
        at.update({(str(path), number): name for number, (_, name) in enumerate(lines, 1) if name})
    command = [sys.executable, "-m", "mypy", *MYPY, str(tree / ROOM.relative_to("src"))]
    told = subprocess.run(
        command, env={**os.environ, "MYPYPATH": str(tree)}, capture_output=True, text=True, check=False
    )
    if told.returncode not in (0, 1):
        sys.exit(f"mypy: {told.stderr or told.stdout}")
    errors = [json.loads(line) for line in told.stdout.splitlines()]
    return {at.get((error["file"], error["line"]), "") for error in errors if error["severity"] == "error"} - {""}


def _owned(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = node.name if isinstance(node, ast.ClassDef) else ""
        yield from ((owner, one) for one in inside if isinstance(one, ast.FunctionDef))


def _name(owner: str, node: ast.FunctionDef) -> str:
    return f"{owner}.{node.name}" if owner else node.name


# ---- running --------------------------------------------------------------------------------------------------------


def put_in(mutant: Mutant) -> None:
    """Give the function the changed code, wherever it has been imported to."""
    module = sys.modules[
        f"rayfleet.planner.{mutant.file.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")
    ]
    owner, _, plain = mutant.function.rpartition(".")
    text = f"class {owner}:\n{mutant.text}" if owner else mutant.text
    tree = ast.parse(text)
    (node,) = _functions(tree)
    node.decorator_list = []
    made: dict[str, Any] = {}
    code = compile(tree, str(ROOM / mutant.file), "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True)
    exec(code, dict(vars(module)), made)  # noqa: S102 - our own source, with one small change
    changed = vars(made[owner])[plain] if owner else made[plain]
    target = vars(getattr(module, owner))[plain] if owner else getattr(module, plain)
    target = cast("FunctionType", getattr(target, "__func__", target))
    target.__code__ = changed.__code__
    target.__defaults__, target.__kwdefaults__ = changed.__defaults__, changed.__kwdefaults__


@dataclass(frozen=True, slots=True)
class Reach:
    """How long each test takes, and which tests run each line (`room.py:45`). `key`: of which planner and tests."""

    seconds: dict[str, float]
    lines: dict[str, list[str]]
    key: str

    def tests(self, mutant: Mutant, longest_s: float) -> list[str]:
        """Return the tests that run the changed statement, the quickest first."""
        found = {name for line in mutant.lines for name in self.lines.get(f"{mutant.file}:{line}", ())}
        return sorted((n for n in found if self.seconds[n] <= longest_s), key=lambda n: (self.seconds[n], n))


class Run:
    """Pytest's loop over the tests, taken over: one loop per mutant, each in a child of its own."""

    def __init__(self, mutants: list[Mutant], longest_s: float) -> None:
        self.mutants, self.longest_s = mutants, longest_s
        self.items: dict[str, pytest.Item] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run each mutant, and write down what became of it."""
        self.items = {item.nodeid: item for item in session.items}
        reach = self._reach()
        known = fates()
        gc.freeze()
        with (OUT / "fates.jsonl").open("a", encoding="utf-8", buffering=1) as out:
            for count, mutant in enumerate(self.mutants, 1):
                before = known.get(mutant.name, {})
                told = {"name": mutant.name, "key": mutant.key, "tests": f"{reach.key} {self.longest_s}"}
                if before.get("key") == told["key"] and (
                    before["fate"] in ("killed", "ended") or before["tests"] == told["tests"]
                ):
                    continue
                start = time.monotonic()
                fate = self._fate(mutant, reach)
                seconds = round(time.monotonic() - start, 2)
                out.write(json.dumps({**told, "fate": fate, "seconds": seconds}) + "\n")
                if fate in ("survived", "no test"):
                    print(f"{mutant.told(fate)}({count} of {len(self.mutants)}, {seconds} s)\n", flush=True)
        return True

    def _reach(self) -> Reach:
        """Run every test once as it is; remembered, file by file, by the text of the planner and of the tests."""
        shared = [
            path.read_text("utf-8")
            for top in (str(ROOM), *TESTS)
            for path in sorted(Path(top).rglob("*.py"))
            if not path.name.startswith("test_")
        ]
        seconds: dict[str, float] = {}
        lines: dict[str, list[str]] = {}
        (OUT / "reach").mkdir(parents=True, exist_ok=True)
        keys: list[str] = []
        for path, those in groupby(self.items.items(), key=lambda item: item[1].path):
            keys.append(_hash(*shared, path.read_text(encoding="utf-8")))
            kept, items = OUT / "reach" / f"{path.stem}-{keys[-1]}.json", dict(those)
            if not kept.exists() and _in_child(partial(_measure, items, kept)):
                sys.exit("a test fails without any change: see `make test`")
            told = json.loads(kept.read_text(encoding="utf-8"))
            seconds.update(told["seconds"])
            for at, names in told["lines"].items():
                lines.setdefault(at, []).extend(names)
        return Reach(seconds, lines, _hash(*keys))

    def _fate(self, mutant: Mutant, reach: Reach) -> str:
        tests = reach.tests(mutant, self.longest_s)

        def child() -> int:
            limit = int(3 + 2 * sum(reach.seconds[name] for name in tests))
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            put_in(mutant)
            return int(any(_fails(self.items[name]) for name in tests))

        return {0: "survived", 1: "killed"}.get(_in_child(child), "ended") if tests else "no test"


def _measure(items: dict[str, pytest.Item], kept: Path) -> int:
    """Write down how long each test takes and which lines of the planner it runs; 1: it fails."""
    inside = f"{ROOM.resolve()}/"
    seconds: dict[str, float] = {}
    lines: dict[str, list[str]] = {}
    seen: set[tuple[str, int]] = set()

    def line(frame: FrameType, _event: str, _arg: object) -> Any:
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, arg: object) -> Any:
        return line(frame, event, arg) if frame.f_code.co_filename.startswith(inside) else None

    for name, item in items.items():
        seen.clear()
        start = time.process_time()
        sys.settrace(call)
        failed = _fails(item)
        sys.settrace(None)
        if failed:
            os.write(2, f"{name} fails\n".encode())
            return 1
        seconds[name] = round(time.process_time() - start, 4)
        for file, at in seen:
            lines.setdefault(f"{file.removeprefix(inside)}:{at}", []).append(name)
    kept.write_text(json.dumps({"seconds": seconds, "lines": lines}), encoding="utf-8")
    return 0


def _fails(item: pytest.Item) -> bool:
    """Run a test: without pytest's ado, which takes longer than most tests, where it has no fixtures."""
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    if not isinstance(item, pytest.Function) or not set(item.fixturenames) <= set(given):
        return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))
    try:
        item.obj(**given)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it is, the change was noticed
        return True
    return False


def _in_child(work: Any) -> int:
    """Do it in a child without output; return 0 or 1, or something else when it was ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = work()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


# ---- what was found -------------------------------------------------------------------------------------------------


def fates() -> dict[str, dict[str, Any]]:
    """Return what is written about each mutant, the last word."""
    path = OUT / "fates.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {told["name"]: told for told in map(json.loads, lines)}


def table(mutants: list[Mutant], drawn: list[Mutant], no: set[str], chosen: list[Mutant]) -> str:
    """Return counts by file, as Markdown."""
    rows = ["| file | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    total: Counter[str] = Counter()
    known = fates()
    for file in sorted({mutant.file for mutant in mutants}):
        told = [known.get(mutant.name, {}) | {"same": mutant.key} for mutant in chosen if mutant.file == file]
        counts = Counter(each["fate"] for each in told if each.get("key") == each["same"])
        counts["run"] = counts.total()
        counts["made"] = sum(mutant.file == file for mutant in mutants)
        counts["drawn"] = sum(mutant.file == file for mutant in drawn)
        counts["mypy"] = sum(mutant.file == file and mutant.name in no for mutant in drawn)
        total += counts
        rows.append(_row(f"`{file}`", counts))
    return "\n".join([*rows, _row("all", total)])


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {name} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |"


def sample(mutants: Iterable[Mutant], per_file: int | None) -> list[Mutant]:
    """Return so many of each file, turn about, so that a run that is stopped has had as many of each.

    A larger sample holds the smaller one.
    """
    ordered = sorted(mutants, key=lambda mutant: (mutant.file, mutant.place))
    ranked = [(n, one) for _, those in groupby(ordered, key=lambda mutant: mutant.file) for n, one in enumerate(those)]
    chosen = [(n, one) for n, one in ranked if per_file is None or n < per_file]
    return [one for _, one in sorted(chosen, key=lambda pair: pair[0])]


def main() -> None:
    """Run what is asked for, and print the table, and with `--diffs` the survivors once more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["*"], metavar="NAME")
    parser.add_argument("--sample", type=int, metavar="N", help="so many of each file, as good as chance (all)")
    parser.add_argument("--longest", type=float, default=0.2, metavar="SECONDS", help="leave out longer tests (0.2)")
    parser.add_argument("--diffs", action="store_true", help="run nothing: show what has survived")
    asked = parser.parse_args()
    mutants = [one for path in sorted(ROOM.rglob("*.py")) for one in made(path)]
    mutants = [one for one in mutants if any(fnmatch(one.name, name) for name in asked.names)]
    drawn = sample(mutants, asked.sample and DRAWN * asked.sample)
    no = refused(drawn)
    chosen = sample((one for one in drawn if one.name not in no), asked.sample)
    if not asked.diffs:
        pytest.main([*SELECTED], plugins=[Run(chosen, asked.longest)])
    known = fates()
    for mutant in chosen if asked.diffs else ():
        if known.get(mutant.name, {}).get("fate") in ("survived", "no test"):
            print(mutant.told(known[mutant.name]["fate"]))
    print(table(mutants, drawn, no, chosen))


if __name__ == "__main__":
    main()

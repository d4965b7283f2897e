"""Is a host fit for use? What its probe has answered -> what is wrong with it, for provider and people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rayfleet.providers.local.scripts import answers

GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Facts:
    """What a host says of itself. `python`, `ray`: versions, "" when there is none. `now`: its clock.

    `disk_free_bytes`: by folder. `ports`: in use. `lease`: the text of the lease on it.
    """

    boot: str
    now: float
    python: str
    ray: str
    disk_free_bytes: tuple[tuple[str, int], ...]
    ports: frozenset[int]
    sudo: bool
    cpus: int
    memory_bytes: int
    programs: frozenset[str]
    lease: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a host should be like. `python`, `ray`: versions, "": any or none. `ports`: must be free.

    `asked_at`, `answered_at`: our clock before and after the probe. `*_needed`: without it the host is of no use.
    """

    asked_at: float
    answered_at: float
    python: str = ""
    ray: str = ""
    python_needed: bool = False
    ray_needed: bool = False
    sudo_needed: bool = False
    clock_skew_max_s: float = 60.0
    disk_free_min_bytes: int = GIB
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be. `fatal`: the host cannot be used."""

    what: str
    text: str
    fatal: bool


def read(lines: Iterable[str]) -> Facts | None:
    """Return the facts in a probe's output; None: it was none."""
    found = answers(lines)
    first = {word: values[0] for word, values in found.items()}
    try:
        return Facts(
            boot=first["boot"],
            now=float(first["now"]),
            python=first.get("python", ""),
            ray=first.get("ray", ""),
            disk_free_bytes=tuple(map(_disk, found.get("disk", []))),
            ports=frozenset(int(port, 16) for port in first.get("ports", "").split()),
            sudo="sudo" in first,
            cpus=int(first.get("cpus") or 0),
            memory_bytes=1024 * int(first.get("memory") or 0),
            programs=frozenset(found.get("program", ())),
            lease=first.get("lease", ""),
        )
    except (KeyError, ValueError):
        return None


def _disk(value: str) -> tuple[str, int]:
    folder, _, kib = value.rpartition(" ")
    return folder, 1024 * int(kib)


def judge(facts: Facts, expected: Expected) -> tuple[Finding, ...]:
    """Return what is not as expected, the fatal first."""
    found = [*_python(facts, expected), *_clock(facts, expected), *_disks(facts, expected), *_rest(facts, expected)]
    return tuple(sorted(found, key=lambda finding: not finding.fatal))


def _python(facts: Facts, expected: Expected) -> Iterator[Finding]:
    if not facts.python:
        yield Finding("python", "there is no Python", expected.python_needed)
    elif expected.python and _minor(facts.python) != _minor(expected.python):
        text = f"Python {facts.python} is not the {_minor(expected.python)} of the rest of the cluster"
        yield Finding("python", text, expected.python_needed)
    if not facts.ray:
        yield Finding("ray", "Ray is not installed", expected.ray_needed)
    elif expected.ray and facts.ray != expected.ray:
        text = f"Ray {facts.ray} is not the {expected.ray} of the rest of the cluster"
        yield Finding("ray", text, expected.ray_needed)


def _clock(facts: Facts, expected: Expected) -> Iterator[Finding]:
    skew_s = max(expected.asked_at - facts.now, facts.now - expected.answered_at, 0.0)
    if skew_s > expected.clock_skew_max_s:
        way = "behind" if facts.now < expected.asked_at else "ahead"
        yield Finding("clock", f"its clock is {skew_s:.0f} s {way}: let NTP set it", fatal=True)
    elif skew_s > 1.0:
        yield Finding("clock", f"its clock is off by {skew_s:.1f} s", fatal=False)


def _disks(facts: Facts, expected: Expected) -> Iterator[Finding]:
    for folder, free in facts.disk_free_bytes:
        if free < expected.disk_free_min_bytes:
            least = expected.disk_free_min_bytes / GIB
            yield Finding("disk", f"{folder} has {free / GIB:.1f} GiB free, less than {least:g}", fatal=True)


def _rest(facts: Facts, expected: Expected) -> Iterator[Finding]:
    for port in expected.ports:
        if port in facts.ports:
            yield Finding("ports", f"port {port} is in use: does another Ray run there?", fatal=True)
    if not facts.sudo:
        yield Finding("sudo", "the user may not become root without a password", expected.sudo_needed)
    if "rsync" not in facts.programs:
        yield Finding("rsync", "there is no rsync: files are copied by tar, all of them each time", fatal=False)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])

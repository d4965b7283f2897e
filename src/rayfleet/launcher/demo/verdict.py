"""From what was played and what was recorded to figures, and to the one word: ok. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rayfleet.launcher.demo import record, story
from rayfleet.launcher.demo.drivers import Ran
from rayfleet.launcher.demo.record import Spread
from rayfleet.launcher.demo.story import Chapter
from rayfleet.model import CPU, UNITS, TickReport


@dataclass(frozen=True, slots=True)
class Played:
    """One chapter as it went: its programs in order; when it began and was quiet again (seconds since the epoch)."""

    chapter: Chapter
    ran: tuple[Ran, ...]
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The times of one chapter, or of all of them. Seconds; None: nothing to measure."""

    nodes_peak: int
    cpus_peak: float
    tasks_done: int
    demand_to_launch_s: Spread | None
    launch_to_node_s: Spread | None
    first_task_s: float | None
    scale_down_s: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the demo ended. `problems`: whatever is not as it should be; `left_behind` None: the cluster was kept."""

    cluster: str
    total: Figures
    chapters: tuple[tuple[Chapter, Figures], ...]
    up_s: float | None
    down_s: float | None
    took_s: float
    left_behind: int | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Say whether everything was as it should be."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; seconds to the millisecond."""
        every = {
            "ok": self.ok,
            **asdict(self.total),
            "left_behind": self.left_behind,
            "up_s": self.up_s,
            "down_s": self.down_s,
            "took_s": self.took_s,
            "cluster": self.cluster,
            "workloads": [{"name": chapter.name, **asdict(figures)} for chapter, figures in self.chapters],
            "problems": list(self.problems),
        }
        return {key: _rounded(value) for key, value in every.items()}


def figures(played: Sequence[Played], reports: Sequence[TickReport], idle_timeout_s: float) -> Figures:
    """Return the figures of some chapters from the reports of their time."""
    ran = tuple(each for chapter in played for each in chapter.ran)
    downs = [seconds for each in played for seconds in _scale_downs(each, reports, idle_timeout_s)]
    firsts = [first for each in played if (first := story.first_task_s(each.ran)) is not None]
    return Figures(
        nodes_peak=record.peak(reports),
        cpus_peak=max((_cpus(report) for report in reports), default=0),
        tasks_done=story.tasks_done(ran),
        demand_to_launch_s=Spread.of(record.demand_to_launch(reports)),
        launch_to_node_s=Spread.of(record.launch_to_node(reports)),
        first_task_s=firsts[0] if firsts else None,
        scale_down_s=max(downs, default=None),
    )


def of_chapter(played: Played, reports: Sequence[TickReport], idle_timeout_s: float) -> Figures:
    """Return the figures of one chapter; `reports` may hold those of other times too."""
    own = [report for report in reports if played.began <= report.snapshot.now <= played.ended]
    return figures([played], own, idle_timeout_s)


def complaints(played: Played, own: Figures) -> list[str]:
    """Return what is not as the chapter promises."""
    least, most = played.chapter.nodes
    found = story.complaints(played.chapter, played.ran)
    if not least <= own.nodes_peak <= most:
        wanted = f"{most}" if least == most else f"{least} to {most}"
        found.append(f"{own.nodes_peak} nodes were up at once, {wanted} are right")
    if own.demand_to_launch_s is None:
        found.append("the record shows no launch")
    if own.scale_down_s is None:
        found.append("the record does not show that the workers went")
    return [f"{played.chapter.name}: {text}" for text in found]


def _scale_downs(played: Played, reports: Sequence[TickReport], idle_timeout_s: float) -> list[float]:
    """Return, for each program after which workers had to go, the seconds beyond the idle time-out that it took."""
    found = []
    for step, ran in zip(played.chapter.steps, played.ran, strict=False):
        if step.leaves is None:
            continue
        gone_at = record.below_after(reports, ran.last_line_at, step.leaves)
        if gone_at is not None:
            found.append(gone_at - ran.last_line_at - idle_timeout_s)
    return found


def _cpus(report: TickReport) -> float:
    """Return the CPUs of the workers that are up."""
    policy = report.snapshot.policy
    pools = [(policy.pool(claim.pool), claim.count) for claim in record.workers_up(report)]
    return sum(pool.resources.get(CPU, 0) * count for pool, count in pools if pool) / UNITS


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 3)
        case dict():
            return {key: _rounded(held) for key, held in value.items()}
        case list():
            return [_rounded(held) for held in value]
        case _:
            return value

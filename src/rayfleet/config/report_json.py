"""TickReport <-> the file that `rayfleet replay` reads.

`{format, tick, cluster, snapshot, plan, decision, timings, error, troubles, saved}`: `snapshot` is a scenario, `plan`
what `rayfleet plan --json --placements` prints, `decision` the whole plan for programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayfleet.config.document import read
from rayfleet.config.plan_out import plan_to_json
from rayfleet.config.problems import ConfigInvalid, Problem, did_you_mean
from rayfleet.config.scenario import snapshot_from_json
from rayfleet.config.scenario_form import FORMAT
from rayfleet.config.scenario_out import snapshot_to_json
from rayfleet.model import Plan, TickReport, Timings
from rayfleet.model.codec import CodecError, decode, encode

_KEYS = ("format", "tick", "cluster", "snapshot", "plan", "decision", "timings", "error", "troubles", "saved")


def report_to_json(report: TickReport) -> dict[str, Any]:
    """Return a report as plain JSON values."""
    return {
        "format": FORMAT,
        "tick": report.tick,
        "cluster": report.cluster,
        "snapshot": snapshot_to_json(report.snapshot),
        "plan": plan_to_json(report.plan, placements=True),
        "decision": encode(report.plan),
        "timings": encode(report.timings),
        "error": report.error,
        "troubles": list(report.troubles),
        "saved": report.saved,
    }


def load_report(text: str, file: str) -> TickReport:
    """Read a recorded tick from a file's text.

    Raises:
        ConfigInvalid: it is not one.
    """
    value = read(text, file).value
    if not isinstance(value, dict):
        hint = "`rayfleet history --tick last` prints one"
        raise ConfigInvalid([Problem("is no recorded tick", file=file, hint=hint)])
    return report_from_json(value, file)


def report_from_json(value: Mapping[str, Any], file: str = "") -> TickReport:
    """Build the report that `report_to_json` wrote.

    Raises:
        ConfigInvalid: it is no report, or one of a later release.
    """
    problems = [Problem("unknown key", key, file, hint=did_you_mean(key, _KEYS)) for key in value if key not in _KEYS]
    problems += [Problem("is required", key, file) for key in ("tick", "snapshot") if key not in value]
    if not isinstance(value.get("snapshot", {}), dict):
        problems.append(Problem("must be a scenario", "snapshot", file))
    if problems:
        raise ConfigInvalid(problems)
    try:
        return TickReport(
            tick=decode(int, value["tick"]),
            cluster=decode(str, value.get("cluster", "")),
            snapshot=snapshot_from_json(value["snapshot"], file),
            plan=decode(Plan, value.get("decision", {})),
            timings=decode(Timings, value.get("timings", {})),
            error=decode(str, value.get("error", "")),
            troubles=decode(tuple[str, ...], value.get("troubles", [])),
            saved=decode(bool, value.get("saved", True)),
        )
    except CodecError as error:
        raise ConfigInvalid([Problem(str(error), "", file, hint="is it of a later release?")]) from None

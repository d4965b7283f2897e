"""`alerts test`, `alerts list` and `alerts check`: who is told, what fires now, and does the controller still look?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from rayfleet.cli.arguments import AsJson, Cluster, add, in_kubernetes, on_head
from rayfleet.cli.terminal import EXIT_NOT_OK, fail, print_json, print_table

if TYPE_CHECKING:
    from rayfleet.launcher.alerts import Seen, Told
    from rayfleet.reports.alerts.book import Entry

GROUP = "alerts"


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    help_ = "Who is told when something goes wrong, and what is wrong now."
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=help_)
    add(group, alerts_test, "test", cls=on_head(0, group=GROUP))
    add(group, alerts_list, "list", cls=on_head(0, group=GROUP))
    add(group, alerts_check, "check")
    app.add_typer(group, name=GROUP)


def alerts_test(cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Send a test message to everybody who is told, and print how that went; ends with 1 when any of it failed.

    It is sent from where alerts are sent: of a cluster that is up elsewhere, from its head; of a file, from here.

    Examples:
      rayfleet alerts test
      rayfleet alerts test cluster.yaml
      rayfleet alerts test --json
    """
    _refuse_kubernetes(cluster)
    from rayfleet.launcher.alerts import send_test, subject

    spec = subject(cluster)
    if spec.monitoring.alerting is None:
        hint = "add monitoring_config.alerting to its file, such as slack_webhook: env:SLACK_WEBHOOK"
        fail(f"nobody is told of alerts of cluster {spec.name}", hint)
    told = send_test(spec, time.time())
    if as_json:
        print_json({"cluster": spec.name, "told": [each.as_json() for each in told]})
    else:
        for each in told:
            _show(each)
    if any(each.error for each in told):
        raise typer.Exit(EXIT_NOT_OK)


def alerts_list(cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Print what fires now, and since when.

    Examples:
      rayfleet alerts list
      rayfleet alerts list prod --json
    """
    _refuse_kubernetes(cluster)
    from rayfleet.launcher.alerts import firing
    from rayfleet.launcher.known import choose

    home, now = choose(cluster), time.time()
    found = firing(home)
    if as_json:
        print_json({"cluster": home.name, "firing": [_entry_json(entry) for entry in found]})
        return
    rows = [_row(entry, now) for entry in found]
    print_table(("severity", "rule", "for", "told", "what"), rows, none="nothing is wrong")


def alerts_check(cluster: Cluster = None, as_json: AsJson = False) -> None:
    """Look whether controllers still do, and tell people when one does not; ends with 1 then. For cron and timers.

    Without CLUSTER every cluster that is up is looked at. People are told once, again after repeat_minutes, and when
    it is over, however often this runs.

    Examples:
      rayfleet alerts check
      rayfleet alerts check prod --json
      * * * * * rayfleet alerts check >/dev/null     a line of a crontab
    """
    _refuse_kubernetes(cluster)
    from rayfleet.launcher import home as homes
    from rayfleet.launcher.alerts import look, look_at_all
    from rayfleet.launcher.known import choose

    if cluster is not None:
        seen = [look(choose(cluster), time.time())]
    else:
        seen = look_at_all([home for home in homes.known() if home.is_up], time.time)
    if as_json:
        print_json({"clusters": [each.as_json() for each in seen]})
    else:
        for each in seen:
            _show_seen(each)
        if not seen:
            print("no cluster is up on this machine")
    if any(not each.ok or any(told.error for told in each.told) for each in seen):
        raise typer.Exit(EXIT_NOT_OK)


def _refuse_kubernetes(cluster: str | None) -> None:
    if in_kubernetes(cluster):
        fail("alerts of clusters in Kubernetes are Prometheus's", "its rules are in deploy/prometheus")


def _show(told: Told) -> None:
    print(f"{'BAD' if told.error else 'ok':4}  {told.receiver}{': ' if told.error else ''}{told.error}", flush=True)


def _show_seen(seen: Seen) -> None:
    print(f"{'ok' if seen.ok else 'BAD':4}  {seen.cluster}: {seen.text}", flush=True)
    for told in seen.told:
        print("      ", end="")
        _show(told)


def _row(entry: Entry, now: float) -> tuple[str, ...]:
    from rayfleet.reports.amounts import duration

    told = "no" if entry.said_at is None else f"{duration(now - entry.said_at)} ago"
    condition = entry.condition
    return condition.severity.value, condition.rule.value, duration(now - entry.since), told, condition.text


def _entry_json(entry: Entry) -> dict[str, Any]:
    condition = entry.condition
    return {
        "rule": condition.rule.value,
        "key": condition.key,
        "severity": condition.severity.value,
        "text": condition.text,
        "advice": condition.advice,
        "since": entry.since,
        "told_at": entry.said_at,
    }

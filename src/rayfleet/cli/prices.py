"""`prices`: what machines cost, who says so, and how old that is; asked anew where one wants to."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rayfleet.cli.arguments import AsJson, HeadVerb, add, cluster_names
from rayfleet.cli.terminal import EXIT_NOT_OK, complain, fail, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from rayfleet.launcher.price_asking import Answered
    from rayfleet.launcher.price_subject import Subject
    from rayfleet.launcher.prices import PriceRow

_COLUMNS = ("POOL", "MACHINE", "REGION", "ZONE", "MARKET", "USD/H", "AS OF", "AGE", "SOURCE")
_KEPT = "what is not told stays as it was"


class _OnHead(HeadVerb):
    """Goes to the head of a cluster elsewhere, whose prices its controller reckons with; files and clouds are here."""

    own_words = 0

    def invoke(self, ctx: Any) -> Any:
        """Run it there, or here."""
        from rayfleet.launcher.home import is_config

        word = ctx.params.get("cluster")
        here = ctx.params.get("cloud") is not None or (word is not None and is_config(word))
        return super(HeadVerb, self).invoke(ctx) if here else super().invoke(ctx)


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    add(app, prices, cls=_OnHead)


def prices(
    cluster: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE|CLUSTER]",
            help="A cluster's file, or a cluster. Default: the only one that is up.",
            autocompletion=cluster_names,
            show_default=False,
        ),
    ] = None,
    cloud: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Without a cluster: aws, azure, gcp or aliyun.", show_default=False),
    ] = None,
    region: Annotated[str, typer.Option(metavar="REGION", help="With --cloud: where.", show_default=False)] = "",
    machine: Annotated[
        list[str] | None, typer.Option("--type", metavar="MACHINE", help="With --cloud: kind of machine; repeatable.")
    ] = None,
    market: Annotated[
        str, typer.Option(metavar="on_demand|spot", help="Only this market. Default: both.", show_default=False)
    ] = "",
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the cloud first, and keep what it says.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what machines cost: each pool's offers, who says so, and how old that is.

    A price is the file's own, of the table that comes with rayfleet (built-in), or what the cloud said when it was
    asked. Controllers ask by themselves (`refresh_prices` in the file).

    Examples:
      rayfleet prices cluster.yaml
      rayfleet prices                            the cluster that is up; elsewhere, as its head knows them
      rayfleet prices cluster.yaml --refresh     with the rights of whoever runs it
      rayfleet prices --cloud aws --region us-west-2 --type m5.large --market spot
    """
    if cloud is None and (region or machine):
        fail("--region and --type are for machines of a --cloud", "for example --cloud aws --region us-west-2")
    if cloud is not None and cluster is not None:
        fail("give a cluster or --cloud, not both")
    from rayfleet.launcher.price_subject import of_cloud, of_cluster

    subject = of_cluster(cluster, market) if cloud is None else of_cloud(cloud, region, machine or [], market)
    answer, trouble = _refreshed(subject) if refresh else (None, "")
    rows, today = subject.rows(), datetime.now(UTC).date()
    if as_json:
        print_json(_json(subject.cluster, rows, today) | _answer_json(answer, trouble))
    else:
        print_table(*_table(rows, today), none="no offers")
        print(*(["", *answer.lines()] if answer else []), sep="\n", end="\n" if answer else "")
    if trouble:
        complain(trouble, _KEPT)
        raise typer.Exit(EXIT_NOT_OK)


def _refreshed(subject: Subject) -> tuple[Answered | None, str]:
    """Ask the cloud; return its answer, or why there is none."""
    from rayfleet.contracts import ProviderError
    from rayfleet.launcher.price_asking import ask

    if subject.kind.prices is not None and not subject.wanted:
        return (
            None,
            "there is no offer whose price the cloud could be asked for: the file gives them, or names no machine",
        )
    try:
        answer = asyncio.run(ask(subject.kind, subject.settings, subject.wanted, time.time()))
        return answer, "\n".join(answer.troubles)
    except (ProviderError, OSError) as error:
        return None, str(error)


def _table(rows: Sequence[PriceRow], today: date) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return columns and cells; without pools where the rows are of no cluster."""
    first = 0 if any(row.pool for row in rows) else 1
    return _COLUMNS[first:], [_cells(row, today)[first:] for row in rows]


def _cells(row: PriceRow, today: date) -> tuple[str, ...]:
    from rayfleet.launcher.prices import BUILT_IN

    offer, age = row.offer, row.age_days(today)
    usd = "-" if offer.usd_per_hour is None else f"{offer.usd_per_hour:.4g}"
    source = f"built-in: {row.source}" if row.origin == BUILT_IN else row.source
    return (
        f"{row.pool} (head)" if row.head else row.pool,
        row.machine or "-",
        offer.region or "-",
        offer.zone or "-",
        str(offer.market),
        usd,
        row.as_of or "-",
        "-" if age is None else "today" if age <= 0 else f"{age} d",
        source or "nobody knows it",
    )


def _json(cluster: str, rows: Sequence[PriceRow], today: date) -> dict[str, Any]:
    listed = [row.as_json() | {"age_days": row.age_days(today)} for row in rows]
    return {"cluster": cluster or None, "prices": listed}


def _answer_json(answer: Answered | None, trouble: str) -> dict[str, Any]:
    if answer is None and not trouble:
        return {}
    return {"refreshed": answer.as_json() if answer else None, "trouble": trouble or None}

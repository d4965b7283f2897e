"""Prices that are asked for, beside all else that a controller does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rayfleet.contracts import Fetched, FetchedPrice, PriceQuestion
from rayfleet.launcher.price_asking import Wanted, ask
from rayfleet.model import Market
from rayfleet.providers.aws import PROVIDER as AWS
from rayfleet.wire.catalogue.files import changing

LIMIT_S = 60.0


async def test_a_cache_that_another_writes_holds_up_the_asking_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told, held, let_go = asyncio.Event(), Event(), Event()

    def another_writes() -> bool:
        with changing("aws"):
            held.set()
            return let_go.wait(LIMIT_S)

    async def prices(_settings: Any, question: PriceQuestion) -> Fetched:
        told.set()
        return Fetched("Amazon", "2099-01-01", [FetchedPrice(question.region, "m5.large", Market.SPOT, 0.05)])

    other = asyncio.create_task(asyncio.to_thread(another_writes))
    assert await asyncio.to_thread(held.wait, LIMIT_S)
    wanted = (Wanted("us-west-2", "m5.large", Market.SPOT),)
    asking = asyncio.create_task(ask(replace(AWS, prices=prices), None, wanted, 0.0))
    await told.wait()
    assert not asking.done()
    let_go.set()
    assert await other, "this loop stood still for as long as the other wrote"
    assert [moved.after.usd_per_hour for moved in (await asking).told] == [0.05]

"""How often an operator tries what is refused, and what it tells about resources that it cannot read."""

import asyncio
import itertools
from typing import Any

from tests.simulation.kubernetes import Silent
from tests.unit.kube_operator.raycluster.clusters import container, group, raycluster

from rayfleet.kube_operator.runtime.operator import Edges, Operator
from rayfleet.kube_operator.settings import OperatorSettings
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import VirtualClock, run_virtual
from rayfleet.wire.kube.errors import Conflict, Invalid, KubeError
from rayfleet.wire.kube.objects import EVENT, POD, RAY_CLUSTER, Kind, Object


def with_operator(kube: FakeKube, cluster: Object, seconds: float) -> None:
    async def main() -> Any:
        edges = Edges(kube, OperatorSettings(), "one", VirtualClock().now, Silent())
        task = asyncio.create_task(Operator(edges).run())
        await kube.create(RAY_CLUSTER, cluster)
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run_virtual(main())


def test_a_refusal_in_ever_other_words_is_tried_more_and_more_slowly_too() -> None:
    numbers = itertools.count()

    def refuse(verb: str, kind: Kind, _thing: Object) -> KubeError | None:
        return Invalid(f"request {next(numbers)} failed") if (verb, kind) == ("create", POD) else None

    kube = FakeKube(refuse=refuse)
    with_operator(kube, raycluster(), 60)
    assert kube.calls["create pods"] <= 30


def test_a_creation_that_was_overtaken_is_tried_again_soon() -> None:
    """Two creations that meet in a quota's own object: one of them is a conflict, of which no watch tells."""
    conflicts = iter([Conflict("Operation cannot be fulfilled on resourcequotas")])

    def refuse(verb: str, kind: Kind, _thing: Object) -> KubeError | None:
        return next(conflicts, None) if (verb, kind) == ("create", POD) else None

    kube = FakeKube(refuse=refuse)
    with_operator(kube, raycluster(), 5)
    assert len(kube.things(POD)) == 1


def test_an_amount_in_a_template_that_cannot_be_read_is_told() -> None:
    """The API server keeps templates as they are."""
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [container("ray-head", cpu="two")]}}}
    kube = FakeKube()
    with_operator(kube, raycluster(group(), headGroupSpec=head), 60)
    assert ["must be a quantity" in one["message"] for one in kube.things(EVENT)] == [True]

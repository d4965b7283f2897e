"""`suspend` and `resume` against an API server in memory and the operator, on virtual time."""

import pytest
from tests.simulation.kubernetes import CLUSTER, Stage, on_stage
from tests.simulation.test_up_in_kubernetes import TARGET, apply, follow, manifest

from rayfleet.launcher.errors import LauncherError, TookTooLong
from rayfleet.launcher.kube.suspend import set_suspended
from rayfleet.launcher.kube.view import View
from rayfleet.wire.kube.errors import Unavailable
from rayfleet.wire.kube.objects import POD, RAY_CLUSTER


async def ask(stage: Stage, *, suspended: bool, limit_s: float = 600.0) -> tuple[View, list[str]]:
    told: list[str] = []
    return await set_suspended(stage.kube, TARGET, told.append, limit_s, suspended=suspended), told


async def pods(stage: Stage) -> int:
    return len((await stage.kube.list(POD, CLUSTER.namespace, "")).items)


def test_all_pods_go_and_come_back() -> None:
    async def act(stage: Stage) -> tuple[int, int, list[str], bool]:
        await apply(stage, manifest())
        await follow(stage)
        seen, told = await ask(stage, suspended=True)
        without = await pods(stage)
        assert seen.suspended
        again, _ = await ask(stage, suspended=False)
        return without, await pods(stage), told, again.suspended

    without, with_them, told, suspended = on_stage(act)
    assert (without, with_them, suspended) == (0, 3, False)
    assert told[0] == "change RayCluster team/demo\n  spec.suspend: false -> true"


def test_asked_for_twice_nothing_is_changed() -> None:
    async def act(stage: Stage) -> list[str]:
        await apply(stage, manifest())
        await follow(stage)
        await ask(stage, suspended=True)
        before = (await stage.kube.get(RAY_CLUSTER, CLUSTER))["metadata"]["resourceVersion"]
        _, told = await ask(stage, suspended=True)
        assert (await stage.kube.get(RAY_CLUSTER, CLUSTER))["metadata"]["resourceVersion"] == before
        return told

    assert on_stage(act)[0] == "RayCluster team/demo is to be suspended already"


def test_the_file_of_before_is_applied_as_if_nothing_had_been() -> None:
    """`up` of a file without the field leaves a suspended cluster as it is: the field is not the file's."""

    async def act(stage: Stage) -> list[str]:
        await apply(stage, manifest())
        await follow(stage)
        await ask(stage, suspended=True)
        return await apply(stage, manifest())

    assert on_stage(act) == []


def test_what_does_not_exist_is_said() -> None:
    async def act(stage: Stage) -> None:
        with pytest.raises(LauncherError, match="there is no RayCluster team/demo"):
            await ask(stage, suspended=True)

    on_stage(act)


def test_not_ready_in_time_is_said() -> None:
    async def act(stage: Stage) -> None:
        await apply(stage, manifest())
        await follow(stage)
        await ask(stage, suspended=True)
        stage.boot_s = 1e6
        with pytest.raises(TookTooLong, match="is not ready after 20 s"):
            await ask(stage, suspended=False, limit_s=20)

    on_stage(act)


def test_an_api_server_that_is_away_is_no_missing_cluster() -> None:
    async def act(stage: Stage) -> None:
        await apply(stage, manifest())
        await follow(stage)
        stage.kube.refuse = lambda _verb, _kind, _thing: Unavailable("restarting")
        with pytest.raises(Unavailable):
            await ask(stage, suspended=True)

    on_stage(act)

"""The cache that follows the API server: what it holds, what it tells, and how it goes on after gaps."""

import asyncio

from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import KubeError, Unavailable
from rayfleet.wire.kube.informer import Followed, Informer
from rayfleet.wire.kube.objects import POD, Key, Kind, Object, key_of
from rayfleet.wire.kube.store import Store

Told = list[tuple[str | None, str | None]]


def pod(name: str, **labels: str) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "c"}]},
    }


def follow(kube: FakeKube, told: Told, selector: str = "") -> tuple[Informer, asyncio.Task[None]]:
    def tell(before: Object | None, after: Object | None) -> None:
        told.append((key_of(before).name if before else None, key_of(after).name if after else None))

    informer = Informer(kube, Followed(POD, None, selector), Store(), tell)
    return informer, asyncio.create_task(informer.run())


def test_what_exists_is_told_and_then_every_change() -> None:
    async def main() -> tuple[Told, int]:
        kube, told = FakeKube(), Told()
        await kube.create(POD, pod("old"))
        informer, task = follow(kube, told)
        await informer.synced.wait()
        await kube.create(POD, pod("new"))
        kube.set_status(POD, Key("default", "new"), {"phase": "Running"})
        await kube.delete(POD, Key("default", "old"))
        await asyncio.sleep(1)
        task.cancel()
        return told, len(informer.store)

    assert run_virtual(main()) == ([(None, "old"), (None, "new"), ("new", "new"), ("old", None)], 1)


def test_objects_that_are_not_selected_are_not_seen() -> None:
    async def main() -> Told:
        kube, told = FakeKube(), Told()
        await kube.create(POD, pod("mine", team="a"))
        await kube.create(POD, pod("theirs", team="b"))
        informer, task = follow(kube, told, "team=a")
        await informer.synced.wait()
        task.cancel()
        return told

    assert run_virtual(main()) == [(None, "mine")]


def test_what_happened_while_the_server_forgot_is_told_from_a_new_list() -> None:
    """A watch that is too old (410) is followed by a list; what has gone meanwhile is told as gone."""

    async def main() -> tuple[Told, int]:
        kube, told = FakeKube(), Told()
        for name in ("stays", "goes"):
            await kube.create(POD, pod(name))
        informer, task = follow(kube, told)
        await informer.synced.wait()
        told.clear()
        # No pause in between: the informer sees none of it but the outcome.
        await kube.delete(POD, Key("default", "goes"))
        await kube.create(POD, pod("comes"))
        kube.forget_history()
        await asyncio.sleep(1)
        task.cancel()
        return told, kube.calls["list pods"]

    told, lists = run_virtual(main())
    assert sorted(told, key=str) == [("goes", None), (None, "comes")]
    assert lists == 2


def test_a_server_that_does_not_answer_is_asked_more_and_more_slowly() -> None:
    async def main() -> tuple[int, int, bool]:
        kube = FakeKube()
        down = True

        def refuse(_verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            return Unavailable("no route to host") if down else None

        kube.refuse = refuse
        informer, task = follow(kube, [])
        await asyncio.sleep(10)
        first = kube.calls["list pods"]
        await asyncio.sleep(600)
        later = kube.calls["list pods"] - first
        down = False
        await asyncio.sleep(60)
        task.cancel()
        return first, later, informer.synced.is_set()

    first, later, synced = run_virtual(main())
    assert first == 5  # after 0, 0.5, 1.5, 3.5 and 7.5 seconds
    assert later <= 22  # every 30 seconds in the end
    assert synced

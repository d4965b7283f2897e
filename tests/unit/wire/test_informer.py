"""The cache that follows the API server: what it holds, what it tells, and how it goes on after gaps."""

import asyncio
from collections.abc import AsyncIterator

from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import Forbidden, KubeError, NotFound, Unavailable
from rayfleet.wire.kube.informer import Followed, Informer
from rayfleet.wire.kube.kube import Seen
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


def test_an_optional_kind_that_we_may_not_see_holds_nobody_up_and_may_be_allowed_later() -> None:
    """An operator whose role is older than itself; of other kinds it would wait for its rights."""

    async def main(*, optional: bool) -> tuple[bool, int]:
        kube = FakeKube()
        allowed = False

        def refuse(verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            return Forbidden("pods is forbidden") if verb == "list" and not allowed else None

        kube.refuse = refuse
        await kube.create(POD, pod("one"))
        informer = Informer(kube, Followed(POD, optional=optional), Store(), lambda _before, _after: None)
        task = asyncio.create_task(informer.run())
        await asyncio.sleep(1)
        early = informer.synced.is_set()
        allowed = True
        await asyncio.sleep(60)
        task.cancel()
        return early, len(informer.store)

    assert run_virtual(main(optional=True)) == (True, 1)
    assert run_virtual(main(optional=False)) == (False, 1)


def test_a_kind_that_the_server_does_not_know_holds_nobody_up_and_may_come_later() -> None:
    """An older installation of KubeRay has no RayCronJobs."""

    async def main() -> tuple[bool, int, int, int]:
        kube = FakeKube()
        known = False

        def refuse(verb: str, _kind: Kind, _thing: Object) -> KubeError | None:
            return (
                NotFound("the server could not find the requested resource") if verb == "list" and not known else None
            )

        kube.refuse = refuse
        await kube.create(POD, pod("one"))
        informer, task = follow(kube, [])
        await asyncio.sleep(1)
        early, asked = informer.synced.is_set(), kube.calls["list pods"]
        none_yet = len(informer.store)
        known = True
        await asyncio.sleep(60)
        task.cancel()
        return early, asked, none_yet, len(informer.store)

    assert run_virtual(main()) == (True, 1, 0, 1)


def test_informers_of_several_namespaces_leave_each_others_objects_alone() -> None:
    async def main() -> Told:
        kube, told, store = FakeKube(), Told(), Store()

        def tell(before: Object | None, after: Object | None) -> None:
            told.append((key_of(before).namespace if before else None, key_of(after).namespace if after else None))

        tasks = []
        for namespace in ("a", "b"):
            await kube.create(POD, {**pod("one"), "metadata": {**pod("one")["metadata"], "namespace": namespace}})
            informer = Informer(kube, Followed(POD, namespace), store, tell)
            tasks.append(asyncio.create_task(informer.run()))
            await informer.synced.wait()
        kube.forget_history()
        await asyncio.sleep(5)
        for task in tasks:
            task.cancel()
        return told

    assert run_virtual(main()) == [(None, "a"), (None, "b")]


class Brief(FakeKube):
    """A server whose watches end at once."""

    async def watch(
        self, kind: Kind, version: str, namespace: str | None = None, selector: str = ""
    ) -> AsyncIterator[Seen]:
        self.calls[f"watch {kind.plural}"] += 1
        nothing: tuple[Seen, ...] = ()
        for seen in nothing:
            yield seen


def test_a_server_that_ends_every_watch_at_once_is_not_asked_all_the_time() -> None:
    async def main() -> int:
        kube = Brief()
        _, task = follow(kube, [])
        await asyncio.sleep(10)
        task.cancel()
        return kube.calls["watch pods"]

    assert run_virtual(main()) <= 21


def test_it_says_whether_the_server_still_tells() -> None:
    async def main() -> list[bool]:
        kube = FakeKube()
        informer, task = follow(kube, [])
        await asyncio.sleep(1)
        seen = [informer.current]
        await kube.create(POD, pod("one"))
        kube.refuse = lambda _verb, _kind, _thing: Unavailable("no route")
        kube.forget_history()
        await asyncio.sleep(1)
        seen.append(informer.current)
        kube.refuse = lambda _verb, _kind, _thing: None
        await asyncio.sleep(60)
        task.cancel()
        return [*seen, informer.current]

    assert run_virtual(main()) == [True, False, True]

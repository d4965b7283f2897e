"""The autoscaler beside a head: what it waits for before it begins."""

import asyncio
from pathlib import Path
from urllib.request import urlopen

from tests.unit.kube_operator.raycluster.clusters import group, raycluster

from rayfleet.config.rayio.raycluster import RayClusterSpec
from rayfleet.engines.ray.settings import RaySettings, own_address
from rayfleet.kube_operator.autoscaler import Head, first_spec, offered, ray_settings
from rayfleet.reports.metrics.sink import About, Metrics
from rayfleet.testing.fake_kube import FakeKube
from rayfleet.testing.virtual_time import run_virtual
from rayfleet.wire.kube.errors import Forbidden
from rayfleet.wire.kube.objects import RAY_CLUSTER, Key
from rayfleet.wiring import Exporter

DEMO = Key("team", "demo")


def test_it_waits_for_its_rights_and_its_cluster_instead_of_ending() -> None:
    """A container that ends in a pod with `restartPolicy: Never` is never started again."""

    async def main() -> tuple[bool, int]:
        kube = FakeKube()
        kube.refuse = lambda _verb, _kind, _thing: Forbidden("no role yet")
        reading = asyncio.create_task(first_spec(kube, DEMO, asyncio.Event()))
        await asyncio.sleep(30)
        early = reading.done()
        kube.refuse = lambda _verb, _kind, _thing: None
        broken = raycluster({**group(), "rayStartParams": {"resources": "no JSON"}})
        await kube.create(RAY_CLUSTER, broken)
        await asyncio.sleep(30)
        early = early or reading.done()
        await kube.patch(RAY_CLUSTER, DEMO, {"spec": {"workerGroupSpecs": [group("a"), group("b")]}})
        spec = await reading
        assert spec is not None
        return early, len(spec.worker_group_specs)

    assert run_virtual(main()) == (False, 2)


def test_told_to_stop_it_stops_waiting() -> None:
    async def main() -> object:
        stop = asyncio.Event()
        reading = asyncio.create_task(first_spec(FakeKube(), DEMO, stop))
        await asyncio.sleep(1)
        stop.set()
        return await reading

    assert run_virtual(main()) is None


def test_the_port_is_the_container_s_or_else_the_cluster_s() -> None:
    assert Head.beside({"RAY_PORT": "6400"}).gcs_port == 6400
    assert Head.beside({}).gcs_port == 0


def test_the_token_is_the_cluster_s_or_that_of_kubernetes_in_its_file() -> None:
    path = {"RAY_AUTH_TOKEN_PATH": "/var/run/secrets/ray.io/serviceaccount/token"}
    of_kubernetes = Head.beside(path)
    assert (of_kubernetes.token, of_kubernetes.token_file) == ("", path["RAY_AUTH_TOKEN_PATH"])
    own = Head.beside({**path, "RAY_AUTH_TOKEN": "guess me"})
    assert (own.token, own.token_file) == ("guess me", "")
    none = Head.beside({})
    assert (none.token, none.token_file) == ("", "")


def test_a_token_of_kubernetes_is_read_where_it_is_and_left_alone(tmp_path: Path) -> None:
    """The folder of the token is read-only."""
    file = tmp_path / "mounted" / "token"
    file.parent.mkdir()
    file.write_text("of this hour")
    spec = RayClusterSpec.model_validate(raycluster(group())["spec"])
    ray = ray_settings(DEMO, Head("127.0.0.1", 0, "", "", str(file)), spec, tmp_path / "state")
    assert ray.token() == "of this hour"
    file.write_text("of the next")
    assert ray.token() == "of the next"
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["ray.json"]
    assert "of the next" not in (tmp_path / "state" / "ray.json").read_text()
    assert RaySettings.load(tmp_path / "state") == ray, "commands of ours beside the head reach Ray by it"


async def test_the_figures_are_offered_on_the_pod_s_own_address_which_ray_is_told() -> None:
    told: list[str] = []
    metrics = Metrics(About("demo", "team", "kuberay", "1"), lambda: "session_1")
    async with offered(Exporter(metrics, 0, told.append)):
        (address,) = told
        assert address.startswith(f"{own_address()}:")
        with await asyncio.to_thread(urlopen, f"http://{address}/metrics") as answer:
            assert b'rayfleet_info{Namespace="team",RayClusterName="demo"' in answer.read()


async def test_an_autoscaler_whose_figures_nobody_wants_offers_none() -> None:
    async with offered(None):
        pass

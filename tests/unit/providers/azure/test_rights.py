"""The role that the README prints allows every call that is made, and nothing that is never called."""

import json
import re
from pathlib import Path

import pytest
from tests.unit.providers.azure.cases import built, names, request

import rayfleet.providers.azure
from rayfleet.contracts import LaunchRequest, OutOfStock
from rayfleet.model import StandbyMode
from rayfleet.testing.clouds.azure import AzureEmulator, Fault

UNSEEN = re.compile(r".*/(join|assign)/action|Microsoft\.Compute/disks/write", re.IGNORECASE)
"""What Azure itself checks when one resource names another; no call of ours has such a path."""
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


def role() -> set[str]:
    """Return the actions of the role in the README, in lower case."""
    text = (Path(rayfleet.providers.azure.__file__).parent / "README.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    return {action.lower() for action in json.loads(block)["Actions"]}


def action(method: str, path: str) -> str:
    """Return the right that a call needs."""
    if match := re.search(r"/providers/([^/]+)/([^/]+)(?:/[^/]+)?(?:/([^/]+))?$", path):
        namespace, kind, verb = match.groups()
        return f"{namespace}/{kind}/{verb + '/action' if verb else VERBS[method]}".lower()
    return f"microsoft.resources/subscriptions/resourcegroups/{VERBS[method]}"


async def test_the_role_is_what_is_called(tmp_path: Path) -> None:
    with AzureEmulator(polls=1) as emulator:
        now = [0.0]
        provider = built(emulator, tmp_path, clock=lambda: now[0])
        await provider.launch(request("b1", "c1", head=True))
        await provider.launch(request("b2", "c2"))
        emulator.fail(Fault("SkuNotAvailable"))
        with pytest.raises(OutOfStock):
            await provider.launch(request("b3", "c3"))
        await provider.list()
        head, worker = names(emulator)
        await provider.stop((worker,), StandbyMode.STOPPED)
        known = request("b4", "c2")
        again = LaunchRequest("b4", known.offer, known.pool, known.claims, reuse=(worker,))
        await provider.start(again)
        emulator.orphan_disk(head)
        await provider.release((worker,))
        now[0] = 4e9
        await provider.list()
        await provider.close()
        called = {action(method, path) for method, path in emulator.log if path != "/_operations"}
    assert called <= role()
    assert {one for one in role() if not UNSEEN.match(one)} <= called

"""The head's account: found or made once, with its roles, and only when a head is launched that names none."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.gcp.place import at, made, wanted

from rayfleet.contracts import Denied, Flaky
from rayfleet.providers.gcp.identity import ROLES, TPU_ROLE
from rayfleet.testing.clouds.gcp import Fault, GcpEmulator

EMAIL = "rayfleet-head@test-project.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{EMAIL}"
GET = "iam.projects.serviceAccounts.get"
CREATE = "iam.projects.serviceAccounts.create"
READ = "cloudresourcemanager.projects.getIamPolicy"
WRITE = "cloudresourcemanager.projects.setIamPolicy"


def roles(cloud: GcpEmulator) -> set[str]:
    return {row["role"] for row in cloud.account.policy["bindings"] if MEMBER in row["members"]}


async def test_it_is_made_once_and_others_keep_their_roles(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.policy["bindings"] = [{"role": "roles/owner", "members": ["user:a@b"]}]
    provider = at(cloud, tmp_path)
    await provider.launch(wanted("b1", head=True))
    await provider.launch(wanted("b2", head=True))
    again = at(cloud, tmp_path)
    await again.launch(wanted("b3", head=True))
    assert (cloud.calls[CREATE], cloud.calls[READ], cloud.calls[WRITE]) == (1, 2, 1)
    assert roles(cloud) == set(ROLES)
    assert {"role": "roles/owner", "members": ["user:a@b"]} in cloud.account.policy["bindings"]
    assert {machine.body["serviceAccounts"][0]["email"] for machine in made(cloud)} == {EMAIL}
    await provider.close()
    await again.close()


@pytest.mark.parametrize(
    "more", [{"service_account": "default"}, {"service_account": "mine@p.iam.gserviceaccount.com"}]
)
async def test_one_that_is_named_is_taken(cloud: GcpEmulator, tmp_path: Path, more: dict[str, Any]) -> None:
    provider = at(cloud, tmp_path, **more)
    await provider.launch(wanted(head=True))
    assert made(cloud)[0].body["serviceAccounts"][0]["email"] == more["service_account"]
    assert not cloud.calls[GET]
    await provider.close()


async def test_workers_and_heads_with_an_account_need_none(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, {"serviceAccounts": [{"email": "me@p", "scopes": []}]})
    await provider.launch(wanted("b1", head=True))
    await provider.launch(wanted("b2"))
    assert not cloud.calls[GET]
    await provider.close()


async def test_who_may_not_make_it_is_told_what_to_do(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.faults.append(Fault(CREATE, 403, "forbidden"))
    provider = at(cloud, tmp_path)
    with pytest.raises(Denied, match="service_account to one that exists"):
        await provider.launch(wanted(head=True))
    assert not made(cloud)
    await provider.close()


async def test_one_of_the_administrators_is_taken_as_it_is(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.account.service_accounts[EMAIL] = {"email": EMAIL}
    cloud.faults.append(Fault(READ, 403, "forbidden"))
    provider = at(cloud, tmp_path)
    await provider.launch(wanted(head=True))
    assert len(made(cloud)) == 1
    await provider.close()


async def test_a_policy_that_somebody_changes_meanwhile_is_tried_again(cloud: GcpEmulator, tmp_path: Path) -> None:
    cloud.faults.append(Fault(WRITE, 409, "aborted", times=3))
    provider = at(cloud, tmp_path)
    with pytest.raises(Flaky, match="aborted"):
        await provider.launch(wanted(head=True))
    await provider.launch(wanted(head=True))
    assert roles(cloud) == set(ROLES)
    await provider.close()


async def test_a_cluster_with_tpus_needs_one_role_more(cloud: GcpEmulator, tmp_path: Path) -> None:
    provider = at(cloud, tmp_path, _has_tpus=True)
    await provider.launch(wanted(head=True))
    assert roles(cloud) == {*ROLES, TPU_ROLE}
    await provider.close()

"""The policy documents name exactly the calls that are made."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.providers.aws.emulated import POOL, SPOT, context, provider, request, start_script

from rayfleet.contracts import LaunchRequest, MachineState
from rayfleet.model import StandbyMode
from rayfleet.providers.aws.client import Client
from rayfleet.providers.aws.provider import AwsProvider
from rayfleet.providers.aws.rights import IMAGES, PRICES, ROLE, head_policy, policy
from rayfleet.testing.clouds.aws import AwsEmulator

README = Path(__file__).parents[4] / "src" / "rayfleet" / "providers" / "aws" / "README.md"


def actions(document: dict[str, Any]) -> set[str]:
    listed = [each["Action"] for each in document["Statement"]]
    return {action for one in listed for action in ([one] if isinstance(one, str) else one)}


async def test_the_least_policy_is_what_a_cluster_asks_for(emulator: AwsEmulator, tmp_path: Path) -> None:
    """A head and workers, spot and from a template, stopped, started and given back: no call more, no right more."""
    made = context(emulator, tmp_path, node_config={"LaunchTemplate": {"LaunchTemplateName": "mine"}})
    template = {"LaunchTemplateName": "mine", "LaunchTemplateData": {"EbsOptimized": True}}
    await Client(made.settings).call("ec2", "create_launch_template", template)
    emulator.log.clear()
    aws = provider(made)
    await aws.launch(request("b1", 1, head=True))
    await aws.launch(request("b2", 2, SPOT))
    await provider(type(made)(made.cluster, tmp_path / "lost", made.settings, start_script)).launch(request("b4", 1))
    await aws.list()
    machine = next(each for each in await aws.list() if each.head)
    await aws.stop((machine.id,), StandbyMode.STOPPED)
    while not any(each.state is MachineState.STANDBY for each in await aws.list()):
        pass
    await aws.start(LaunchRequest("b3", machine.offer, POOL, ("c1",), head=True, reuse=(machine.id,)))
    await aws.release(tuple(each.id for each in await aws.list()))
    fleets = provider(context(emulator, tmp_path / "fleet", fleet=True))
    assert isinstance(fleets, AwsProvider)
    await fleets.launch(request("b5", 1))
    await fleets.tidy()
    called = {f"{call.service}:{call.action}" for call in emulator.log}
    assert {call.code for call in emulator.log} == {"", "NoSuchEntity", "InvalidGroup.Duplicate"}
    assert called == actions(policy()) - set(IMAGES) - {"iam:PassRole"}
    assert actions(head_policy()) == (called | set(IMAGES) | set(PRICES)) - set(ROLE)


@pytest.mark.parametrize("document", [policy(), head_policy()], ids=["up", "head"])
def test_launch_templates_of_others_may_not_be_removed(document: dict[str, Any]) -> None:
    (statement,) = [each for each in document["Statement"] if "ec2:DeleteLaunchTemplate" in each["Action"]]
    assert statement["Action"] == ["ec2:DeleteLaunchTemplate"]
    assert statement["Condition"] == {"StringLike": {"aws:ResourceTag/rayfleet-cluster": "*"}}


def test_the_readme_shows_that_policy() -> None:
    shown = README.read_text(encoding="utf-8").partition("```json\n")[2].partition("```")[0]
    assert json.loads(shown) == policy()

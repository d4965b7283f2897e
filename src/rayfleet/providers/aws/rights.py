"""Which rights are needed, as policy documents. Pure."""

from __future__ import annotations

from typing import Any, Final

from rayfleet.providers.aws.order import CLUSTER_TAG

LIFECYCLE: Final = (
    "ec2:RunInstances",
    "ec2:DescribeInstances",
    "ec2:TerminateInstances",
    "ec2:StopInstances",
    "ec2:StartInstances",
    "ec2:CreateTags",
    "ec2:DescribeSpotInstanceRequests",
    "ec2:DescribeLaunchTemplateVersions",
)
"""What the controller does with machines."""

FLEET: Final = (
    "ec2:CreateFleet",
    "ec2:CreateLaunchTemplate",
    "ec2:DescribeLaunchTemplates",
)
"""For offers that leave the zone open. Without the first two, RunInstances is asked zone by zone."""

OWN_TEMPLATES: Final = ("ec2:DeleteLaunchTemplate",)
"""What is done with launch templates of Rayfleet's own, and with no others."""

NETWORK: Final = (
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
    "ec2:CreateSecurityGroup",
    "ec2:AuthorizeSecurityGroupIngress",
)
"""Where they are put. The last two are not needed where every pool names its SecurityGroupIds."""

ROLE: Final = (
    "iam:GetInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:CreateRole",
    "iam:PutRolePolicy",
    "iam:AddRoleToInstanceProfile",
)
"""The head's own role. Not needed where the head's pool names an IamInstanceProfile."""

PRICES: Final = (
    "ec2:DescribeSpotPriceHistory",
    "pricing:GetProducts",
)
"""To ask for prices of today. Without them prices are those of the tables, and all else goes on."""

IMAGES: Final = ("ssm:GetParameters",)
"""What EC2 asks for in our name when it looks up a default image."""

PASSED_ROLE: Final = "arn:aws:iam::*:role/rayfleet-head"
"""The role that `up` gives to the head. Only that one: who may start instances with any role may do everything."""


def policy() -> dict[str, Any]:
    """Return the least policy for whoever runs `rayfleet up`."""
    passes = {"Effect": "Allow", "Action": "iam:PassRole", "Resource": PASSED_ROLE}
    return _document([_allowed(LIFECYCLE, FLEET, NETWORK, ROLE, IMAGES), _allowed_of_own(OWN_TEMPLATES), passes])


def head_policy() -> dict[str, Any]:
    """Return the policy of the head's role: to keep the cluster the right size. It passes no role to anybody."""
    return _document([_allowed(LIFECYCLE, FLEET, NETWORK, IMAGES, PRICES), _allowed_of_own(OWN_TEMPLATES)])


def prices_policy() -> dict[str, Any]:
    """Return the policy of whoever asks for prices: `rayfleet prices --refresh`, and heads with a role of yours."""
    return _document([_allowed(PRICES)])


def _allowed(*parts: tuple[str, ...]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": sorted(action for part in parts for action in part), "Resource": "*"}


def _allowed_of_own(actions: tuple[str, ...]) -> dict[str, Any]:
    """Return the statement on what has a tag of ours, of whichever cluster: all heads have the same role."""
    return {**_allowed(actions), "Condition": {"StringLike": {f"aws:ResourceTag/{CLUSTER_TAG}": "*"}}}


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}

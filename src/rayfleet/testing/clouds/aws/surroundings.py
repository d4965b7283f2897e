"""What an instance is made from: image, subnet, groups, keys, profile and templates, which are moto's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from rayfleet.testing.clouds.aws.instances import AwsError

ACCOUNT: Final = "123456789012"
IMAGE: Final = "ami-0e0e0e0e0e0e0e0e0"
"""What parameters of the parameter store stand for here."""
_IMAGE_SHAPE: Final = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
_NO_IMAGE: Final = re.compile(r"ami-0+")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """moto's objects of one region."""

    region: str

    @property
    def _ec2(self) -> Any:
        return ec2_backends[ACCOUNT][self.region]

    def resolved(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return an order with its launch template merged in, its image found, and all that it names checked.

        Raises:
            AwsError: it names something that does not exist.
        """
        order = {**self._template(given.get("LaunchTemplate")), **given}
        order["ImageId"] = _image(order.get("ImageId"))
        for group in order.get("SecurityGroupIds", []):
            if self._ec2.get_security_group_from_id(group) is None:
                raise AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        key = order.get("KeyName")
        if key and key not in self._ec2.key_pairs:
            raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
        self._check_profile(order.get("IamInstanceProfile", {}))
        return order

    def subnet(self, order: dict[str, Any]) -> Any:
        """Return the subnet that an order means, else the zone's or the region's default one."""
        interfaces = order.get("NetworkInterfaces") or [{}]
        if "SubnetId" in order and "NetworkInterfaces" in order:
            text = "Network interfaces and an instance-level subnet ID may not be specified on the same request"
            raise AwsError("InvalidParameterCombination", text)
        wanted = order.get("SubnetId") or interfaces[0].get("SubnetId")
        subnets = {each.id: each for each in self._ec2.describe_subnets()}
        if wanted is not None and wanted not in subnets:
            raise AwsError("InvalidSubnetID.NotFound", f"The subnet ID '{wanted}' does not exist")
        if wanted is not None:
            return subnets[wanted]
        zone = order.get("Placement", {}).get("AvailabilityZone")
        fitting = [each for each in subnets.values() if zone in (None, each.availability_zone)]
        if not fitting:
            raise AwsError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
        return min(fitting, key=lambda each: str(each.availability_zone))

    def zone(self, order: dict[str, Any]) -> str:
        """Return the zone of the subnet that an order means."""
        return str(self.subnet(order).availability_zone)

    def is_public(self, order: dict[str, Any], subnet: Any) -> bool:
        """Say whether the instance gets a public address."""
        interfaces = order.get("NetworkInterfaces") or [{}]
        return bool(interfaces[0].get("AssociatePublicIpAddress", subnet.map_public_ip_on_launch in (True, "true")))

    def _template(self, named: dict[str, Any] | None) -> dict[str, Any]:
        if not named:
            return {}
        wanted = named.get("LaunchTemplateId"), named.get("LaunchTemplateName")
        for template in self._ec2.launch_templates.values():
            if wanted in ((template.id, None), (None, template.name)):
                version = named.get("Version", "$Default")
                number = {"$Latest": template.latest_version_number, "$Default": template.default_version_number}
                data: dict[str, Any] = template.get_version(int(number.get(version, version))).data
                return {key: value for key, value in data.items() if value not in (None, {}, [])}
        raise AwsError("InvalidLaunchTemplateId.NotFound", f"The specified launch template, {named}, does not exist.")

    def _check_profile(self, profile: dict[str, Any]) -> None:
        name = profile.get("Name") or profile.get("Arn", "").rpartition("/")[2]
        if not name:
            return
        if not any(each.name == name for each in iam_backends[ACCOUNT]["aws"].instance_profiles.values()):
            raise AwsError("InvalidParameterValue", f"Value ({name}) for parameter iamInstanceProfile.name is invalid.")


def _image(wanted: str | None) -> str:
    if wanted is None:
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    if wanted.startswith("resolve:ssm:/"):
        return IMAGE
    if not _IMAGE_SHAPE.fullmatch(wanted):
        raise AwsError("InvalidAMIID.Malformed", f'Invalid id: "{wanted}"')
    if _NO_IMAGE.fullmatch(wanted):
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{wanted}]' does not exist")
    return wanted

"""The image of a pool that names none: what Canonical or Amazon calls current at the time of the launch. Pure.

EC2 looks the parameter up itself (`resolve:ssm:`), so this costs no call. Names as of 2026-11-01; the login is `ubuntu`
on all of them, and their Python is 3.12.
"""

from __future__ import annotations

import re
from typing import Final

AS_OF: Final = "2026-11-01"
_PLAIN: Final = "resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id"
_NVIDIA: Final = (
    "resolve:ssm:/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
)
_ARM: Final = re.compile(r"^(a1|[a-z]+\d+g[a-z0-9-]*)\.")
_GPU: Final = re.compile(r"^(p\d|g\d)")
DEFAULT_DISK: Final = ({"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 100, "VolumeType": "gp3"}},)
"""The root's disk on those images, in GB: their own 8 GB are full once Ray and a few packages are there."""
LATEST_DLAMI: Final = "latest_dlami"
"""Ray's word for its own default."""


def default_image(instance_type: str) -> str:
    """Return what stands for ImageId: with NVIDIA's driver where the type has its GPUs."""
    arm = _ARM.match(instance_type) is not None
    if _GPU.match(instance_type):
        return _NVIDIA.format(arch="arm64" if arm else "x86_64")
    return _PLAIN.format(arch="arm64" if arm else "amd64")

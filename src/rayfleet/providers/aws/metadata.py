"""What a machine asks EC2's metadata service about itself: shell code, by the service's second version. Pure."""

from __future__ import annotations


def own_id(url: str) -> str:
    """Return shell code that prints the instance's id."""
    return asked(url, "instance-id", "--retry 5")


def asked(url: str, path: str, options: str = "") -> str:
    """Return shell code that prints what the service has under a path; nothing where it has nothing."""
    at = f"${{AWS_EC2_METADATA_SERVICE_ENDPOINT:-{url}}}/latest"
    curl = f"curl -sf {options}".rstrip()
    token = f'{curl} -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "{at}/api/token"'
    return f'{curl} -H "X-aws-ec2-metadata-token: $({token})" "{at}/meta-data/{path}"'

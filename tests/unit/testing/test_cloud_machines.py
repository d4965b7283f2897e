"""What machines of emulated clouds read at their first boot, and where they ask who they are."""

import gzip
import json
import urllib.error
import urllib.request

import pytest

from rayfleet.providers.aws.order import packed_user_data
from rayfleet.testing.clouds.aws import Account, Instance
from rayfleet.testing.clouds.aws.metadata import metadata_service
from rayfleet.testing.hosts.cloud import scripts

SCRIPT = b"#!/bin/bash\necho ours\n"


def test_a_script_alone_or_compressed_or_none() -> None:
    assert list(scripts(SCRIPT)) == [SCRIPT]
    assert list(scripts(gzip.compress(SCRIPT))) == [SCRIPT]
    assert list(scripts(b"")) == []


def test_the_parts_of_what_the_provider_writes_in_order() -> None:
    packed = packed_user_data(SCRIPT.decode(), "#!/bin/sh\necho theirs\n")
    assert isinstance(packed, str)
    assert list(scripts(packed.encode())) == [b"#!/bin/sh\necho theirs\n", SCRIPT]


def test_what_these_machines_cannot_run_is_refused() -> None:
    with pytest.raises(ValueError, match="shell scripts only"):
        list(scripts(b"#cloud-config\npackages: [x]\n"))


def _instance(**request: object) -> Instance:
    return Instance(
        id="i-1", type="m5.large", image="ami-1", zone="us-west-2a", subnet="s", vpc="v", market="spot",
        private_address="127.0.0.1", public_address="", launched_at="", request=request, tags={"a": "b"},
    )  # fmt: skip


def _ask(url: str, path: str, *, token: bool = True) -> str:
    put = urllib.request.Request(f"{url}/latest/api/token", method="PUT")
    put.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    with urllib.request.urlopen(put) as answer:
        given = answer.read().decode()
    get = urllib.request.Request(f"{url}/latest/meta-data/{path}")
    if token:
        get.add_header("X-aws-ec2-metadata-token", given)
    try:
        with urllib.request.urlopen(get) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.code)


def test_an_instance_is_told_what_is_its_own() -> None:
    """Its id; keys and tags only where its launch asked for them; nothing without a session, or when it has ended."""
    account = Account()
    with metadata_service(account, "127.0.0.1") as url:
        assert _ask(url, "instance-id") == "404"
        account.add(_instance())
        assert _ask(url, "instance-id", token=False) == "401"
        assert [_ask(url, "instance-id"), _ask(url, "tags/instance/a"), _ask(url, "spot/instance-action")] == [
            "i-1",
            "404",
            "404",
        ]
        assert _ask(url, "iam/security-credentials/") == "404"
        account.end(account.instances["i-1"])
        assert _ask(url, "instance-id") == "404"
        account.add(_instance(IamInstanceProfile={"Name": "r"}, MetadataOptions={"InstanceMetadataTags": "enabled"}))
        marked = account.instances["i-1"]
        marked.spot_status, marked.spot_changed_at = "marked-for-termination", "2026-11-23T01:00:00.000Z"
        assert [_ask(url, "iam/security-credentials/"), _ask(url, "tags/instance/a")] == ["r", "b"]
        assert json.loads(_ask(url, "iam/security-credentials/r"))["Code"] == "Success"
        notice = {"action": "terminate", "time": "2026-11-23T01:02:00Z"}
        assert json.loads(_ask(url, "spot/instance-action")) == notice

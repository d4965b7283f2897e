"""What OpenSSH and rsync make of what we tell them: the programs themselves are asked."""

import subprocess
from pathlib import Path

import pytest
from tests.unit.wire.ssh.test_parts import PATTERNS

from rayfleet.contracts import Login
from rayfleet.wire.ssh.openssh import configuration
from rayfleet.wire.ssh.session import Target

pytestmark = pytest.mark.e2e


def test_openssh_reads_our_configuration_as_it_is_meant(tmp_path: Path) -> None:
    """`ssh -G` prints what it understood."""
    login = Login("me", "/k e/id", port=2222, proxy_command="nc %h %p | cat")
    target = Target("10.0.0.1", login, known_hosts=tmp_path / "known hosts")
    (tmp_path / "config").write_text(configuration(target, tmp_path))
    told = subprocess.run(
        ["ssh", "-G", "-F", str(tmp_path / "config"), "10.0.0.1"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for line in (
        "user me",
        "port 2222",
        "identityfile /k e/id",
        "identitiesonly yes",
        "proxycommand nc 10.0.0.1 2222 | cat",
        "hostkeyalias [10.0.0.1]:2222",
        "stricthostkeychecking true",
        "batchmode yes",
    ):
        assert line in told
    assert any(line.startswith("userknownhostsfile") and "known hosts" in line for line in told)


@pytest.mark.parametrize(("pattern", "path", "folder", "expected"), PATTERNS)
def test_patterns_mean_what_they_mean_to_rsync(
    tmp_path: Path, pattern: str, path: str, folder: bool, expected: bool
) -> None:
    """It names all that it would copy."""
    place = tmp_path / "from" / path
    place.parent.mkdir(parents=True)
    if folder:
        place.mkdir()
    else:
        place.touch()
    listed = subprocess.run(
        ["rsync", "-an", "--out-format=%n", f"--exclude={pattern}", f"{tmp_path}/from/", f"{tmp_path}/to"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert (path not in [name.rstrip("/") for name in listed]) is expected

"""The tutorial on hosts of one's own, typed in from its first line to its last, with real hosts and SSH servers."""

from collections.abc import Iterator

import pytest
from tests.e2e.typing_in import Reader

from rayfleet.testing.hosts import Hosts, needs

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.timeout(600)]

LEASE = "/var/tmp/rayfleet-lease"
NOT_TYPED = ("pip install", "--watch", "attach", "dashboard")
"""What is there already, and what goes on until somebody ends it; other tests have those."""
SCRIPT = """
import ray
ray.init(logging_level="error")
print("nodes:", len(ray.nodes()))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return three hosts. Where they cannot be, this fails."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    with Hosts(3, tmp_path_factory.mktemp("hosts")) as found:
        yield found


@pytest.fixture
def reader(site: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who has these hosts, a script, data, and results on the head; whatever happens, the cluster ends."""
    found = Reader("tutorials/ssh.md", tmp_path_factory.mktemp("reader"))
    theirs = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    own = dict(zip(theirs, [each.address for each in site.hosts], strict=True))
    found.save_files({**own, "ubuntu": site.login.user, "~/.ssh/id_ed25519": str(site.login.private_key)})
    (found.folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    (found.folder / "data").mkdir()
    (found.folder / "data" / "one.txt").write_text("one\n", encoding="utf-8")
    site.hosts[0].run(["sh", "-c", "mkdir -p ~/results && echo two > ~/results/two.txt"])
    try:
        yield found
    finally:
        found.type("rayfleet down rack.yaml", anyhow=True)


def test_from_the_first_line_to_the_last(site: Hosts, reader: Reader) -> None:
    said = {line: reader.type(line) for line in reader.lines(without=NOT_TYPED)}
    assert said["rayfleet config check rack.yaml"] == "rack.yaml is fine\n"
    assert [f"ok    host {each.address}" in said["rayfleet doctor rack.yaml"] for each in site.hosts] == [True] * 3
    assert "1 local.cluster.node" in said["rayfleet exec rack.yaml 'ray status'"]
    assert "nodes: 1" in said["rayfleet submit rack.yaml script.py"]
    assert "the head is never released" in said["rayfleet why rack.yaml"]
    assert site.hosts[0].run(["sh", "-c", "cat ~/data/one.txt"]).stdout == "one\n"
    assert (reader.folder / "results" / "two.txt").read_text(encoding="utf-8") == "two\n"
    assert "is down" in said["rayfleet down rack.yaml"]
    assert [each.run(["sh", "-c", f"test -e {LEASE}; echo $?"]).stdout for each in site.hosts] == ["1\n"] * 3

"""A head whose Python has Ray and no rayfleet: the wheel is really built, carried and installed, and works there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from tests.e2e.remote.laptop import Laptop

import rayfleet
from rayfleet.testing.hosts import Host, Hosts, needs

pytestmark = [pytest.mark.e2e, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

RAY = """#!{python}
from ray.scripts.scripts import main
main()
"""
LOGIN = """
unset PYTHONPATH
export PATH={venv}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PIP_NO_INDEX=1 CC={compiler}
"""
"""What every shell there begins with: the fresh environment, and no way to an index."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return a host; where it cannot be, this fails."""
    lacking = needs()
    if lacking:
        pytest.fail(f"hosts for tests need {lacking}")
    with Hosts(1, tmp_path_factory.mktemp("hosts")) as found:
        yield found


def environment(host: Host, compiler: str) -> str:
    """Make an environment with all that rayfleet needs, and without rayfleet; return its folder."""
    venv = f"{host.home}/venv{compiler.replace('/', '-')}"
    made = host.run(["python3", "-m", "venv", venv])
    assert made.returncode == 0, made.stderr
    packages = Path(ray.__file__).parents[1]
    theirs = f"{venv}/lib/{packages.parent.name}/site-packages"
    kept = [each for each in packages.iterdir() if not each.name.startswith(("rayfleet", "pip", "__"))]
    linked = [str(each) for each in kept if each.suffix != ".pth"]
    link = 'cd "$0" && for each; do [ -e "${each##*/}" ] || ln -s "$each" . || exit 1; done'
    assert host.run(["sh", "-c", link, theirs, *linked]).returncode == 0
    script = host.path(f"{venv}/bin/ray")
    script.write_text(RAY.format(python=f"{venv}/bin/python"), encoding="utf-8")
    script.chmod(0o755)
    login = host.path(f"{host.home}/.bashrc")
    login.write_text(LOGIN.format(venv=venv, compiler=compiler), encoding="utf-8")
    return venv


@pytest.mark.parametrize("compiler", ["cc", "/none/cc"])
def test_a_head_without_rayfleet_gets_it(site: Hosts, tmp_path: Path, compiler: str) -> None:
    (host,) = site.hosts
    venv = environment(host, compiler)
    laptop = Laptop(tmp_path, "bare")
    config = {
        "cluster_name": "bare",
        "provider": {"type": "local", "head_ip": host.address, "worker_ips": []},
        "auth": {"ssh_user": "root", "ssh_private_key": site.login.private_key},
    }
    (tmp_path / "bare.yaml").write_text(json.dumps(config), encoding="utf-8")
    ran = laptop.rayfleet("up", "bare.yaml", "--timeout", "300")
    assert f"installing rayfleet {rayfleet.__version__}" in ran.stderr
    there = laptop.rayfleet("exec", "bare", "~/.rayfleet/.bin/rayfleet --version; which python").stdout.splitlines()
    assert there == [f"rayfleet {rayfleet.__version__}", f"{venv}/bin/python"]
    where = "cd /; python -c 'import rayfleet; print(rayfleet.__file__)'"
    installed = Path(laptop.rayfleet("exec", "bare", where).stdout.strip())
    assert installed.is_relative_to(venv)
    assert host.path(str(installed.parent / "planner/packing/_kernel.so")).exists() is (compiler == "cc")
    machines = json.loads(laptop.rayfleet("status", "bare", "--json").stdout)["machines"]
    assert [each["head"] for each in machines] == [True]  # which the controller there has reported
    assert json.loads(laptop.rayfleet("down", "bare", "--json").stdout)["ok"]

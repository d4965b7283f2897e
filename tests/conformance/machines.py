"""Real machines of provider `process` for tests: short commands, in folders that are checked to be gone at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rayfleet.contracts import LaunchRequest, Provider, ProviderContext, StartScript
from rayfleet.model import CPU, FrozenMap, OfferKey, Pool, Resources
from rayfleet.providers.process import PROVIDER, Settings
from rayfleet.providers.process.leftovers import Leftover, left_behind

QUICK = Settings(start_attempts=2, retry_delay_s=0.05, grace_s=1.0, start_window_s=20.0, max_concurrent_starts=4)

JOINS = 'touch "$RAYFLEET_MACHINE_DIR/started"; '
"""A command's first line when it plays a node that joins at once."""

NODE = JOINS + "sleep 300 & wait"
"""A node with a child. SIGTERM ends the shell only: the child is left for the provider to find."""

POOL = Pool("cpu1", Resources.of({CPU: 1}))


def shell(script: str, **env: str) -> StartScript:
    """Return a start script that runs `script` in sh."""
    return StartScript(("sh", "-c", script), FrozenMap(env))


def always(script: StartScript) -> Callable[[Pool, bool], StartScript]:
    """Return a `start_script` that says the same of every pool."""

    def start_script(pool: Pool, head: bool) -> StartScript:
        return script

    return start_script


def request(batch: str, *claims: str, head: bool = False) -> LaunchRequest:
    """Return a request for machines of the pool."""
    return LaunchRequest(batch, OfferKey(POOL.name), POOL, claims, head=head)


class Fleet:
    """Clusters below one folder, each with its state; every provider that was made of them."""

    def __init__(self, folder: Path, script: StartScript, settings: Settings = QUICK) -> None:
        """Keep state below `folder`; machines run `script`."""
        self.folder = folder
        self.script = script
        self.settings = settings
        self._clusters: set[str] = set()

    def state_dir(self, cluster: str) -> Path:
        """Return the cluster's folder."""
        self._clusters.add(cluster)
        return self.folder / cluster

    def provider(self, cluster: str = "c") -> Provider:
        """Return a new provider object for a cluster."""
        context = ProviderContext(cluster, self.state_dir(cluster), self.settings, always(self.script))
        return PROVIDER.build(context)

    def processes(self, cluster: str = "c") -> tuple[Leftover, ...]:
        """Return the living processes of a cluster."""
        return left_behind(cluster, self.state_dir(cluster))

    def machine_ids(self, cluster: str = "c") -> set[str]:
        """Return the ids of machines that have a living process."""
        return {process.machine_id for process in self.processes(cluster)}

    def check_nothing_left(self) -> None:
        """Fail when any process of any cluster still lives; end it all the same."""
        from signal import SIGKILL

        from rayfleet.providers.process.procfs import send_signal

        left = [process for cluster in sorted(self._clusters) for process in self.processes(cluster)]
        commands = [f"{process.machine_id}: {process.command}" for process in left]
        for process in left:
            send_signal(process.key, SIGKILL)
        assert not commands, "processes were left behind"


@contextmanager
def fleet(folder: Path, script: str = NODE, settings: Settings = QUICK) -> Iterator[Fleet]:
    """Give a fleet and fail when it leaves a process behind."""
    made = Fleet(folder, shell(script), settings)
    try:
        yield made
    finally:
        made.check_nothing_left()

"""A cluster elsewhere, as the machine that launches it has it: its folder, its configuration, its provider.

Everything that `up`, `down` and `gc` ask of the world outside goes through a `Site`, so that tests can have their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from rayfleet import wiring
from rayfleet.bootstrap.again import Again
from rayfleet.bootstrap.visit import Progressed
from rayfleet.config import ClusterSpec
from rayfleet.contracts import Login, Machine, Provider, ProviderContext, StartScript
from rayfleet.engines.ray.settings import RaySettings
from rayfleet.launcher import home as homes
from rayfleet.launcher.errors import NotRunning
from rayfleet.launcher.home import Home
from rayfleet.launcher.progress import Progress
from rayfleet.launcher.progress import Step as Told
from rayfleet.launcher.remote import where as notes
from rayfleet.launcher.remote.login import login_of
from rayfleet.launcher.remote.where import Where
from rayfleet.launcher.spec import Wanted
from rayfleet.wire.ssh.opening import open_ssh
from rayfleet.wire.ssh.session import Ssh

ANY_ADDRESS: Final = "127.0.0.1"
"""How the head's own shells reach its Ray, before anybody knows its address."""


Maker = Callable[["Site", Again | None, Progress], Provider]


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster elsewhere. `make`: builds its provider, told what is done once more and who hears of each step.

    `before_start`: awaited with a head that is set up, before its Ray is started.
    """

    home: Home
    spec: ClusterSpec
    login: Login
    ray: RaySettings
    ssh: Ssh
    make: Maker
    before_start: Callable[[Machine], Awaitable[None]] | None = None

    def provider(self, progress: Progress, again: Again | None = None) -> Provider:
        """Return the provider, which makes nodes of the machines that it lists."""
        return self.make(self, again, progress)

    def where(self) -> Where:
        """Return where the head is, as far as it is known. See `at`."""
        try:
            found = notes.load(self.home) or Where(self.spec.provider)
        except NotRunning:  # damaged: the machines are found without it, by their tags
            found = Where(self.spec.provider)
        kind, keys = self.spec.provider, wiring.host_keys(self.spec, self.home.path)
        made = not wiring.registry()[kind].keeps_hosts
        login = wiring.own_login(self.spec, self.login, found.internal)
        return replace(found, kind=kind, login=login, known_hosts=str(keys or ""), made=made)

    def at(self, machine: Machine) -> Where:
        """Return it with the head being that machine."""
        login = wiring.own_login(self.spec, self.login, machine.address)
        return replace(self.where(), login=login).at(machine)


def prepare(wanted: Wanted, ssh: Ssh, make: Maker | None = None) -> Site:
    """Make the cluster's folder with its key, token and configuration, and the note that it is elsewhere.

    For whoever holds the lease. Nothing is launched before the note is there: from then on `down` knows what to do.

    Raises:
        LauncherError: the folder cannot be made, or the key cannot be used.
    """
    home = homes.create(wanted.name)
    login = login_of(wanted.spec, home)
    ray = wiring.remote_settings(wanted.spec, home.path, ANY_ADDRESS)
    ray.save()
    home.write(home.config, wanted.text)
    site = Site(home, wanted.spec, login, ray, ssh, make or bootstrapped)
    notes.save(home, site.where())
    return site


def glimpse(wanted: Wanted) -> Site:
    """Return a site that is only looked at: nothing is made or written.

    Raises:
        LauncherError: the key that its file names cannot be used.
    """
    home = homes.Home(homes.root() / wanted.name)
    ray = wiring.remote_settings(wanted.spec, home.path, ANY_ADDRESS)
    return Site(home, wanted.spec, wiring.login(wanted.spec), ray, open_ssh(), bootstrapped)


def bootstrapped(site: Site, again: Again | None, progress: Progress) -> Provider:
    """Return the real provider of a site: whatever it lists is set up over SSH by its recipe."""

    def told(news: Progressed) -> None:
        said = news.failed.splitlines()[0] if news.failed else news.step
        progress(Told(f"{news.machine_id}: {said}", news.number, news.of or None))

    elsewhere = wiring.Elsewhere(
        adds=lambda: wiring.node_extra(site.spec, site.ray),
        skip=lambda machine: not machine.head,  # the workers are the business of the controller there
        login=site.login,
        again=again,
        progress=told,
        before_start=site.before_start,
        ssh=site.ssh,
        known_hosts=wiring.host_keys(site.spec, site.home.path),
        outside=True,
        user_data=False,  # somebody here has to log in to the head in any case, and can tell how it goes
    )
    return wiring.provider_for(site.spec, site.home.path, site.ray, elsewhere)


def bare(site: Site) -> Provider:
    """Return the provider alone: it lists, and takes back, and sets nothing up."""
    return alone(site.spec, site.home, site.login)


def alone(spec: ClusterSpec, home: Home, login: Login) -> Provider:
    """Return such a provider on whichever computer has the cluster's folder."""
    return wiring.registry()[spec.provider].build(
        ProviderContext(
            cluster=spec.name,
            state_dir=home.path,
            settings=spec.provider_settings,
            start_script=lambda _pool, _head: StartScript(()),
            types=wiring.type_configs(spec),
            login=login,
        )
    )

"""Real hosts for tests, on this machine alone: each has its own network, processes, files and SSH server.

    with Hosts(3, folder) as site:
        site.hosts[0].address, site.login       # whom to log in to, and how
        site.hosts[1].cut_off()                 # and reconnect(), power_cycle(), replace()

Needs root, and the programs of iproute2, util-linux and openssh-server. Nothing is left when the block ends, even by
kill -9: a host ends with the thread that started it.
"""

from rayfleet.testing.hosts.host import Host
from rayfleet.testing.hosts.site import Hosts, needs

__all__ = ["Host", "Hosts", "needs"]

"""An emulator of Google Compute Engine, small but strict: it knows only what Google's own description of the API knows.

with GcpEmulator() as cloud:
    settings = Settings(project_id="test-project", availability_zone="us-central1-a", endpoint=cloud.endpoint)
"""

from rayfleet.testing.clouds.gcp.account import Account, Launched
from rayfleet.testing.clouds.gcp.faults import Fault
from rayfleet.testing.clouds.gcp.server import GcpEmulator

__all__ = ["Account", "Fault", "GcpEmulator", "Launched"]

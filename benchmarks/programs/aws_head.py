"""A process of its own that launches a head by provider `aws`: python -m benchmarks.programs.aws_head URL FOLDER.

It ends once the head runs and its public address is known, and prints that. This is the provider's part of
`rayfleet up`, from the start of Python on; a listing is asked for every second, as nothing here hears of changes.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

from rayfleet.contracts import LaunchRequest, Login, MachineState, ProviderContext, StartScript
from rayfleet.model import CPU, Market, OfferKey, Pool, Resources
from rayfleet.providers.aws import PROVIDER, Settings

REGION: Final = "us-west-2"
KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 somebody"
_POLL_S: Final = 1.0


def _nothing(pool: Pool, head: bool) -> StartScript:  # noqa: FBT001, ARG001 - the contract's
    return StartScript(())


async def head(url: str, folder: Path) -> str:
    """Launch a head and return its public address."""
    pool = Pool("head", Resources.of({CPU: 2}))
    context = ProviderContext(
        "bench", folder, Settings(endpoint_url=url), _nothing, {}, Login("ubuntu", public_key=KEY)
    )
    provider = PROVIDER.build(context)
    if not await provider.list():
        offer = OfferKey(pool.name, "aws", REGION, None, Market.ON_DEMAND)
        await provider.launch(LaunchRequest("b1", offer, pool, ("head",), head=True))
    while True:
        machines = await provider.list()
        if machines and machines[0].state is MachineState.RUNNING:
            await provider.close()
            return machines[0].public_address
        await asyncio.sleep(_POLL_S)


if __name__ == "__main__":
    print(asyncio.run(head(sys.argv[1], Path(sys.argv[2]))))

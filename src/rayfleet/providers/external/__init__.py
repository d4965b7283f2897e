"""Provider `external`: machines from a node provider class that a user has already, written for Ray's own autoscaler.

    provider (the contract; writes down what it asks for) --> adapter (one call at a time) --> the user's class

Ray is imported here by nobody but that class.
"""

from rayfleet.contracts import SET_UP_TIMEOUT_S, Provider, ProviderContext, ProviderKind
from rayfleet.providers.external.settings import Settings


def _build(context: ProviderContext) -> Provider:
    from rayfleet.providers.external.adapter import Adapter
    from rayfleet.providers.external.provider import ExternalProvider

    section = context.settings.section
    return ExternalProvider(context, Adapter(context.settings.module, section, context.cluster))


PROVIDER = ProviderKind(
    name="external", settings=Settings, build=_build, boot_timeout_s=SET_UP_TIMEOUT_S, remote=True, user_data=False
)

__all__ = ["PROVIDER", "Settings"]

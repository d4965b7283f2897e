"""Provider `_template`: the smallest complete provider, to be copied. Its README says how.

It is also a working one: an in-memory place with stock, a quota and machines that take a moment to boot.
"""

from rayfleet.contracts import Provider, ProviderContext, ProviderKind
from rayfleet.model import StandbyMode
from rayfleet.providers._template.settings import Settings


def _build(context: ProviderContext) -> Provider:
    # Imported here: this module is read whenever a configuration is checked, and a cloud's SDK takes seconds to load.
    from rayfleet.providers._template.place import place_at
    from rayfleet.providers._template.provider import TemplateProvider

    return TemplateProvider(context, place_at(context.settings.endpoint))


PROVIDER = ProviderKind(name="_template", settings=Settings, build=_build, standby=(StandbyMode.STOPPED,))

__all__ = ["PROVIDER", "Settings"]

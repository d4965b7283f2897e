"""What a user may set in the `provider:` section.

Unknown keys are refused, so that a typing error is found before it costs money.
"""

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """The `provider:` section of `type: _template`. Times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = "memory"
    """Which place to talk to; here the name of one in this process."""

    list_interval_s: float = Field(default=10.0, gt=0)
    """Listing more often than this is not worth its cost."""

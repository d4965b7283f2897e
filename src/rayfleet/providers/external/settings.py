"""What a user may set in the `provider:` section for `type: external`: whatever their class reads."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict


def _dotted(path: str) -> str:
    *folder, name = path.split(".")
    if not folder or not all(part.isidentifier() for part in (*folder, name)):
        raise ValueError(f"must be a package and a class, as my_package.MyNodeProvider; it is {path!r}")
    return path


class Settings(BaseModel):
    """The `provider:` section of `type: external`. Unknown keys are the class's own: it gets the whole section."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    uses: ClassVar[tuple[str, ...]] = (
        "auth", "docker", "file_mounts", "cluster_synced_files", "file_mounts_sync_continuously", "rsync_exclude",
        "rsync_filter", "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
        "head_start_ray_commands", "worker_start_ray_commands", "node_config", "head_node_config",
        "worker_node_config", "no_restart",
    )  # fmt: skip

    module: Annotated[str, AfterValidator(_dotted)]
    """The class, as `package.module.Class`; it must be importable where the controller runs."""

    use_internal_ips: bool = False
    """Whether machines are reached at their internal addresses only."""

    @property
    def section(self) -> dict[str, Any]:
        """Return the whole section as the class gets it."""
        return {"type": "external", **self.model_dump(mode="python")}

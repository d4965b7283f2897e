"""The account that the head runs as, so that its controller may launch and release workers without anybody's key."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from rayfleet.contracts import Denied, Flaky
from rayfleet.providers.gcp.calls import Calls
from rayfleet.providers.gcp.client import CallFailed
from rayfleet.providers.gcp.errors import error
from rayfleet.providers.gcp.settings import Settings

ACCOUNT: Final = "rayfleet-head"
ROLES: Final = (
    "roles/compute.instanceAdmin.v1",
    "roles/compute.viewer",
    "roles/iam.serviceAccountUser",
)
"""What the head's controller needs: machines, a look at networks and rules, and to give workers an account."""
TPU_ROLE: Final = "roles/tpu.admin"
LOOKS: Final = 10
HINT: Final = "set provider.service_account to one that exists (`default` is the project's own), or allow it"


class Identity:
    """Found or made once, when the first head is launched."""

    def __init__(self, settings: Settings, calls: Calls, *, tpus: bool) -> None:
        """Take how to ask, and whether the cluster has TPUs."""
        self._roles = (*ROLES, TPU_ROLE) if tpus else ROLES
        self._settings = settings
        self._calls = calls
        self._email = ""
        self._finding = asyncio.Lock()

    async def of_head(self) -> str:
        """Return the e-mail of the head's account, `default` for the project's own.

        Raises:
            Denied: we may neither find nor make it.
            Flaky: no answer.
        """
        if self._settings.service_account:
            return self._settings.service_account
        async with self._finding:
            if not self._email:
                try:
                    self._email = await self._found_or_made()
                except CallFailed as failed:
                    told = error(failed.trouble, None)
                    if isinstance(told, Flaky):
                        raise told from failed
                    raise Denied(f"the head's service account {ACCOUNT}: {told}; {HINT}") from failed
            return self._email

    async def _found_or_made(self) -> str:
        project = await self._calls.once(lambda: self._calls.compute.project)
        email = f"{ACCOUNT}@{project}.iam.gserviceaccount.com"
        made = await self._ensure_account(project, email)
        try:
            await self._ensure_roles(project, f"serviceAccount:{email}")
        except CallFailed as failed:
            # Who may not look at the project's policy takes the account as its administrator has made it.
            if made or failed.trouble.status != HTTPStatus.FORBIDDEN:
                raise
        return email

    async def _ensure_account(self, project: str, email: str) -> bool:
        """Make the account if need be; say whether it was made."""
        path = f"v1/projects/{project}/serviceAccounts"
        if await self._exists(f"{path}/{email}"):
            return False
        about = {"accountId": ACCOUNT, "serviceAccount": {"displayName": "Heads of rayfleet's clusters"}}
        try:
            await self._iam("POST", path, about)
        except CallFailed as failed:
            if not failed.trouble.exists:
                raise
        for _ in range(LOOKS):  # a new account is not known everywhere at once
            if await self._exists(f"{path}/{email}"):
                return True
            await asyncio.sleep(self._settings.poll_s)
        raise Denied(f"the head's service account {email} was made, and Google does not know it yet; try again")

    async def _exists(self, path: str) -> bool:
        try:
            await self._iam("GET", path)
        except CallFailed as failed:
            if failed.trouble.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    async def _ensure_roles(self, project: str, member: str) -> None:
        policy = await self._project(project, "getIamPolicy", {"options": {"requestedPolicyVersion": 3}})
        bindings: list[dict[str, Any]] = policy.setdefault("bindings", [])
        has = {row["role"] for row in bindings if member in row.get("members", ()) and not row.get("condition")}
        missing = [role for role in self._roles if role not in has]
        if not missing:
            return
        bindings += [{"role": role, "members": [member]} for role in missing]
        await self._project(project, "setIamPolicy", {"policy": policy})

    async def _iam(self, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._calls.once(self._calls.compute.request, verb, "iam", path, body)

    async def _project(self, project: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        path = f"v1/projects/{project}:{verb}"
        return await self._calls.once(self._calls.compute.request, "POST", "cloudresourcemanager", path, body)

"""From what a user typed to a resource: a file, `k8s:CONTEXT/NAMESPACE/NAME`, a name for kubectl, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rayfleet.launcher.errors import LauncherError
from rayfleet.launcher.home import is_config
from rayfleet.launcher.kube.look import only_cluster
from rayfleet.launcher.kube.manifest import Manifest, read_manifest
from rayfleet.launcher.kube.target import PREFIX, Target, named, typed
from rayfleet.wire.kube.kube import Kube


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed. `context`, `namespace` None: as the word, the file or the kubeconfig says."""

    word: str | None
    context: str | None = None
    namespace: str | None = None

    @property
    def reached_by(self) -> str | None:
        """Return the context by which it is reached, None: the current one.

        Raises:
            LauncherError: the word is no `k8s:` form.
        """
        if self.word is not None and self.word.startswith(PREFIX):
            return named(self.word, self.context).context
        return self.context

    def manifest(self, namespace: str) -> Manifest | None:
        """Return what its file asks for, None without a file. `namespace`: the context's.

        Raises:
            ConfigInvalid: with everything that is wrong with the file.
            LauncherError: it cannot be read, or names another namespace than was asked for.
        """
        if self.word is None or not is_config(self.word):
            return None
        try:
            text = Path(self.word).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LauncherError(f"{self.word} cannot be read: {error}") from error
        read = read_manifest(text, self.word).within(self.namespace or namespace)
        own = read.target(None).key.namespace
        if self.namespace not in (None, own):
            raise LauncherError(f"{self.word} is for namespace {own}, not {self.namespace}", "name it in one place")
        return read


async def chosen(kube: Kube, namespace: str, wanted: Wanted) -> tuple[Target, Manifest | None]:
    """Return which resource is meant, and its file's content where a file was named. `namespace`: the context's.

    Raises:
        LauncherError: none can be meant, or several.
        ConfigInvalid: its file has mistakes.
    """
    context = wanted.reached_by
    manifest = wanted.manifest(namespace)
    if manifest is not None:
        return manifest.target(context), manifest
    if wanted.word is None:
        return await only_cluster(kube, context, wanted.namespace or namespace), None
    if wanted.word.startswith(PREFIX):
        return named(wanted.word, wanted.context), None
    return typed(wanted.word, context, wanted.namespace or namespace), None

"""The cgroups of ours that are on this machine."""

from __future__ import annotations

from otel_codomon._platform import cgroup_names
from otel_codomon._platform.cgroup_folders import names_in, own_bases


def own_cgroups() -> set[str]:
    """Folders of the cgroups that processes of ours have made beside each other and not removed."""
    bases = set(own_bases().values())
    mine = cgroup_names.own_prefix() if bases else ""
    return {f"{base}/{name}" for base in bases for name in names_in(base) if name.startswith(mine)}

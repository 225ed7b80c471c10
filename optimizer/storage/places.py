"""Folders that SQLite should not live in: its locks fail there, or every write crawls."""

from pathlib import Path

import psutil

NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "vboxsf", "ceph", "glusterfs"}
WINDOWS = {"9p", "drvfs"}
"""How WSL mounts the drives of Windows."""


def slow_place(folder: Path) -> str | None:
    """What is wrong with a folder for an SQLite file, and what to do; None where it is well."""
    return _problem(folder, file_system_of(folder))


def file_system_of(folder: Path) -> str:
    """The type of the file system that a folder is on, or will be on."""
    place = folder.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    inside = [mount for mount in mounts if place.is_relative_to(mount)]
    return mounts[max(inside, key=lambda mount: len(mount.parts))] if inside else ""


def _problem(folder: Path, kind: str) -> str | None:
    if kind in WINDOWS:
        return (
            f"{folder} lies on a Windows drive ({kind}), where SQLite is slow and its locks may "
            "fail; set output_dir to a folder inside Linux, such as ~/runs"
        )
    if kind in NETWORK:
        return (
            f"{folder} lies on a network drive ({kind}), where SQLite's locks may fail; set "
            "output_dir to a local folder, or storage to a PostgreSQL URL"
        )
    return None

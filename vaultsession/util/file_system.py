"""File systems by their type: on which of them locks and flushes mean between hosts what they mean on one."""

from __future__ import annotations

from typing import Literal

Reach = Literal["local", "network", "unknown"]
"""Who writes to a file system: this host alone, several hosts, or a program that we do not know."""


NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs", "coda", "davfs"),
        *("beegfs", "beegfs_nodev", "gpfs", "panfs", "pvfs2", "orangefs", "wekafs", "ocfs2", "gfs2", "acfs"),
        *("vboxsf", "vmhgfs", "prl_fs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.cephfs", "fuse.juicefs", "fuse.JuiceFS"),
        *("fuse.s3fs", "fuse.s3backer", "fuse.goofys", "fuse.mount-s3", "fuse.mountpoint-s3", "fuse.rclone"),
        *("fuse.gcsfuse", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mfs", "fuse.moosefs", "fuse.lizardfs"),
        *("fuse.saunafs", "fuse.seaweedfs", "fuse.objectivefs", "fuse.alluxio-fuse", "fuse.beegfs", "fuse.hdfs"),
        *("fuse.davfs", "fuse.davfs2", "fuse.curlftpfs", "fuse.smbnetfs", "fuse.gvfsd-fuse", "fuse.kio-fuse"),
        *("fuse.vmhgfs-fuse", "fuse.grpcfuse", "fuse.google-drive-ocamlfuse", "fuse.dbxfs", "fuse.onedriver"),
    )
)
"""File systems of servers, clusters and the hosts of virtual machines. After ``fuse.`` stands what the program says."""

LOCAL_FUSE = frozenset(
    f"fuse.{name}"
    for name in (
        *("gocryptfs", "encfs", "cryfs", "securefs", "ecryptfs", "mergerfs", "bindfs", "unionfs", "unionfs-fuse"),
        *("fuse-overlayfs", "ntfs-3g", "exfat", "apfs", "ext2", "fuse2fs", "zfs", "btrfs", "lxcfs", "portal"),
    )
)
"""Programs that serve a disk of this host."""


def reach_of(kind: str) -> Reach:
    """Who writes to a file system of this type, as the table of mounts has it; of one that is unnamed, this host."""
    if kind in NETWORK:
        return "network"
    if kind == "virtiofs" or (kind.startswith("fuse.") and kind not in LOCAL_FUSE):
        return "unknown"
    return "local"

#!/bin/sh
# A node's first process, started in new mount, uts, ipc, net and pid namespaces: makes the node's root, moves into it
# and becomes its init. Everything it mounts dies with it.
#   boot.sh FOLDER NAME LOWERDIRS DATA
set -eu
folder=$1 name=$2 lower=$3 data=$4
read -r pid _ < /proc/self/stat # still the host's /proc: the number by which the host knows us

hostname "$name"
mkdir -p "$folder"
mount -t tmpfs -o mode=755 node "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" root "$folder/root"
cd "$folder/root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sysfs sys
mount -t devtmpfs -o nosuid devtmpfs dev # the host's: loop devices belong to the kernel, not to a namespace
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o nosuid,nodev shm dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 run run
mount -t tmpfs -o nosuid,nodev tmp tmp
mkdir -p .old run/lock srv/registry
mount --bind "$data/home" home
mount --bind "$data/shared" shared
[ "$name" != login ] || mount --bind "$data/registry" srv/registry

pivot_root . .old
# systemd makes the mounts of a real node shared, and that is what software on it has to cope with.
# shellcheck disable=SC2016
exec chroot . sh -euc '
    umount -l /.old
    rmdir /.old
    mount --make-rshared /
    echo "$1"
    exec tini -s -- sleep infinity < /dev/null > /dev/null 2>&1
' sh "$pid"

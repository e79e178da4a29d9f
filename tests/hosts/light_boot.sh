# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
# shellcheck shell=sh disable=SC2154,SC2164
# Turns new namespaces into a host. Runs as PID 1 in the host's folder; executes systemd at the end.
quiet=nosuid,nodev,noexec

ip -batch - <<END
link set lo up
link add eth0 address $MAC type veth peer name veth$INDEX netns $LAB
addr add $IP/24 dev eth0
link set eth0 up
route add default via $GATEWAY
END
nsenter --net="$LAB" ip link set "veth$INDEX" master br0 up
echo "$NAME" > /proc/sys/kernel/hostname

mount -t overlay -o "lowerdir=$ROOTFS,upperdir=upper,workdir=work" testhost root
for dir in var tmp; do # an overlay cannot be the upper layer of another one
    mount --bind $dir root/$dir
done
cd root

mount -t tmpfs -o nosuid,nodev,mode=755,size=10% tmpfs run
mount -t tmpfs -o nosuid,mode=755,size=4m tmpfs dev
mkdir dev/pts dev/shm dev/mqueue dev/.proc dev/.sys
for device in null zero full random urandom tty fuse net; do
    [ ! -e /dev/$device ] || cp -a /dev/$device dev/
done
ln -s pts/ptmx dev/ptmx
: > dev/console
mount --bind "$CONSOLE" dev/console
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777,size=10% tmpfs dev/shm

# The kernel lets a user namespace mount proc and sysfs only if complete ones are visible: these.
mount -t proc -o $quiet proc dev/.proc
mount -t sysfs -o $quiet sysfs dev/.sys

# The machine's settings are read-only, those of the host's own network are not, and every boot has its own id.
mount -t proc -o $quiet proc proc
mount -t sysfs -o $quiet sysfs sys
for dir in proc/sys proc/sys/net; do mount --bind $dir $dir; done
for dir in proc/sys sys; do mount -o remount,bind,ro,$quiet $dir; done
[ ! -e proc/sysrq-trigger ] || mount --bind dev/null proc/sysrq-trigger
cat proc/sys/kernel/random/uuid > run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id

# The machine's cgroup layout with this host's groups as roots, or the v2 tree alone.
if [ "${TREES:-unified}" = unified ]; then
    mount -t cgroup2 -o $quiet cgroup2 sys/fs/cgroup
    TREES=
fi
[ -z "$TREES" ] || mount -t tmpfs -o $quiet,mode=755,size=1m tmpfs sys/fs/cgroup
for tree in $TREES; do
    mkdir "sys/fs/cgroup/${tree#*name=}"
    if [ "$tree" = unified ]; then
        mount -t cgroup2 -o $quiet cgroup "sys/fs/cgroup/$tree"
    else
        mount -t cgroup -o "$quiet,$tree" cgroup "sys/fs/cgroup/${tree#*name=}"
    fi
done

pivot_root . .
umount -l .
mount --make-rshared / # as on a host that booted by itself
exec env -i container=testhost TERM=dumb PATH="$PATH" /sbin/init

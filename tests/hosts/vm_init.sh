# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
# shellcheck shell=dash disable=SC2154,SC2163,SC2013
# The initrd's /init: load virtio, mount the disk, set the network up, give the machine its identity on its first boot.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
for word in $(cat /proc/cmdline); do
    case $word in th.*) export "${word#th.}" ;; esac
done
while [ ! -b /dev/vda ]; do sleep 0.05; done
mount -t ext4 /dev/vda /root
ip link set lo up
ip link set eth0 up
ip addr add "$addr/24" dev eth0
ip route add default via "$gw"
if [ ! -s /root/etc/machine-id ]; then
    tr -d - < /proc/sys/kernel/random/uuid > /root/etc/machine-id
    echo "$name" > /root/etc/hostname
    printf '%s\n' "127.0.0.1 localhost" "::1 localhost" "$gw lab" "$addr $name" > /root/etc/hosts
fi
mount --move /dev /root/dev
umount /proc
umount /sys
exec switch_root /root /sbin/init

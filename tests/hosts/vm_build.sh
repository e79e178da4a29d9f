# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
# shellcheck shell=sh disable=SC2154
# Makes the kernel, the initrd and the disk that the disks of all machines lie over. Runs in the folder for them.
umask 022
package=$(apt-cache depends "$KERNEL" | sed -n 's/^ *Depends: //p')
abi=${package#linux-image-}
apt-get -qq -o APT::Sandbox::User=root download "${package:?no $KERNEL in the package index, try apt-get update}"
dpkg -x linux-image-*.deb kernel
mv "kernel/boot/vmlinuz-$abi" vmlinuz
depmod -b kernel "$abi"

# What loads profiles: Debian's kernel has AppArmor, and the root file system only its library.
apt-get -qq -o APT::Sandbox::User=root download apparmor
dpkg -x apparmor_*.deb apparmor

# The base of Debian's policy for SELinux, which a kernel without AppArmor takes.
apt-get -qq -o APT::Sandbox::User=root download selinux-policy-default semodule-utils
for file in selinux-policy-default_*.deb semodule-utils_*.deb; do dpkg -x "$file" selinux; done
"$ROOTFS/bin/busybox" bunzip2 -c selinux/usr/share/selinux/default/base.pp.bz2 > selinux/base.pp
selinux/usr/bin/semodule_expand -c 33 selinux/base.pp selinux/base.policy > /dev/null

mkdir -p initrd/bin initrd/modules initrd/proc initrd/sys initrd/dev initrd/root
cp "$ROOTFS/bin/busybox" initrd/bin/
{
    echo '#!/bin/busybox sh'
    printf %s "$INIT"
} > initrd/init
chmod 755 initrd/init
modprobe -d "$PWD/kernel" -S "$abi" --show-depends -a virtio_pci virtio_blk virtio_net | awk '!seen[$2]++ { print $2 }' > list
n=10
while read -r file; do
    cp "$file" "initrd/modules/$n-${file##*/}"
    n=$((n + 1))
done < list
(cd initrd && find . | bin/busybox cpio -o -H newc 2> /dev/null) | gzip > initrd.gz

# The disk is filled from an overlay: the additions of machines to light hosts, over the root file system.
mkdir -p add/usr/lib add/root/.ssh add/etc merged
chmod 700 add/root add/root/.ssh
mv kernel/lib/modules add/usr/lib/
mkdir -p add/usr/sbin add/usr/share/selinux
cp selinux/base.policy add/usr/share/selinux/
find apparmor -name apparmor_parser -type f -exec cp {} add/usr/sbin/ \;
cp "$KEY" add/root/.ssh/authorized_keys
: > add/etc/machine-id
mount -t overlay -o "lowerdir=add:$ROOTFS" testhost merged
mke2fs -q -t ext4 -d merged new.img "$DISK" > /dev/null
umount merged
mv new.img base.img
rm -r kernel initrd add merged apparmor selinux list ./*.deb

# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
# shellcheck shell=sh
# The state of a host that a pod or the role could leave behind, one line a thing. Files that systemd itself keeps
# writing are left out, and net.ipv4.ip_forward, which stays on once it was needed: others may rely on it by now.
export LC_ALL=C
echo "== mounts"
cut -d' ' -f4- /proc/self/mountinfo | grep -v ' /run/user/' | sed 's/ master:[0-9]*//; s,^/[0-9]* /dev/console ,/N /dev/console ,; s/ shared:[0-9]*//; s/,uuid=on//; s/,pipe_ino=[0-9]*//; s/fd=[0-9]*,//' | sort
echo "== network"
ip -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//' | sort
ip -o addr | sed 's/^[0-9]*: //; s/ tentative//; s/valid_lft.*//' | sort
ip route
nft list ruleset
echo "== cgroups"
find /sys/fs/cgroup -type d 2> /dev/null | grep -E 'pod|machine' | sort
echo "== units"
systemctl list-unit-files --no-legend | grep -v ' transient ' | sort
systemctl list-units --all --no-legend --plain 'pod*' 'machine*'
echo "== processes"
ps -eo ppid=,comm= | awk '$1 != 2 { print $2 }' | grep -Ev '^(sshd|ps|awk|grep|sort|uniq|sh|bash|kthreadd|\(sd-pam\)|systemd.*)$' | sort
echo "== files"
find /etc /usr /opt /root /srv /var /run/pods -xdev \
    \( -path /root/.ansible -o -path /var/log -o -path /var/lib/systemd -o -path /var/tmp -o -path /var/cache \
    -o -name __pycache__ \) -prune -o -printf '%y %m %u %g %p %l\n' 2> /dev/null | sort

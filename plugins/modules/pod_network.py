#!/usr/bin/python

# Copyright (c) 2026 the stagecraft.pods authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_network
short_description: Define networks that pods join
version_added: 0.8.0
author:
  - the stagecraft.pods authors (@stagecraft)
description:
  - Ensures that a network is defined on a host as described, or that the host does not define it.
  - A definition is a configuration of CNI in C(net.d) of the configuration directory. It takes effect when a pod joins the
    network, so there is nothing to start.
  - A file that no task has made is never changed. If it means what is described, nothing is to be done.
extends_documentation_fragment:
  - stagecraft.pods._attributes
  - stagecraft.pods._host
  - stagecraft.pods._group
options:
  name:
    description:
      - The name of the network, as O(stagecraft.pods.pod_run#module:networks) has it.
      - V(default) and V(default-restricted) are built in; a definition replaces a built-in one as long as it is there.
    type: str
    required: true
  state:
    description:
      - Whether the host defines the network.
      - V(absent) refuses a network that a running or prepared pod has, unless the pod could join it all the same, since it
        is built in or defined in the configuration of the system.
    type: str
    choices: [present, absent]
    default: present
  type:
    description:
      - The type, such as V(bridge), a switch on the host that all pods of the network are at, or V(ptp), a link of its own
        for each pod.
      - V(macvlan), V(ipvlan) and V(vlan) are links below a device of the host, V(host-device) is a device of the host
        itself, V(tap) an interface for a program of the pod, V(dummy) one that leads nowhere, V(loopback) the pod's own
        C(lo). V(flannel) is the network that flanneld has got a subnet for.
      - Types that are not built in need the program of a CNI plugin on the host, as in Debian's package
        containernetworking-plugins. Members of a configuration that have no option are written as O(conf).
    type: str
    default: bridge
  subnets:
    description:
      - The subnets that pods get their addresses of, one address of each. A string is the short form of the option
        C(subnet), such as V(10.78.0.0/24) or V(fd00:78::/64).
      - V(auto) is an IPv4 subnet, and V(auto6) an IPv6 subnet, that is chosen when the network is defined, and stays. No
        network, address or route of the host has it then.
      - The default is V([auto]), unless O(conf) has C(ipam). With O(master) and O(device) they must be written out.
      - V(host-device) and V(tap) as O(type) have none by default, and their interfaces no address then. V(loopback) and
        V(flannel) do not take them.
    type: list
    elements: dict
    suboptions:
      short:
        description:
          - The short form. There is no need to write it; a string is as good.
        type: str
      subnet:
        description:
          - The subnet, V(auto) or V(auto6).
        type: str
      range_start:
        description:
          - The first address that pods get. The default is the first one of the subnet.
        type: str
      range_end:
        description:
          - The last address that pods get. The default is the last one of the subnet.
        type: str
      gateway:
        description:
          - The address of the host in the subnet. The default is the first one of the subnet.
        type: str
  routes:
    description:
      - More routes of the pods.
    type: list
    elements: dict
    default: []
    suboptions:
      dst:
        description:
          - The destination, a subnet.
        type: str
        required: true
      gw:
        description:
          - The gateway, an address in a subnet of the network. The default is that of the subnet.
        type: str
  default_route:
    description:
      - Whether pods reach all other addresses through the network.
      - The default is V(true), and V(false) with O(internal=true) or O(gateway=false), and for V(host-device) and V(tap) as
        O(type).
    type: bool
  dns:
    description:
      - What the network tells its pods of name servers, which counts unless the pod has settings of its own.
    type: dict
    suboptions:
      nameservers:
        description:
          - The addresses of the servers.
        type: list
        elements: str
        default: []
      domain:
        description:
          - The domain of the pods.
        type: str
      search:
        description:
          - The domains in which short names are looked up.
        type: list
        elements: str
        default: []
      options:
        description:
          - Options of the resolver.
        type: list
        elements: str
        default: []
  bridge:
    description:
      - The name of the bridge, for O(type=bridge). It is made when the first pod joins the network and removed with the
        last one, unless the host has one of this name already.
      - The default is C(br-) and the name of the network; if that is longer than 15 characters, 12 digits of a hash of it.
    type: str
  gateway:
    description:
      - Whether the host has an address on the bridge, which is the gateway of the pods, for O(type=bridge).
      - With V(false) pods are plain ports of the bridge. They reach one another, and what else is on it, such as the
        network of a device that is a port of a bridge of the host. Where that has a way out, say O(default_route=true) and
        write its address as C(gateway) of the subnet.
      - The default is V(true).
    type: bool
    version_added: 0.12.0
  master:
    description:
      - The device of the host that the links of pods are below, for V(macvlan), V(ipvlan) and V(vlan) as O(type). Its subnet
        is that of the network, so write out O(subnets) with the gateway that is there.
    type: str
  mode:
    description:
      - The mode of the links, for V(macvlan) and V(ipvlan) as O(type), in the words of CNI.
    type: str
  vlan_id:
    description:
      - The number of the VLAN, for V(vlan) as O(type).
    type: int
  device:
    description:
      - The device of the host that moves into the pod, and comes back when the pod has ended, for O(type=host-device). One
        pod at a time can have it. O(conf) can name it by C(hwaddr), C(kernelpath) or C(pciBusID) in its place.
    type: str
    version_added: 0.12.0
  owner:
    description:
      - The number of the user who may open the interface, for O(type=tap). The default is root alone.
    type: int
    version_added: 0.12.0
  group:
    description:
      - The number of the group that may open the interface, for O(type=tap).
    type: int
    version_added: 0.12.0
  multi_queue:
    description:
      - Whether several queues of the interface can be opened, for O(type=tap).
    type: bool
    default: false
    version_added: 0.12.0
  subnet_file:
    description:
      - The file in which flanneld says what it has got, for O(type=flannel). The default is C(/run/flannel/subnet.env). It is
        read when a pod joins the network. Members of the network itself are C(delegate) in O(conf).
    type: str
    version_added: 0.12.0
  mtu:
    description:
      - The largest packet of the network in bytes. The default is the kernel's.
    type: int
  ip_masq:
    description:
      - Whether packets that leave the network get the address of the host, so that answers come back.
      - The default is V(true), and V(false) with O(internal=true) or O(gateway=false).
    type: bool
  hairpin:
    description:
      - Whether a pod can reach itself through a port that it has published, for O(type=bridge).
    type: bool
    default: false
  internal:
    description:
      - Whether no way leads out of the network. Pods reach one another and the host's address in the network, and nothing
        else. For V(bridge) and V(ptp) as O(type).
    type: bool
    default: false
  isolated:
    description:
      - Whether pods of the network are kept from one another, for O(type=bridge). They reach the host and what is beyond it,
        and of the network's own subnets the gateway alone. None of them can take the address of another, whatever frames
        it sends.
      - Ports that a pod publishes are open to the others as to everybody, unless the host has the module C(br_netfilter) and
        C(net.bridge.bridge-nf-call-iptables) is 1, as with docker. Connections of the others to them, and of a pod to its
        own, then time out.
    type: bool
    default: false
  open_firewalls:
    description:
      - Whether firewalls of others on the host, such as those of docker, firewalld or ufw, let pods of the network through,
        for V(bridge) and V(ptp) as O(type). Where a chain drops what the host forwards, each pod that joins gets rules for
        its addresses in it (sources of the zone C(trusted) with firewalld), which go with the pod.
      - Without it these are left as they are, and a start warns of a chain that may cut pods off.
      - It adds the plugin C(firewall) to the chain, so the file is a list.
    type: bool
    default: false
  conf:
    description:
      - More members of the configuration, in the words of CNI, such as C(promiscMode). They add to those that other options
        make, also in C(ipam) and C(dns), and cannot replace them.
    type: dict
  plugins:
    description:
      - Plugins that follow the one of O(type) in a chain, each with its C(type) and its other members in the words of CNI.
      - With it the file is a list, C(50-NAME.conflist).
    type: list
    elements: dict
    default: []
  restart_pods:
    description:
      - Whether running pods that have joined another definition of the network are restarted, so that they join it again.
        They keep the addresses that lie in its ranges and that no other pod has.
      - Without it, RV(affected_pods) has them, and the next task that describes one of them restarts it.
    type: bool
    default: false
seealso:
  - module: stagecraft.pods.pod_network_info
  - module: stagecraft.pods.pod_run
"""

EXAMPLES = r"""
- name: Define a network of both families
  stagecraft.pods.pod_network:
    name: br
    type: bridge
    subnets: [10.78.0.0/24, "fd00:78::/64"]

- name: Define one for a database, whose subnet does not matter and which nothing leaves
  stagecraft.pods.pod_network:
    name: backend
    subnets: [auto, auto6]
    internal: true

- name: Keep the first addresses free, and move the pods
  stagecraft.pods.pod_network:
    name: br
    subnets:
      - {subnet: 10.78.0.0/24, range_start: 10.78.0.100}
      - "fd00:78::/64"
    restart_pods: true

- name: Add plugins of CNI to one
  stagecraft.pods.pod_network:
    name: tuned
    subnets: [auto]
    plugins:
      - type: tuning
        sysctl: {net.core.somaxconn: "500"}

- name: Let pods of the default network through a firewall such as docker's
  stagecraft.pods.pod_network:
    name: default
    type: ptp
    subnets: [172.16.28.0/24]
    open_firewalls: true

- name: Make pods ports of a bridge that the host has, on the network that it is on
  stagecraft.pods.pod_network:
    name: office
    bridge: br0
    gateway: false
    default_route: true
    subnets:
      - {subnet: 192.0.2.0/24, gateway: 192.0.2.1, range_start: 192.0.2.100, range_end: 192.0.2.120}

- name: Give a pod a device of the host, and let a DHCP server there say its address
  stagecraft.pods.pod_network:
    name: uplink
    type: host-device
    device: enp2s0
    conf: {ipam: {type: dhcp}}

- name: Remove a network
  stagecraft.pods.pod_network:
    name: backend
    state: absent
"""

RETURN = r"""
network:
  description:
    - The network in the form of RV(stagecraft.pods.pod_network_info#module:networks), as it is when the task has ended.
      V(null) if nothing defines it.
  returned: success
  type: dict
affected_pods:
  description:
    - The pods that run on another definition of the network, or did so until the task has restarted them.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the pod, empty if it has none. Such a pod is not restarted.
      type: str
    uuid:
      description: Its UUID, if it was restarted that of before.
      type: str
changes:
  description:
    - All changes that were made, or would be in check mode. It is empty if and only if C(changed) is false.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The member of the configuration that differs, such as C(networks.br.mtu), or a pod that is restarted.
      type: str
    before:
      description: The value before, null if absent.
      type: str
    after:
      description: The value after, null if it is removed.
      type: str
    reason:
      description: The source of the change, one of V(playbook), V(image), V(drift) and V(runtime).
      type: str
    impact:
      description: The effect on running pods, one of V(none), V(live), V(restart) and V(recreate).
      type: str
error:
  description: The kind of an error, such as V(not-found) or V(invalid-spec).
  returned: failure
  type: str
hint:
  description: What to do about the error, empty when unknown.
  returned: failure
  type: str
facts:
  description:
    - Details of the error, for programs. Its members depend on the error.
    - C(where) is the invalid option, C(path) and C(errno) are those of a system call that failed.
  returned: failure
  type: dict
  sample:
    where: subnets[0]
"""

from ansible_collections.stagecraft.pods.plugins.module_utils._glue.module import run_module
from ansible_collections.stagecraft.pods.plugins.module_utils._glue.options import FETCH, HOST

TEXT = {"type": "str"}
TEXTS = {"type": "list", "elements": "str", "default": []}


def main() -> None:
    run_module(
        "pod_network",
        {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "type": {"type": "str", "default": "bridge"},
            "subnets": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "short": TEXT,
                    "subnet": TEXT,
                    "range_start": TEXT,
                    "range_end": TEXT,
                    "gateway": TEXT,
                },
            },
            "routes": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"dst": {"type": "str", "required": True}, "gw": TEXT},
            },
            "default_route": {"type": "bool"},
            "dns": {
                "type": "dict",
                "options": {"nameservers": TEXTS, "domain": TEXT, "search": TEXTS, "options": TEXTS},
            },
            "bridge": TEXT,
            "gateway": {"type": "bool"},
            "master": TEXT,
            "mode": TEXT,
            "vlan_id": {"type": "int"},
            "device": TEXT,
            "owner": {"type": "int"},
            "group": {"type": "int"},
            "multi_queue": {"type": "bool", "default": False},
            "subnet_file": TEXT,
            "mtu": {"type": "int"},
            "ip_masq": {"type": "bool"},
            "hairpin": {"type": "bool", "default": False},
            "internal": {"type": "bool", "default": False},
            "isolated": {"type": "bool", "default": False},
            "open_firewalls": {"type": "bool", "default": False},
            "conf": {"type": "dict"},
            "plugins": {"type": "list", "elements": "dict", "default": []},
            "restart_pods": {"type": "bool", "default": False},
            **FETCH,
            **HOST,
        },
    )


if __name__ == "__main__":
    main()

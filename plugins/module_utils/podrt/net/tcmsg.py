# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink messages of traffic control, as bytes. Pure; the tests prove what they do against tc.

Source: linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h, linux/tc_act/tc_mirred.h; tc-tbf(8).
"""

from __future__ import annotations

from struct import Struct

from .rtmsg import (
    IFLA_IFNAME,
    IFLA_MTU,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    RTM_NEWLINK,
    NetlinkRequest,
    attribute,
    attributes,
    ifinfo,
    link_info,
    number_attribute,
    text_attribute,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rates import Rate

_NLM_F_ECHO, _NLM_F_REPLACE = 0x8, 0x100
_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _GETTFILTER = 44, 46
_TCMSG = Struct("=BxxxiIII")
_ROOT, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1
_OF_TBF, _OF_INGRESS = 0x00010000, 0xFFFF0000
_KIND, _OPTIONS = 1, 2
# tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate. tc_tbf_qopt: two of them, limit, buffer, mtu.
_RATESPEC, _QUEUE = Struct("=BBHhHI"), Struct("=III")
_ETHERNET = 1
_TBF_PARMS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_U32, _U64 = Struct("=I"), Struct("=Q")
_MOST_U32 = 0xFFFFFFFF
# What waits is sent a fortieth of a second later at the latest, and else dropped, as by CNI's plugin.
_QUEUES_A_SECOND = 40
_ROOM = 64  # for headers
# tc_u32_sel with one key that any frame has.
_ANY_FRAME = Struct("=BBBxHHHHI").pack(1, 0, 1, 0, 0, 0, 0, 0) + bytes(16)
_U32_SEL, _U32_ACT = 5, 7
_FIRST, _ACT_KIND, _ACT_OPTIONS, _MIRRED_PARMS = 1, 1, 2, 2
_MIRRED = Struct("=IIiiiiI")
_STOLEN, _REDIRECT = 4, 1
_ALL_PROTOCOLS, _PRIORITY = 0x0300, 1 << 16  # ETH_P_ALL in the order of the network
_DEFAULT_MTU = 1500


def new_shaper(name: str, mtu: int) -> NetlinkRequest:
    """Make an interface, down, that frames can be led through on their way from a pod."""
    body = ifinfo() + text_attribute(IFLA_IFNAME, name) + link_info("ifb", b"")
    body += number_attribute(IFLA_MTU, mtu) if mtu else b""
    return NetlinkRequest(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make the interface {name}")


def limit_rate(index: int, rate: Rate, mtu: int) -> NetlinkRequest:
    """Limit what an interface sends. mtu 0: that of Ethernet. A burst that is smaller would stop all packets."""
    burst = min(max(rate.at_once, (mtu or _DEFAULT_MTU) + _ROOM), _MOST_U32)
    waiting = min(rate.a_second // _QUEUES_A_SECOND + burst, _MOST_U32)
    spec = _RATESPEC.pack(0, _ETHERNET, 0, 0, 0, min(rate.a_second, _MOST_U32))
    options = attribute(_TBF_PARMS, spec + bytes(_RATESPEC.size) + _QUEUE.pack(waiting, 0, 0))
    options += attribute(_TBF_BURST, _U32.pack(burst))
    if rate.a_second >= _MOST_U32:
        options += attribute(_TBF_RATE64, _U64.pack(rate.a_second))
    body = _TCMSG.pack(0, index, _OF_TBF, _ROOT, 0)
    body += text_attribute(_KIND, "tbf") + attribute(_OPTIONS, options)
    return NetlinkRequest(
        _NEWQDISC, NLM_F_CREATE | _NLM_F_REPLACE, body, f"limit what interface {index} sends"
    )


def lead_through(index: int, shaper: int) -> tuple[NetlinkRequest, NetlinkRequest]:
    """Lead all that comes in by an interface through another one first."""
    queue = _TCMSG.pack(0, index, _OF_INGRESS, _INGRESS, 0) + text_attribute(_KIND, "ingress")
    mirred = attribute(_ACT_KIND, b"mirred\0") + attribute(
        _ACT_OPTIONS, attribute(_MIRRED_PARMS, _MIRRED.pack(0, 0, _STOLEN, 0, 0, _REDIRECT, shaper))
    )
    options = attribute(_U32_SEL, _ANY_FRAME) + attribute(_U32_ACT, attribute(_FIRST, mirred))
    body = _TCMSG.pack(0, index, 0, _OF_INGRESS, _PRIORITY | _ALL_PROTOCOLS)
    body += text_attribute(_KIND, "u32") + attribute(_OPTIONS, options)
    what = f"lead what comes in by interface {index} through another one"
    return (
        NetlinkRequest(_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, queue, what),
        NetlinkRequest(_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, body, what),
    )


def let_in_directly(index: int) -> NetlinkRequest:
    """Undo lead_through."""
    body = _TCMSG.pack(0, index, _OF_INGRESS, _INGRESS, 0)
    return NetlinkRequest(_DELQDISC, 0, body, f"let in by interface {index} directly")


def get_limit(index: int) -> NetlinkRequest:
    """Ask how an interface sends. Without ECHO, only who listens to all changes gets the answer."""
    body = _TCMSG.pack(0, index, 0, _ROOT, 0)
    return NetlinkRequest(_GETQDISC, _NLM_F_ECHO, body, f"look how interface {index} sends")


def get_ways(index: int) -> NetlinkRequest:
    """Ask what becomes of what comes in by an interface."""
    body = _TCMSG.pack(0, index, 0, _OF_INGRESS, 0)
    return NetlinkRequest(_GETTFILTER, NLM_F_DUMP, body, f"look what comes in by interface {index}")


def limit_in(body: bytes) -> int:
    """The bytes a second in an answer to get_limit; 0 for any."""
    members = dict(attributes(body[_TCMSG.size :]))
    if members.get(_KIND) != b"tbf\0":
        return 0
    options = dict(attributes(members.get(_OPTIONS, b"")))
    if _TBF_RATE64 in options:
        return int(_U64.unpack(options[_TBF_RATE64])[0])
    return int(_RATESPEC.unpack_from(options.get(_TBF_PARMS, bytes(_RATESPEC.size)))[-1])


def leads_through(body: bytes, shaper: int) -> bool:
    """Whether an answer to get_ways is about what leads through an interface."""
    return _MIRRED.pack(0, 0, 0, 0, 0, _REDIRECT, shaper)[-8:] in body

# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the modules, in fragments; each has a documentation fragment of its name. PRIVATE.

Written by `make options` out of podrt/stage0/options, which modules cannot import before the runtime is on the host.
"""

from __future__ import annotations

HOST = {
    "data_dir": {"type": "path", "default": "/var/lib/pods"},
    "config_dir": {"type": "path", "default": "/etc/pods"},
    "runtime": {"type": "str"},
}

FETCH = {
    "pull": {"type": "str", "choices": ["never", "new", "update"], "default": "new"},
    "insecure_options": {
        "type": "list",
        "elements": "str",
        "choices": ["image", "tls", "http", "capabilities", "paths", "seccomp"],
        "default": [],
    },
}

POD = {
    "name": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["started", "stopped", "prepared", "absent", "restarted"],
        "default": "started",
    },
    "apps": {
        "type": "list",
        "elements": "dict",
        "options": {
            "image": {"type": "str", "required": True},
            "name": {"type": "str"},
            "exec": {"type": "str"},
            "args": {"type": "list", "elements": "raw", "default": []},
            "working_dir": {"type": "str"},
            "user": {"type": "str"},
            "group": {"type": "str"},
            "supplementary_gids": {"type": "list", "elements": "int"},
            "environment": {"type": "raw", "no_log": True},
            "mounts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "short": {"type": "str"},
                    "volume": {"type": "str"},
                    "target": {"type": "path"},
                    "read_only": {"type": "bool"},
                },
            },
            "memory": {"type": "str"},
            "cpu": {"type": "str"},
            "cpu_shares": {"type": "int"},
            "oom_score_adj": {"type": "int"},
            "pids_limit": {"type": "int"},
            "ulimits": {"type": "dict"},
            "caps_retain": {"type": "list", "elements": "str"},
            "caps_remove": {"type": "list", "elements": "str"},
            "seccomp": {
                "type": "dict",
                "options": {
                    "mode": {"type": "str", "required": True, "choices": ["retain", "remove"]},
                    "syscalls": {"type": "list", "elements": "str", "required": True},
                    "errno": {"type": "str"},
                },
            },
            "no_new_privileges": {"type": "bool"},
            "image_isolators": {"type": "str", "choices": ["refuse", "narrow", "accept"]},
            "readonly_rootfs": {"type": "bool", "default": False},
            "ports": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "port": {"type": "int", "required": True},
                    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                    "count": {"type": "int", "default": 1},
                },
            },
            "pre_start": {"type": "list", "elements": "raw", "default": []},
            "post_stop": {"type": "list", "elements": "raw", "default": []},
            "stop_signal": {"type": "str"},
            "restart": {
                "type": "dict",
                "options": {
                    "policy": {
                        "type": "str",
                        "choices": ["no", "on-failure", "always", "unless-stopped"],
                        "default": "no",
                    },
                    "max_retries": {"type": "int"},
                    "backoff": {"type": "str"},
                    "max_backoff": {"type": "str"},
                },
            },
            "user_annotations": {"type": "dict"},
            "user_labels": {"type": "dict"},
        },
    },
    "volumes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": ["named", "host", "empty"]},
            "volume": {"type": "str"},
            "source": {"type": "path"},
            "read_only": {"type": "bool"},
            "recursive": {"type": "bool"},
            "mode": {"type": "raw"},
            "uid": {"type": "int"},
            "gid": {"type": "int"},
        },
    },
    "mounts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "short": {"type": "str"},
            "volume": {"type": "str"},
            "target": {"type": "path"},
            "read_only": {"type": "bool"},
        },
    },
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "short": {"type": "str"},
            "name": {"type": "str"},
            "port": {"type": "int"},
            "protocol": {"type": "str", "choices": ["tcp", "udp"]},
            "count": {"type": "int"},
            "host_port": {"type": "int"},
            "host_ip": {"type": "str"},
        },
    },
    "environment": {"type": "raw", "no_log": True},
    "env_file": {
        "type": "list",
        "elements": "dict",
        "no_log": True,
        "options": {"short": {"type": "str"}, "content": {"type": "str"}},
    },
    "env_file_from": {"type": "str", "choices": ["controller", "host"], "default": "controller"},
    "networks": {"type": "list", "elements": "str", "default": ["default"]},
    "hostname": {"type": "str"},
    "dns": {"type": "list", "elements": "str", "default": []},
    "dns_search": {"type": "list", "elements": "str", "default": []},
    "dns_options": {"type": "list", "elements": "str", "default": []},
    "dns_domain": {"type": "str"},
    "hosts_entries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "ip": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
    },
    "hosts_from_host": {"type": "bool", "default": False},
    "ipc": {"type": "str", "choices": ["auto", "private", "parent"], "default": "auto"},
    "image_isolators": {"type": "str", "choices": ["refuse", "narrow", "accept"]},
    "pids_limit": {"type": "int"},
    "no_overlay": {"type": "bool", "default": False},
    "stop_timeout": {"type": "int", "default": 10},
    "exit_policy": {"type": "str", "choices": ["end-pod", "continue"], "default": "end-pod"},
    "log": {"type": "dict", "options": {"max_size": {"type": "str"}, "max_files": {"type": "int"}}},
    "labels": {"type": "dict"},
    "update": {"type": "dict", "options": {"min_uptime": {"type": "float"}}},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 300},
    "tail": {"type": "int", "default": 20},
}

# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Make the golden files of a release: a store and pods as that release leaves them.

    unshare --mount --propagation private -- .venv/bin/python tests/golden/make.py CHECKOUT OUT

CHECKOUT: the collection at the release. OUT: the directory to make, data.tar.xz and plays.json in it. Needs root, and
writes below PLACE besides, which is taken away again. Absolute paths in the documents begin with PLACE; who unpacks the
data rewrites them (tests/integration/golden).
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import threading

PLACE = pathlib.Path("/var/tmp/stagecraft.pods-golden")
PORT = 5017
OCI = "application/vnd.oci.image"
IMAGE = f"docker://127.0.0.1:{PORT}/golden/app:1.0"
# What the tasks are given; data_dir and config_dir are added. The volume and the ACI are there before the pods.
PLAYS = [
    {"module": "pod_volume", "options": {"name": "work", "mode": "0750", "uid": 100}},
    {
        "module": "pod_run",
        "options": {
            "name": "prepared",
            "state": "prepared",
            "insecure_options": ["image"],
            "apps": [
                {
                    "image": IMAGE,
                    "args": ["more"],
                    "environment": {"LEVEL": "debug", "LINES": "one\ntwo"},
                    "memory": "64M",
                    "cpu": "750m",
                    "caps_remove": ["CAP_MKNOD"],
                    "mounts": [
                        {"volume": "work", "target": "/work"},
                        {"volume": "etc", "target": "/host"},
                    ],
                    "ports": [{"name": "http", "port": 8080}],
                    "pre_start": ["/bin/hello", "before"],
                },
                {
                    "image": IMAGE,
                    "name": "backup",
                    "exec": "/bin/hello",
                    "user": "100",
                    "group": "200",
                    "supplementary_gids": [5, 4],
                    "readonly_rootfs": True,
                    "mounts": [{"volume": "scratch", "target": "/scratch"}],
                    "seccomp": {"mode": "retain", "syscalls": ["@appc.io/all"]},
                    "no_new_privileges": True,
                    "user_labels": {"role": "backup"},
                },
            ],
            "volumes": [
                {"name": "work", "volume": "work"},
                {"name": "etc", "source": "/etc", "read_only": True},
                {"name": "scratch", "mode": "1777"},
            ],
            "ports": [{"name": "http", "host_port": 18080, "host_ip": "127.0.0.1"}],
            "environment": {"COMMON": "yes"},
            "networks": ["default"],
            "hostname": "golden",
            "dns": ["10.0.0.53"],
            "dns_search": ["example.com"],
            "hosts_entries": [{"ip": "10.0.0.1", "names": ["db"]}],
            "labels": {"team": "blue"},
            "stop_timeout": 30,
            "log": {"max_size": "10M", "max_files": 2},
        },
    },
    {
        "module": "pod_run",
        "options": {
            "name": "ended",
            "wait": True,
            "insecure_options": ["image"],
            "networks": ["none"],
            "apps": [{"image": "example.com/golden:1.0"}],
        },
    },
    {
        "module": "pod_run",
        "options": {
            "name": "plain",
            "state": "prepared",
            "insecure_options": ["image"],
            "apps": [{"image": IMAGE}],
        },
    },
    # What 0.7.0 brought.
    {
        "module": "pod_run",
        "options": {
            "name": "inside",
            "state": "prepared",
            "insecure_options": ["image"],
            "networks": ["none"],
            "exit_policy": "continue",
            "shm_size": "16M",
            "memory": "256M",
            "sysctls": {"net.core.somaxconn": "512"},
            "apps": [
                {
                    "image": IMAGE,
                    "name": "main",
                    "restart": {"policy": "on-failure", "max_retries": 3, "backoff": "2s"},
                    "tmpfs": [{"target": "/scratch", "size": "1M", "mode": "0700"}],
                    "memory": "64M",
                    "memory_reservation": "32M",
                    "cpuset_cpus": "0",
                    "mounts": [{"volume": "other", "target": "/other"}],
                },
                {"image": IMAGE, "name": "waits", "stdin": "stream", "timezone": "UTC"},
            ],
            "volumes": [{"name": "other", "kind": "image", "image": IMAGE}],
        },
    },
    # What 0.8.0 brought.
    {
        "module": "pod_network",
        "options": {
            "name": "golden",
            "subnets": ["10.199.77.0/24", {"subnet": "fd00:199:77::/64", "range_start": "fd00:199:77::10"}],
            "isolated": True,
            "dns": {"nameservers": ["10.199.77.53"], "search": ["golden.example"]},
        },
    },
    {
        "module": "pod_network",
        "options": {
            "name": "golden-chain",
            "type": "ptp",
            "subnets": ["10.199.78.0/24"],
            "plugins": [{"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}],
            "open_firewalls": True,
        },
    },
    {
        "module": "pod_run",
        "options": {
            "name": "joined",
            "state": "prepared",
            "insecure_options": ["image"],
            "networks": ["golden:IP=10.199.77.9", "golden-chain"],
            "aliases": ["gold"],
            "ports": ["auto:80", "127.0.0.1:18080-18081:8080-8081/sctp"],
            "hosts_entries": [{"ip": "10.199.77.9", "names": ["gold.example"]}],
            "apps": [{"image": IMAGE, "ports": [{"name": "http", "port": 80}]}],
        },
    },
]
_RUN = """import json, sys
from podrt.tasks.run import run_task
json.dump(run_task(sys.argv[1], json.load(sys.stdin), check=False), sys.stdout)"""


def program() -> bytes:
    """An ELF program for amd64 that ends with 0: mov eax, 60; xor edi, edi; syscall."""
    code = bytes.fromhex("b83c00000031ff0f05")
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1",
        *(2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    size = 120 + len(code)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000) + code


def archive(files: dict[str, bytes | None]) -> bytes:
    """A tar of files, None is a directory; the same bytes every time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mtime, info.mode, info.size = 1_500_000_000, 0o755, len(content or b"")
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            made.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def blobs() -> dict[str, bytes]:
    """All that a registry has of the docker image, by the last word of the URL."""
    found: dict[str, bytes] = {}

    def add(data: bytes, kind: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        found[digest] = data
        return {"mediaType": f"{OCI}.{kind}", "digest": digest, "size": len(data)}

    plain = [
        archive({"bin": None, "bin/hello": program(), "etc": None, "etc/passwd": b"app:x:100:200::/:/\n"}),
        archive({"data": None, "data/shipped": b"from the image\n", "implied/file": b"x"}),
    ]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/bin/hello"],
            "Cmd": ["world"],
            "Env": ["PATH=/bin", "FROM=image"],
            "User": "app",
            "WorkingDir": "/data",
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/data": {}},
            "Labels": {"maintainer": "golden"},
            "StopSignal": "SIGQUIT",
            "Healthcheck": {"Test": ["CMD", "/bin/hello"]},
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(it).hexdigest()}" for it in plain],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": add(json.dumps(config).encode(), "config.v1+json"),
        "layers": [add(gzip.compress(data, mtime=0), "layer.v1.tar+gzip") for data in plain],
    }
    found["1.0"] = json.dumps(manifest).encode()
    return found


def aci() -> bytes:
    """An ACI with a volume, an isolator and labels."""
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/golden",
        "labels": [
            {"name": "version", "value": "1.0"},
            {"name": "os", "value": "linux"},
            {"name": "arch", "value": "amd64"},
        ],
        "app": {
            "exec": ["/bin/hello"],
            "user": "0",
            "group": "0",
            "environment": [{"name": "FROM", "value": "image"}],
            "mountPoints": [{"name": "data", "path": "/data"}],
            "isolators": [{"name": "resource/memory", "value": {"request": "32M", "limit": "64M"}}],
        },
        "annotations": [{"name": "created", "value": "2026-01-01T00:00:00Z"}],
    }
    files = {"manifest": json.dumps(manifest).encode(), "rootfs": None, "rootfs/bin": None}
    return archive({**files, "rootfs/bin/hello": program(), "rootfs/data": None})


def serve(found: dict[str, bytes]) -> http.server.ThreadingHTTPServer:
    """A registry of one image on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = found.get(self.path.rpartition("/")[2])
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data or b"")

        do_HEAD = do_GET

        def log_message(self, *_words: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def task(checkout: pathlib.Path, module: str, options: dict[str, object]) -> None:
    """Run a task of the release."""
    given = {"data_dir": f"{PLACE}/data", "config_dir": f"{PLACE}/etc", **options}
    site = next(pathlib.Path(sys.prefix).glob("lib/python*/site-packages"))
    done = subprocess.run(
        [sys.executable, "-B", "-c", _RUN, module],
        input=json.dumps(given),
        env={
            "PYTHONPATH": f"{checkout}/plugins/module_utils:{site}",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
        check=True,
        text=True,
        capture_output=True,
    )
    result = json.loads(done.stdout)
    if result.get("failed"):
        raise SystemExit(f"{module}: {result}")


def neutralise() -> None:
    """Take out of the documents what says something of this machine: the checkout, the groups of who called."""
    for path in (PLACE / "data").rglob("runtime"):
        path.write_text(f"{PLACE}/data/runtime/{'0' * 32}")
    for path in (PLACE / "data").rglob("cgroups"):
        groups = [group for group in path.read_text().split() if group.count("/") <= 5]
        path.write_text("".join(f"{group}\n" for group in groups))


def main(checkout: pathlib.Path, out: pathlib.Path) -> None:
    """Make the files."""
    PLACE.mkdir()
    server = serve(blobs())
    try:
        (PLACE / "golden.aci").write_bytes(aci())
        image = {"name": f"{PLACE}/golden.aci", "insecure_options": ["image"]}
        task(checkout, "pod_image", image)
        for play in PLAYS:
            task(checkout, play["module"], play["options"])
        neutralise()
        out.mkdir(parents=True, exist_ok=True)
        (out / "plays.json").write_text(json.dumps(PLAYS, indent=2) + "\n")
        with tarfile.open(out / "data.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as made:
            for name in ("data", "etc"):
                made.add(PLACE / name, name)
    finally:
        server.shutdown()
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]))

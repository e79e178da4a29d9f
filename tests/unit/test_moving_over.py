# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The page for users of podman and docker has every option of theirs, and names only options that we have."""

from __future__ import annotations

import pathlib
import re

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import options
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli import podflags
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.table import GLOBAL

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "docsite" / "rst" / "moving_over.rst").read_text()
# containers.podman 1.18.0, community.docker 4.8.5: the options of their main modules.
PODMAN = re.findall(
    r"\w+",
    """
annotation arch attach authfile blkio_weight blkio_weight_device cap_add cap_drop cgroup_conf cgroup_parent
cgroupns cgroups chrootdirs cidfile cmd_args command conmon_pidfile cpu_period cpu_quota cpu_rt_period
cpu_rt_runtime cpu_shares cpus cpuset_cpus cpuset_mems debug decryption_key delete_depend delete_time
delete_volumes detach detach_keys device device_cgroup_rule device_read_bps device_read_iops
device_write_bps device_write_iops dns dns_option dns_search entrypoint env env_file env_host env_merge
etc_hosts executable expose force_delete force_restart generate_systemd gidmap gpus group_add group_entry
health_startup_cmd health_startup_interval health_startup_retries health_startup_success
health_startup_timeout healthcheck healthcheck_failure_action healthcheck_interval healthcheck_retries
healthcheck_start_period healthcheck_timeout hooks_dir hostname hostuser http_proxy image image_strict
image_volume init init_ctr init_path interactive ip ip6 ipc kernel_memory label label_file log_driver
log_level log_opt mac_address memory memory_reservation memory_swap memory_swappiness mount name network
network_aliases no_healthcheck no_hosts oom_kill_disable oom_score_adj os passwd passwd_entry personality
pid pid_file pids_limit platform pod pod_id_file preserve_fd preserve_fds privileged publish publish_all
pull quadlet_dir quadlet_file_mode quadlet_filename quadlet_options rdt_class read_only read_only_tmpfs
recreate requires restart_policy restart_time retry retry_delay rm rmi rootfs sdnotify seccomp_policy
secrets security_opt shm_size shm_size_systemd sig_proxy state stop_signal stop_time stop_timeout subgidname
subuidname sysctl systemd timeout timezone tls_verify tmpfs tty uidmap ulimit umask unsetenv unsetenv_all
user userns uts variant volume volumes_from workdir
""",
)
DOCKER = re.findall(
    r"\w+",
    """
auto_remove blkio_weight cap_drop capabilities cgroupns_mode cleanup command command_handling comparisons
container_default_behavior cpu_period cpu_quota cpu_shares cpus cpuset_cpus cpuset_mems default_host_ip
detach device_cgroup_rules device_read_bps device_read_iops device_requests device_write_bps
device_write_iops devices dns_opts dns_search_domains dns_servers domainname entrypoint env env_file
etc_hosts exposed_ports force_kill groups healthcheck healthy_wait_timeout hostname image image_comparison
image_label_mismatch image_name_mismatch init interactive ipc_mode keep_volumes kernel_memory kill_signal
labels links log_driver log_options mac_address memory memory_reservation memory_swap memory_swappiness
mounts name network_mode networks networks_cli_compatible oom_killer oom_score_adj output_logs paused
pid_mode pids_limit platform privileged publish_all_ports published_ports pull pull_check_mode_behavior
read_only recreate removal_wait_timeout restart restart_policy restart_retries runtime security_opts
shm_size state stop_signal stop_timeout storage_opts sysctls tmpfs tty ulimits user userns_mode uts
volume_driver volumes volumes_from working_dir cgroup_parent
""",
)
ROW = re.compile(r"^   \* - (.*)\n     -(.*)\n     - (.*)$", re.MULTILINE)


def names(cell: str) -> list[str]:
    return re.findall(r"``(\w+)``", cell)


@pytest.mark.finding("use-N25")
@pytest.mark.parametrize(("column", "expected"), [(0, PODMAN), (1, DOCKER)], ids=["podman", "docker"])
def test_every_option_of_theirs_stands_on_the_page_once(column: int, expected: list[str]) -> None:
    found = [name for row in ROW.findall(PAGE) for name in names(row[column])]
    assert sorted(name for name in found if name in {*PODMAN, *DOCKER}) == sorted(expected)


@pytest.mark.finding("use-N25")
def test_the_options_that_stand_beside_them_exist() -> None:
    app, volume = (options.POD[name]["options"] for name in ("apps", "volumes"))
    cells = [row[2] for row in ROW.findall(PAGE) if "podman_container" not in row[0]]
    apps = {name for cell in cells for name in re.findall(r"``apps\[\]\.(\w+)", cell)}
    pods = {name for cell in cells for name in re.findall(r"``([a-z]\w*)(?:: [^`]*)?``", cell)}
    assert apps - app.keys() == set()
    known = {*options.POD, *app, *options.FETCH, *volume}
    # Values of options, and names of results.
    values = {
        *("missing", "always", "created", "present", "prepared", "started", "never", "new", "update"),
        *("host", "empty", "rc", "all", "local", "image"),
    }
    assert pods - known - {*PODMAN, *DOCKER, *values} == set()


FLAGS_PAGE = (CHECKOUT / "docs" / "docsite" / "rst" / "run_flags.rst").read_text()
# docker 28, podman 5.6: the flags of their run.
DOCKER_RUN = re.findall(
    r"[\w-]+",
    """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile
cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus
cpuset-mems detach detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps
device-write-iops disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose
gpus group-add health-cmd health-interval health-retries health-start-interval health-start-period
health-timeout help hostname init interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label
label-file link link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness
mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform
privileged publish publish-all pull quiet read-only restart rm runtime security-opt shm-size sig-proxy
stop-signal stop-timeout storage-opt sysctl tmpfs tty ulimit use-api-socket user userns uts volume
volume-driver volumes-from workdir
""",
)
PODMAN_RUN = re.findall(
    r"[\w-]+",
    """
add-host annotation arch attach authfile blkio-weight blkio-weight-device cap-add cap-drop cert-dir
cgroup-conf cgroup-parent cgroupns cgroups chrootdirs cidfile conmon-pidfile cpu-period cpu-quota
cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems creds decryption-key detach detach-keys
device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops
disable-content-trust dns dns-opt dns-option dns-search entrypoint env env-file env-host env-merge expose
gidmap gpus group-add group-entry health-cmd health-interval health-log-destination health-max-log-count
health-max-log-size health-on-failure health-retries health-start-period health-startup-cmd
health-startup-interval health-startup-retries health-startup-success health-startup-timeout health-timeout
help hostname hosts-file hostuser http-proxy image-volume init init-path interactive ip ip6 ipc label
label-file link-local-ip log-driver log-opt mac-address memory memory-reservation memory-swap
memory-swappiness mount name net network network-alias no-healthcheck no-hostname no-hosts oom-kill-disable
oom-score-adj os passwd passwd-entry personality pid pidfile pids-limit platform pod pod-id-file preserve-fd
preserve-fds privileged publish publish-all pull quiet rdt-class read-only read-only-tmpfs replace requires
restart retry retry-delay rm rmi rootfs sdnotify seccomp-policy secret security-opt shm-size shm-size-systemd
sig-proxy stop-signal stop-timeout subgidname subuidname sysctl systemd timeout tls-verify tmpfs tty tz uidmap
ulimit umask unsetenv unsetenv-all user userns uts variant volume volumes-from workdir
""",
)
# Reasons that are no reason.
EMPTY = ("", "not yet", "no", "none", "-")
PUT_OFF = re.compile(r"\b(yet|planned|to come|later release|(none|no): the same)\b")


def flag_rows() -> list[tuple[list[str], str, str]]:
    found = ROW.findall(FLAGS_PAGE)
    return [
        (re.findall(r"``--([\w-]+)``", row[0]), row[1].strip(), row[2]) for row in found if "``" in row[0]
    ]


def test_every_flag_of_docker_run_and_podman_run_stands_on_the_page_once() -> None:
    stand = [name for names, _only, _here in flag_rows() for name in names]
    assert sorted(stand) == sorted({*DOCKER_RUN, *PODMAN_RUN})
    for names, only, _here in flag_rows():
        assert only != "docker" or not set(names) & set(PODMAN_RUN), names
        assert only != "podman" or not set(names) & set(DOCKER_RUN), names


@pytest.mark.parametrize("page", [PAGE, FLAGS_PAGE], ids=["modules", "flags"])
def test_no_cell_puts_off(page: str) -> None:
    """A promise is no reason, and goes stale; nor is another row a reason."""
    cells = re.findall(r"^   (?:\*| ) - (.*(?:\n       .*)*)", page, re.MULTILINE)
    assert len(cells) > 200
    assert [cell for cell in cells if PUT_OFF.search(cell)] == []


@pytest.mark.parametrize("page", [PAGE, FLAGS_PAGE], ids=["modules", "flags"])
def test_nothing_is_missing_without_a_reason(page: str) -> None:
    cells = [row[2] for row in ROW.findall(page)]
    assert [cell for cell in cells if cell.strip().rstrip(".") in EMPTY] == []
    nothing = [cell for cell in cells if re.match(r"(none|no)\b", cell)]
    assert [cell for cell in nothing if len(re.sub(r"^(none|no)[:. ]*", "", cell)) < 8] == []


def test_the_flags_and_options_that_stand_beside_them_exist() -> None:
    flags = {flag.name for flag in (*podflags.RUN, *GLOBAL)} | {"help"}
    options_known = {*options.POD, *options.POD["apps"]["options"], *options.FETCH}
    for _names, _only, here in flag_rows():
        for code in re.findall(r"``([^`]+)``", here):
            if code.startswith("--"):
                named = set(re.findall(r"(?:^| )--([\w-]+)", code))
                assert named <= flags, code
            elif code.startswith("apps[]."):
                assert code.removeprefix("apps[].").partition(":")[0] in options_known, code

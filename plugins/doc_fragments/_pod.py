# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options in module_utils/_glue/options.py, POD."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that describe a pod."""

    DOCUMENTATION = r"""
options:
  name:
    description:
      - The name of the pod, at most 200 letters, digits, dots, dashes and underscores, beginning with a letter or a
        digit. It must not be a UUID.
    type: str
    required: true
  state:
    description:
      - V(started) means that the pod runs.
      - V(stopped) means that the pod exists and does not run.
      - V(prepared) means that the pod exists, ready to be started. A pod that runs as described is left running.
      - V(restarted) means that the pod runs and was started by this task.
      - Without O(apps), V(started), V(stopped) and V(restarted) apply to an existing pod, as in a handler, and all
        other options of the pod are ignored.
      - V(absent) means that there is no pod of this name and no remains of one.
    type: str
    choices: [started, stopped, prepared, absent, restarted]
    default: started
  restart_apps:
    description:
      - Apps of a pod that runs, by their names, to be stopped and started again while the others run on, as in a handler.
      - Applies with O(state=started). The apps that the task replaces anyway are not started twice.
    type: list
    elements: str
    default: []
    version_added: 0.7.0
  apps:
    description:
      - The apps of the pod. Without them the task only starts, stops, restarts or removes an existing pod by its name.
        Required with O(state=prepared).
    type: list
    elements: dict
    suboptions:
      image:
        description:
          - The image, as in O(stagecraft.pods.pod_image#module:name).
        type: str
        required: true
      name:
        description:
          - The name of the app. The default is the last component of the image's name.
        type: str
      exec:
        description:
          - The program to run instead of the image's, exactly one path without arguments.
        type: str
      args:
        description:
          - Arguments, appended to the command of the image or to O(apps[].exec).
          - Each must be a string. Quote anything that YAML reads as a number or a boolean.
        type: list
        elements: raw
        default: []
      command:
        description:
          - The program and its arguments in place of the image's Cmd. The Entrypoint of the image is kept and runs with
            them, as with docker. An image without an Entrypoint runs them alone, and so does every ACI, which has none.
          - Excludes O(apps[].exec), which replaces Entrypoint and Cmd, and O(apps[].args), which are appended to both.
          - Each must be a string. Quote anything that YAML reads as a number or a boolean.
        version_added: 0.12.0
        type: list
        elements: raw
        default: []
      working_dir:
        description:
          - The working directory, an absolute path. With an image of docker's a missing one is made, owned by root; with
            an ACI it must be there.
        type: str
      user:
        description:
          - The user, as a name in the image, a number, or the path of a file in the image, whose owner is taken.
          - V(1000:1000), in quotes, is the user and the group.
        type: str
      group:
        description:
          - The group, in the same forms as O(apps[].user).
        type: str
      supplementary_gids:
        description:
          - The numbers of supplementary groups, instead of the image's.
        type: list
        elements: int
      environment:
        description:
          - Variables, as a dictionary of names and values or a list of elements such as V(LEVEL=debug). They override
            those of the image and of O(environment).
          - Every value must be a string. Quote anything that YAML reads as a number or a boolean.
        type: raw
      mounts:
        description:
          - The mounts of the app, volumes at its paths. Mount points of the image that are not listed get the volume of
            their name, or an empty one.
        type: list
        elements: dict
        default: []
        suboptions:
          short:
            description:
              - The short form, such as V(pages:/usr/share/nginx/html) or V(/srv/site:/usr/share/nginx/html:ro). An
                element of the list that is a string is this option.
              - The first part is the name of a volume in O(volumes), else that of a volume made by
                M(stagecraft.pods.pod_volume), or a path of the host; neither of these needs to be declared. V(ro) is
                O(apps[].mounts[].read_only=true), V(nocopy) is O(volumes[].copy=false), V(ro,nocopy) both.
            version_added: 0.3.0
            type: str
          volume:
            description:
              - The name of a volume in O(volumes).
            type: str
          target:
            description:
              - The path in the app.
            type: path
          read_only:
            description:
              - V(true) makes this mount read-only, whatever the volume says. The default is the setting of the volume.
            version_added: 0.3.0
            type: bool
      tmpfs:
        description:
          - File systems in memory at paths of the app, empty whenever it starts. They have no set-user-ID programs and no
            devices, and count as memory of the app. A mount point of the image at that path gets no volume.
        version_added: 0.7.0
        type: list
        elements: dict
        default: []
        suboptions:
          short:
            description:
              - The short form, such as V(/run:size=16M,mode=0755) or V(/run). An element of the list that is a string is
                this option.
            type: str
          target:
            description:
              - The path in the app.
            type: path
          size:
            description:
              - How much it holds, such as V(16M), which is sixteen mebibytes. The default is 64M.
            type: str
          mode:
            description:
              - The mode of its directory, three or four octal digits in quotes. Its owner is root. The default is V(1777).
            type: raw
      memory:
        description:
          - The memory limit, such as V(128M) or V(64Mi). V(128m), which other tools read as mebibytes, is refused.
        type: str
      memory_reservation:
        description:
          - The memory that the kernel tries to leave the app when memory is scarce, such as V(64M), at most
            O(apps[].memory).
          - With cgroup v2 the kernel protects no more than the groups above have reserved. With cgroup v1 it is the
            size to which the app is reduced first.
        version_added: 0.7.0
        type: str
      memory_swap:
        description:
          - The limit of memory and swap together, as in docker, so that V(1G) with O(apps[].memory=768M) allows 256M of
            swap. V(-1) allows any amount of swap.
          - It requires O(apps[].memory). The default is no swap at all, unlike docker's, which is as much as
            O(apps[].memory).
        version_added: 0.7.0
        type: str
      cpu:
        description:
          - The CPU time limit, in cores, such as V(2) or V(750m).
        type: str
      cpu_shares:
        description:
          - The weight relative to other apps when CPU time is scarce, from 2 to 262144.
        type: int
      cpuset_cpus:
        description:
          - The processors that the app may run on, such as V(0-2,4).
        version_added: 0.7.0
        type: str
      cpuset_mems:
        description:
          - The nodes of memory that the app may use, such as V(0,1). Only hosts with several have more than node 0.
        version_added: 0.7.0
        type: str
      blkio_weight:
        description:
          - The weight relative to others when the time of block devices is scarce, from 10 to 1000. It needs the
            scheduler BFQ, or the cost model of cgroup v2.
        version_added: 0.7.0
        type: int
      network_bandwidth:
        description:
          - The bytes a second that each interface of the pod may send, and receive, such as V(10M), where C(10M) is ten
            million bytes. The smallest limit of its apps and of the pod counts, since they share the interfaces.
          - It works at the host's end of an interface, as networks of type C(ptp) and C(bridge) have one. Where a pod has
            none, a warning says so.
        version_added: 0.12.0
        type: str
      device_read_bps:
        description:
          - "How many bytes the app may read from a disk in a second, such as C({/dev/sda: 10m}), where C(10m) is ten
            mebibytes."
          - A path is that of a whole disk. That of a partition is refused, since the kernel limits disks only.
        version_added: 0.7.0
        type: dict
      device_write_bps:
        description:
          - How many bytes the app may write to a disk in a second, as in O(apps[].device_read_bps). With cgroup v1 this
            does not concern writes that the kernel collects in memory first.
        version_added: 0.7.0
        type: dict
      device_read_iops:
        description:
          - "How many times the app may read from a disk in a second, such as C({/dev/sda: 500})."
        version_added: 0.7.0
        type: dict
      device_write_iops:
        description:
          - How many times the app may write to a disk in a second, as in O(apps[].device_read_iops).
        version_added: 0.7.0
        type: dict
      oom_score_adj:
        description:
          - The OOM score adjustment, from -1000 to 1000. The kernel kills apps with a higher one first when memory is
            scarce.
        type: int
      pids_limit:
        description:
          - The maximal number of processes and threads of the app. V(-1) means no limit. The default is 2048.
        version_added: 0.2.0
        type: int
      ulimits:
        description:
          - "Limits of each process of the app, such as C({nofile: 1024, nproc: {soft: 64, hard: 128}}). A number is
            both the soft and the hard limit. V(-1) means no limit."
          - Their names are V(cpu), V(fsize), V(data), V(stack), V(core), V(rss), V(nproc), V(nofile), V(memlock),
            V(as), V(locks), V(sigpending), V(msgqueue), V(nice), V(rtprio) and V(rttime), as in C(getrlimit(2\)). The
            others are inherited from the process that starts the pod. A command of O(apps[].post_stop) has none of
            them.
        version_added: 0.3.0
        type: dict
      caps_retain:
        description:
          - The capabilities of the app, such as V(CAP_NET_ADMIN), and no others.
        type: list
        elements: str
      caps_remove:
        description:
          - Capabilities to remove from the default set.
        type: list
        elements: str
      seccomp:
        description:
          - The system call filter, instead of the default one.
        type: dict
        suboptions:
          mode:
            description:
              - Whether to allow only these calls, or all except these.
            type: str
            choices: [retain, remove]
            required: true
          syscalls:
            description:
              - The names of system calls, or of sets such as V(@docker/default-whitelist). One that is not known has no
                effect, with a warning; with O(apps[].seccomp.mode=retain) one of them at least must be known.
            type: list
            elements: str
            required: true
          errno:
            description:
              - The error of a refused call, such as V(EPERM). Without it, the process is killed.
            type: str
      seccomp_profile:
        description:
          - The absolute path of a file of the host with a system call filter in docker's JSON, instead of O(apps[].seccomp).
            Its content is part of the pod, and a change of it is a change of the app.
          - Rules may depend on capabilities, architectures and kernels. C(SCMP_ACT_NOTIFY), C(flags) and
            C(listenerPath) are refused.
        version_added: 0.7.0
        type: path
      apparmor:
        description:
          - The AppArmor profile of the app, which the host must have loaded, such as V(docker-default), or V(unconfined).
            Its pre-start handler and commands that enter the app have it too.
          - A host without AppArmor refuses it. The default is that of the process that starts the pod.
        version_added: 0.7.0
        type: str
      selinux:
        description:
          - "The SELinux label of the app, as V(system_u:system_r:container_t:s0:c1,c2) or as a dictionary of C(user), C(role),
            C(type) and C(level), of which only C(type) has no default: C({type: container_t, level: 's0:c1,c2'})."
          - A host without SELinux refuses it. The default is what the policy says. Files are not labelled.
        version_added: 0.7.0
        type: raw
      no_new_privileges:
        description:
          - Whether to keep programs of the app from gaining privileges, as set-user-ID programs do.
          - An app that is not root and has a system call filter never gains any, regardless of this option.
          - The same holds for every app with a filter and without V(CAP_SYS_ADMIN), in a pod where any app has
            V(CAP_SYS_PTRACE).
        type: bool
      privileged:
        description:
          - V(true) keeps nothing from the app that root of the host may do, and so gives the host to it. It has all
            capabilities, all devices of the host, no system call filter except by O(apps[].seccomp) or
            O(apps[].seccomp_profile), and sees and writes all of C(/proc), C(/sys) and its control groups.
          - It has the namespaces of the pod still, its own root, and its limits.
          - In a pod with O(private_users) this is narrower. Capabilities are those of the pod's own users, there are no
            more devices, and the app cannot mount.
          - All other apps of the pod, and its first process, are within its reach.
        version_added: 0.7.0
        type: bool
        default: false
      image_isolators:
        description:
          - The same as O(image_isolators), for this app only.
        version_added: 0.2.0
        type: str
        choices: [refuse, narrow, accept]
      readonly_rootfs:
        description:
          - Whether the root file system of the app is read-only.
        type: bool
        default: false
      ports:
        description:
          - The ports of the app, instead of the image's.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description:
              - The name of the port.
            type: str
            required: true
          port:
            description:
              - The number of the port.
            type: int
            required: true
          protocol:
            description:
              - The protocol of the port.
            type: str
            choices: [tcp, udp, sctp]
            default: tcp
          count:
            description:
              - The number of consecutive ports, from O(apps[].ports[].port) upwards.
            type: int
            default: 1
      pre_start:
        description:
          - A command, as a list, to run as root in the app's root before the app starts. If it fails, the app does not
            start.
          - Every element must be a string, as in O(apps[].args).
        type: list
        elements: raw
        default: []
      post_stop:
        description:
          - A command, as a list, to run as root in the app's root after the app has ended.
          - Every element must be a string, as in O(apps[].args).
        type: list
        elements: raw
        default: []
      stop_signal:
        description:
          - The signal that stops the app, such as V(SIGQUIT), V(quit) or a number, instead of the image's. If neither
            is set, it is V(SIGTERM), sent to all processes of the app.
        version_added: 0.3.0
        type: str
      timezone:
        description:
          - The time zone of the app, such as V(Europe/Berlin), or V(local) for that of the host. The file of the host with
            it is at C(/etc/localtime) of the app. A host without it refuses the pod.
          - A variable C(TZ) of the app has precedence.
        version_added: 0.7.0
        type: str
      sdnotify:
        description:
          - V(true) means that the app says when it is up. It gets C(NOTIFY_SOCKET), and the start of the pod waits until
            it has sent C(READY=1) there, 270 seconds at most. See C(sd_notify(3)).
          - The default is what the image's annotation C(appc.io/executor/supports-systemd-notify) says.
        version_added: 0.12.0
        type: bool
      restart:
        description:
          - Whether the app is started again after its end, in its pod and without the others noticing. The supervisor of
            the pod does it, after a pause that doubles each time.
          - An app between two starts has not exited, and its end does not end the pod, but the end after which there is
            no other start counts as any.
        version_added: 0.7.0
        type: dict
        suboptions:
          policy:
            description:
              - With V(on-failure) it is started again after an end with another status than 0 or by a signal, with
                V(always) and V(unless-stopped) after any end.
              - The two differ on hosts with systemd. A boot starts a pod of V(always) again, even if C(podctl stop) has
                stopped it before, and a pod of V(unless-stopped) only if nothing has stopped it.
            type: str
            choices: ['no', on-failure, always, unless-stopped]
            default: 'no'
          max_retries:
            description:
              - How many times in a row it is started again, V(0) for no limit. A run that lasts as long as
                O(apps[].restart.max_backoff), and at least ten seconds, begins the count again.
            type: int
          backoff:
            description:
              - The first pause, such as V(500ms) or V(1m30s). It is V(1s) if this is not set.
            type: str
          max_backoff:
            description:
              - The longest pause. A run as long as this, and at least of ten seconds, has the next pause be the first
                again. It is V(60s) if this is not set, or O(apps[].restart.backoff) if that is more.
            type: str
      user_annotations:
        description:
          - Annotations, instead of the image's. Every value must be a string.
        type: dict
      user_labels:
        description:
          - Labels, instead of the image's. Every value must be a string.
        type: dict
  volumes:
    description:
      - The volumes of the pod, which its apps mount.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The name of the volume in this pod.
        type: str
        required: true
      kind:
        description:
          - V(named) is a volume made by M(stagecraft.pods.pod_volume).
          - V(host) is a file, directory, device or socket of the host.
          - V(image) is the root of an image, read-only and without devices and set-user-ID programs. The image is kept
            as long as the pod.
          - V(empty) is a new directory that is removed with the pod.
          - The default is V(named) with O(volumes[].volume), V(host) with O(volumes[].source), V(image) with
            O(volumes[].image), else V(empty).
        type: str
        choices: [named, image, host, empty]
      volume:
        description:
          - The name of the named volume.
        type: str
      source:
        description:
          - The path of a V(host) volume.
        type: path
      read_only:
        description:
          - Whether the volume is read-only. The default is the setting of the image's mount point.
        type: bool
      recursive:
        description:
          - Whether mounts below the source of a V(host) volume are included. The default is the setting of the image's
            mount point, else true.
        type: bool
      image:
        description:
          - The image of a V(image) volume, as in O(apps[].image), under the same rules of pulling and trust.
        version_added: 0.7.0
        type: str
      propagation:
        description:
          - Whether what the host mounts later below the source of a V(host) volume appears in it. With V(rslave) it does,
            with V(private) it does not.
          - By default it does if the volume is a writable directory that is O(volumes[].recursive). V(rslave) makes it an
            error if that is impossible, as in a read-only volume and in a pod with O(private_users).
          - What an app mounts never appears on the host, so there is no V(rshared).
        version_added: 0.7.0
        type: str
        choices: [private, rslave]
      copy:
        description:
          - Whether the first mount of a V(named) volume fills it with the files that the image has at the path, with
            their owners, modes and attributes, if the volume is empty. The default is true.
          - This happens once for each volume. An app that empties it finds it empty, unlike in docker.
        version_added: 0.7.0
        type: bool
      owner:
        description:
          - The owner of the directory, as a name in the image of the first app that mounts the volume, a number, or a path
            of the image with that owner.
          - For a V(named) volume it is set at its first mount, once. For an V(empty) one it is in place of
            O(volumes[].uid).
        version_added: 0.7.0
        type: str
      group:
        description:
          - The group of the directory, in the same forms as O(volumes[].owner), and in place of O(volumes[].gid).
        version_added: 0.7.0
        type: str
      mode:
        description:
          - The mode of an V(empty) volume, three or four octal digits in quotes. Unquoted, YAML reads a number, which
            is refused. The default is V(0755).
        type: raw
      uid:
        description:
          - The owner of an V(empty) volume. The default is root.
        type: int
      gid:
        description:
          - The group of an V(empty) volume. The default is root's.
        type: int
      map:
        description:
          - The users of a pod with O(private_users=true) that own the files of a V(host) or V(named) volume, as
            C(APP:VOLUME:COUNT) each; C(0:1000) makes the user 1000 of the volume root in the pod. The same holds for
            groups. V(none) alone leaves the owners as they are, so that they are no users of the pod.
          - By default each user of the pod is the one with the same ID in the volume. But where the pod may write,
            and users of the host can reach what it writes, the files of root stay root's and belong to no user of the
            pod, which could otherwise give the rights of root to any of these.
        type: list
        elements: str
        version_added: 0.7.0
  mounts:
    description:
      - The mounts of every app.
    type: list
    elements: dict
    default: []
    suboptions:
      short:
        description:
          - The short form, such as V(pages:/usr/share/nginx/html) or V(/srv/site:/usr/share/nginx/html:ro). An element
            of the list that is a string is this option.
          - The first part is the name of a volume in O(volumes), else that of a volume made by
            M(stagecraft.pods.pod_volume), or a path of the host; neither of these needs to be declared. V(ro) is
            O(mounts[].read_only=true), V(nocopy) is O(volumes[].copy=false), V(ro,nocopy) both.
        version_added: 0.3.0
        type: str
      volume:
        description:
          - The name of a volume in O(volumes).
        type: str
      target:
        description:
          - The path in the app.
        type: path
      read_only:
        description:
          - V(true) makes this mount read-only, whatever the volume says. The default is the setting of the volume.
        version_added: 0.3.0
        type: bool
  ports:
    description:
      - Host ports that are forwarded to ports of the apps.
    type: list
    elements: dict
    default: []
    suboptions:
      short:
        description:
          - The short form, such as V(8080:80), V(auto:80), V(127.0.0.1:53:53/udp) or V(8000-8010:8000-8010), the host port first.
            An element of the list that is a string is this option. Write it in quotes.
        version_added: 0.3.0
        type: str
      name:
        description:
          - The name of a port of an app. Ports of docker images are named like V(80-tcp). If it is a range, so is
            O(ports[].host_port).
          - Use O(ports[].port) instead to give a number.
        type: str
      port:
        description:
          - The number of a port in the pod, which no app needs to declare.
        version_added: 0.3.0
        type: int
      protocol:
        description:
          - The protocol of O(ports[].port). The default is V(tcp). V(sctp) needs a kernel that has it, for the apps and
            for its connection tracking.
        version_added: 0.3.0
        type: str
        choices: [tcp, udp, sctp]
      count:
        description:
          - The number of consecutive ports, from O(ports[].port) and O(ports[].host_port) upwards. The default is 1.
        version_added: 0.3.0
        type: int
      host_port:
        description:
          - The host port, or the first of O(ports[].count).
          - V(auto) is a free one of 20000 to 29999, which is chosen when the pod is made, and in the result. The pod keeps
            it when it is started again, and a pod of the same name that takes its place has it too.
        type: raw
      host_ip:
        description:
          - The address of the host to listen on. The default is all of them, over IPv4 and IPv6, as far as the pod has
            addresses of these. V(0.0.0.0) are all of IPv4, and V(::) all of IPv6.
          - V(::1) and link-local addresses are out of reach, since IPv6 routes no packets of these to a pod.
        type: str
  environment:
    description:
      - Variables of every app, in the same forms as O(apps[].environment). They override those of the images.
    type: raw
  env_file:
    description:
      - Files with variables of every app, one C(NAME=VALUE) per line. Lines that begin with C(#) or C(;) are comments.
        The variables override those of the images, and O(environment) overrides them. A name may occur only once in all
        files.
    version_added: 0.3.0
    type: list
    elements: dict
    suboptions:
      short:
        description:
          - The path of a file. An element of the list that is a string is this option.
        type: str
      content:
        description:
          - The content of such a file, instead of its path.
        type: str
  env_file_from:
    description:
      - Where the files of O(env_file) are. On the V(controller) they are found like C(src) of M(ansible.builtin.copy),
        and may be encrypted with Ansible Vault. On the V(host) their paths are absolute.
    version_added: 0.3.0
    type: str
    choices: [controller, host]
    default: controller
  networks:
    description:
      - The networks to join, by name, with arguments such as V(default:IP=172.16.28.9), a MAC address or the name of the
        interface.
      - V(host) shares the network of the host. V(none) is a loopback interface only.
      - An empty list means V([default]), as if the option were left out.
    type: list
    elements: str
    default: [default]
  hostname:
    description:
      - The host name of the pod, at most 64 letters, digits, dashes, dots and underscores. The default is C(rkt-) and
        the UUID.
    type: str
  aliases:
    description:
      - Names by which the pods of its networks find this one, beside O(name), such as C(db.example.com). At most 80
        letters, digits, dashes, dots and underscores each.
      - Several pods may have one alias. Programs then get the addresses of all of them, or that of any.
    type: list
    elements: str
    default: []
    version_added: 0.8.0
  dns:
    description:
      - Addresses of name servers. V(host) uses the host's C(/etc/resolv.conf). V(none) generates no file.
      - By default, if no network of the pod has any, those of the host that a pod can reach, and those that the host
        has later.
    type: list
    elements: str
    default: []
  dns_search:
    description:
      - Domains to search.
    type: list
    elements: str
    default: []
  dns_options:
    description:
      - Options of the resolver.
    type: list
    elements: str
    default: []
  dns_domain:
    description:
      - The local domain.
    type: str
  hosts_entries:
    description:
      - Entries of C(/etc/hosts), below those of the app's image and above the names of other pods.
    type: list
    elements: dict
    default: []
    suboptions:
      ip:
        description:
          - The address.
        type: str
        required: true
      names:
        description:
          - The host names.
        type: list
        elements: str
        required: true
  hosts_from_host:
    description:
      - Whether the apps see the C(/etc/hosts) of the host, which does not have the names of pods.
    type: bool
    default: false
  mds_register:
    description:
      - Whether the pod is registered with the metadata service of the host, which must run. Its apps then have the
        variable E(AC_METADATA_URL).
      - It takes a network. See R(the metadata service,ansible_collections.stagecraft.pods.docsite.metadata).
    type: bool
    default: false
    version_added: 0.8.0
  ipc:
    description:
      - The IPC namespace. V(auto) and V(private) give the pod its own, V(parent) shares the host's.
    type: str
    choices: [auto, private, parent]
    default: auto
  uts:
    description:
      - Whether the pod has its own host name, or with V(host) the UTS namespace of the host. An app that may set a host
        name then sets that of the host; none may by default.
      - V(host) excludes O(hostname) and O(private_users).
      - A pod cannot have the PID namespace of the host. Its first process would not be the first of its namespace, with
        whose end the kernel ends all others, and every app would see the supervisor among all processes of the host.
    version_added: 0.7.0
    type: str
    choices: [private, host]
    default: private
  private_users:
    description:
      - Whether the pod has users of its own, none of which is a user of the host. Its root is a user without rights on
        the host, and a process that breaks out of the pod can do what any user can.
      - Volumes show their owners by a map, see O(volumes[].map).
      - The default is what the host is configured to do, see R(private users,ansible_collections.stagecraft.pods.docsite.hardening_users),
        and V(false) otherwise.
    type: bool
    version_added: 0.7.0
  image_isolators:
    description:
      - How to treat isolators of images that ask for more than the defaults, such as further capabilities. See
        R(hardening, ansible_collections.stagecraft.pods.docsite.hardening).
      - V(refuse) fails the task before anything is run.
      - V(narrow) applies what lies within the defaults, and warns about the rest.
      - V(accept) applies them as they are.
      - An app's own option of the same kind, such as O(apps[].caps_retain), replaces the image's isolator in any case.
      - The default is the setting in C(policy.d) of the host's configuration. Without it, it is V(accept) for an image with a
        signature by a key that is trusted for it, else V(refuse).
    version_added: 0.2.0
    type: str
    choices: [refuse, narrow, accept]
  memory:
    description:
      - The memory limit of all apps together, as in O(apps[].memory). When they exceed it, the kernel kills one app.
    version_added: 0.7.0
    type: str
  memory_reservation:
    description:
      - The memory that the kernel tries to leave all apps together when memory is scarce, such as V(64M), at most
        O(memory).
      - With cgroup v2 the kernel protects no more than the groups above have reserved. With cgroup v1 it is the size to
        which all apps together is reduced first.
    version_added: 0.7.0
    type: str
  memory_swap:
    description:
      - The limit of memory and swap together, as in docker, so that V(1G) with O(memory=768M) allows 256M of swap.
        V(-1) allows any amount of swap.
      - It requires O(memory). The default is no swap at all, unlike docker's, which is as much as O(memory).
    version_added: 0.7.0
    type: str
  cpu:
    description:
      - The CPU time limit of all apps together, in cores, such as V(2) or V(750m). No app has more.
    version_added: 0.7.0
    type: str
  cpu_shares:
    description:
      - The weight of the pod relative to other pods when CPU time is scarce, from 2 to 262144.
    version_added: 0.7.0
    type: int
  cpuset_cpus:
    description:
      - The processors that all apps together may run on, such as V(0-2,4).
    version_added: 0.7.0
    type: str
  cpuset_mems:
    description:
      - The nodes of memory that all apps together may use, such as V(0,1). Only hosts with several have more than node
        0.
    version_added: 0.7.0
    type: str
  blkio_weight:
    description:
      - The weight relative to others when the time of block devices is scarce, from 10 to 1000. It needs the scheduler
        BFQ, or the cost model of cgroup v2.
    version_added: 0.7.0
    type: int
  network_bandwidth:
    description:
      - The bytes a second that each interface of the pod may send, and receive, as in O(apps[].network_bandwidth).
    version_added: 0.12.0
    type: str
  device_read_bps:
    description:
      - "How many bytes all apps together may read from a disk in a second, such as C({/dev/sda: 10m}), where C(10m) is
        ten mebibytes."
      - A path is that of a whole disk. That of a partition is refused, since the kernel limits disks only. With cgroup
        v1 it is the limit of each app by itself.
    version_added: 0.7.0
    type: dict
  device_write_bps:
    description:
      - How many bytes all apps together may write to a disk in a second, as in O(device_read_bps). With cgroup v1 this
        does not concern writes that the kernel collects in memory first.
    version_added: 0.7.0
    type: dict
  device_read_iops:
    description:
      - "How many times all apps together may read from a disk in a second, such as C({/dev/sda: 500})."
    version_added: 0.7.0
    type: dict
  device_write_iops:
    description:
      - How many times all apps together may write to a disk in a second, as in O(device_read_iops).
    version_added: 0.7.0
    type: dict
  pids_limit:
    description:
      - The maximal number of processes and threads of all apps together. V(-1) means no limit.
      - The default is 4096, or the largest O(apps[].pids_limit) if that is more.
    version_added: 0.2.0
    type: int
  sysctls:
    description:
      - "Kernel parameters of the pod, such as C({net.core.somaxconn: 1024}). A value may be a number or a string."
      - Only those of namespaces that the pod has for itself can be set, C(net.*) unless it shares the host's network,
        C(kernel.msg*), C(kernel.sem), C(kernel.shm*) and C(fs.mqueue.*) unless O(ipc=parent), and C(kernel.domainname).
    version_added: 0.7.0
    type: dict
  shm_size:
    description:
      - The size of C(/dev/shm), which all apps share, such as V(64M), which is 64 mebibytes. The default is half of the
        memory limit, and at least 64M.
    version_added: 0.7.0
    type: str
  stage1_name:
    description:
      - What runs the pod. V(native) is the runtime itself, and the default unless the host configures another one.
      - V(fly), which is also V(coreos.com/rkt/stage1-fly), runs the one app of the pod in its root and isolates nothing.
        The app has the processes, the network, the devices and all capabilities of the host, and root in it is root on
        the host. Use it for programs of the host that happen to come as an image.
      - Anything else is the name of a stage1 image, which is fetched and verified as the images of apps are. It runs as
        root on the host.
      - At most one of the O(stage1_name), O(stage1_hash), O(stage1_path), O(stage1_url) and O(stage1_from_dir) can be
        given. A change replaces the pod.
    type: str
    version_added: 0.7.0
  stage1_hash:
    description:
      - The ID of a stage1 image that is in the store, or its beginning.
    type: str
    version_added: 0.7.0
  stage1_path:
    description:
      - The absolute path of a stage1 image on the host.
    type: path
    version_added: 0.7.0
  stage1_url:
    description:
      - The URL of a stage1 image, with C(file), C(docker), C(http) or C(https).
    type: str
    version_added: 0.7.0
  stage1_from_dir:
    description:
      - The name of a file in C(/usr/lib/pods/stage1-images), or in the directory that C(stage1-images) of C(paths.d)
        names. If only root can write there, the file needs no signature.
    type: str
    version_added: 0.7.0
  no_overlay:
    description:
      - Whether to copy the images' files instead of using overlayfs.
    type: bool
    default: false
  stop_timeout:
    description:
      - The seconds between the stop signal and the kill of apps that still run.
    type: int
    default: 10
  exit_policy:
    description:
      - What an app that fails means to the other apps of its pod. V(end-pod) stops them, as in rkt. With V(continue) they
        run on, and the pod ends with the last of them, with the status of the first that failed.
      - An app that cannot be started ends the start of its pod in any case.
    version_added: 0.7.0
    type: str
    choices: [end-pod, continue]
    default: end-pod
  log:
    description:
      - The bounds of the log of each app.
    type: dict
    suboptions:
      max_size:
        description:
          - The size at which a file is rotated. The default is V(4m). As in docker, V(10m), V(10M) and V(10MiB) are ten
            mebibytes.
        type: str
      max_files:
        description:
          - The number of files to keep. The default is 3.
        type: int
  labels:
    description:
      - Labels of the pod. Every value must be a string.
    type: dict
  update:
    description:
      - The conditions for replacing a running pod. They are not part of the pod, and a change of them alone is not a
        change.
    version_added: 0.2.0
    type: dict
    suboptions:
      min_uptime:
        description:
          - The seconds that the new pod must stay up when a running pod is replaced or restarted. It has stayed up when
            no app has failed and at least one still runs after that time. Otherwise the old pod is started again, and
            the task fails with RV(rolled_back=true).
          - It does not apply to the first start of a pod, nor with O(wait=true), where the exit status decides. V(0)
            does not wait. The default is 2.
        type: float
  wait:
    description:
      - Whether to wait until all apps have ended. The task fails if one of them fails.
    type: bool
    default: false
  wait_timeout:
    description:
      - The seconds to wait. After that the task fails, and the pod keeps running.
    type: int
    default: 300
  tail:
    description:
      - The number of last lines of each app's output to return with O(wait=true).
    type: int
    default: 20
"""

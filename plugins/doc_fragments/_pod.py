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
      - The name of the pod. Letters, digits, dots, dashes and underscores, at most 200, beginning with a letter or a
        digit. Not a UUID.
    type: str
    required: true
  state:
    description:
      - V(started) means that the pod runs.
      - V(stopped) means that it exists and does not run.
      - V(prepared) means that it exists, ready to be started. A pod that runs as described is left running.
      - V(restarted) means that it runs and was started by this task.
      - Without O(apps), V(started), V(stopped) and V(restarted) are for a pod that is there, as from a handler. What else
        the task says of the pod is not looked at then.
      - V(absent) means that there is no pod of this name and nothing left over from one.
    type: str
    choices: [started, stopped, prepared, absent, restarted]
    default: started
  apps:
    description:
      - The apps of the pod. Without them a pod is not described, and only one that is there can be started, stopped,
        restarted or removed by its name. Required with O(state=prepared).
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
          - The name of the app. Without it, the last component of the image's name.
        type: str
      exec:
        description:
          - The program to run instead of what the image says. Exactly one path, with no arguments.
        type: str
      args:
        description:
          - Arguments, appended to what the image or O(apps[].exec) says.
          - Every one must be a string. What YAML takes for a number or a boolean must be quoted.
        type: list
        elements: raw
        default: []
      working_dir:
        description:
          - The directory to start in, absolute.
        type: str
      user:
        description:
          - The user, a name in the image, a number, or the path of a file in the image whose owner it shall be.
          - V(1000:1000), in quotes, is the user and the group.
        type: str
      group:
        description:
          - The group, as O(apps[].user).
        type: str
      supplementary_gids:
        description:
          - Numbers of more groups, instead of those of the image.
        type: list
        elements: int
      environment:
        description:
          - Variables, a dictionary of names and values, or a list of elements such as V(LEVEL=debug). They win over those of
            the image and over O(environment).
          - Every value must be a string. What YAML takes for a number or a boolean must be quoted.
        type: raw
      mounts:
        description:
          - Volumes at paths of the app. Mount points of the image that are not mentioned get the volume of
            their name, or an empty one.
        type: list
        elements: dict
        default: []
        suboptions:
          short:
            description:
              - All in one, V(pages:/usr/share/nginx/html) or V(/srv/site:/usr/share/nginx/html:ro). An element of the list that
                is a text is this option.
              - What stands first is the name of a volume in O(volumes), or else of one made by
                M(stagecraft.pods.pod_volume), or a path of the host; the volume need not be declared then. V(ro) is
                O(apps[].mounts[].read_only=true).
            version_added: 0.3.0
            type: str
          volume:
            description:
              - The name of a volume in O(volumes).
            type: str
          target:
            description:
              - The path inside of the app.
            type: path
          read_only:
            description:
              - V(true) makes this mount alone read-only. Else it is what the volume says.
            version_added: 0.3.0
            type: bool
      memory:
        description:
          - The most memory, such as V(128M) or V(64Mi). V(128m), which other tools read as mebibytes, is refused.
        type: str
      cpu:
        description:
          - The most CPU time, in cores, such as V(2) or V(750m).
        type: str
      cpu_shares:
        description:
          - The weight against other apps when CPU time is scarce, from 2 to 262144.
        type: int
      oom_score_adj:
        description:
          - How soon the kernel ends the app when memory is scarce, from -1000 to 1000.
        type: int
      pids_limit:
        description:
          - How many processes and threads the app may have at a time. V(-1) is no limit. The default is 2048.
        version_added: 0.2.0
        type: int
      ulimits:
        description:
          - "Limits of each process of the app, such as C({nofile: 1024, nproc: {soft: 64, hard: 128}}). A number is both the soft
            and the hard limit, V(-1) is none."
          - They are called V(cpu), V(fsize), V(data), V(stack), V(core), V(rss), V(nproc), V(nofile), V(memlock), V(as),
            V(locks), V(sigpending), V(msgqueue), V(nice), V(rtprio) and V(rttime), and mean what C(getrlimit(2\)) says.
            Those that are not given are as the pod was started with. A command of O(apps[].post_stop) has none of them.
        version_added: 0.3.0
        type: dict
      caps_retain:
        description:
          - The capabilities of the app, such as V(CAP_NET_ADMIN), and no others.
        type: list
        elements: str
      caps_remove:
        description:
          - Capabilities to take from the default ones.
        type: list
        elements: str
      seccomp:
        description:
          - The filter of system calls, instead of the default one.
        type: dict
        suboptions:
          mode:
            description:
              - Whether to allow these calls only, or all but these.
            type: str
            choices: [retain, remove]
            required: true
          syscalls:
            description:
              - Names of system calls, and sets of them such as V(@docker/default-whitelist).
            type: list
            elements: str
            required: true
          errno:
            description:
              - What a refused call answers, such as V(EPERM). Without it, the process is killed.
            type: str
      no_new_privileges:
        description:
          - Whether to keep programs of the app from gaining privileges, as set-user-ID programs do.
          - An app that is not root and has a filter of system calls never gains any, whatever this says.
          - In a pod where an app has V(CAP_SYS_PTRACE), nor does any other with a filter that has no V(CAP_SYS_ADMIN).
        type: bool
      image_isolators:
        description:
          - As O(image_isolators), for this app.
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
          - Ports of the app, instead of those of the image.
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
              - Its number.
            type: int
            required: true
          protocol:
            description:
              - Its protocol.
            type: str
            choices: [tcp, udp]
            default: tcp
          count:
            description:
              - How many ports it stands for, from its number upwards.
            type: int
            default: 1
      pre_start:
        description:
          - A command, as a list, to run as root in the app before it starts. If it fails, the app does not start.
          - Every element must be a string, as in O(apps[].args).
        type: list
        elements: raw
        default: []
      post_stop:
        description:
          - A command, as a list, to run as root in the app after it has ended.
          - Every element must be a string, as in O(apps[].args).
        type: list
        elements: raw
        default: []
      stop_signal:
        description:
          - The signal that asks the app to end, such as V(SIGQUIT), V(quit) or a number, instead of the one of the image. Without
            both it is V(SIGTERM), for all processes of the app.
        version_added: 0.3.0
        type: str
      user_annotations:
        description:
          - Annotations, instead of those of the image. Every value must be a string.
        type: dict
      user_labels:
        description:
          - Labels, instead of those of the image. Every value must be a string.
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
          - V(empty) is a new directory that goes when the pod does.
          - Without it, O(volumes[].volume) makes it V(named), O(volumes[].source) makes it V(host), and else it is V(empty).
        type: str
        choices: [named, host, empty]
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
          - Whether it can be written to. Without it, as the mount point of the image says.
        type: bool
      recursive:
        description:
          - Whether what is mounted below a V(host) volume is there as well. The default is true.
        type: bool
      mode:
        description:
          - The mode of an V(empty) volume, three or four octal digits in quotes, since without them it is a number to YAML,
            which is refused. The default is V(0755).
        type: raw
      uid:
        description:
          - The owner of an V(empty) volume. The default is root.
        type: int
      gid:
        description:
          - The group of an V(empty) volume. The default is root's.
        type: int
  mounts:
    description:
      - Volumes at paths of every app.
    type: list
    elements: dict
    default: []
    suboptions:
      short:
        description:
          - All in one, V(pages:/usr/share/nginx/html) or V(/srv/site:/usr/share/nginx/html:ro). An element of the list that
            is a text is this option.
          - What stands first is the name of a volume in O(volumes), or else of one made by
            M(stagecraft.pods.pod_volume), or a path of the host; the volume need not be declared then. V(ro) is
            O(mounts[].read_only=true).
        version_added: 0.3.0
        type: str
      volume:
        description:
          - The name of a volume in O(volumes).
        type: str
      target:
        description:
          - The path inside of the app.
        type: path
      read_only:
        description:
          - V(true) makes this mount alone read-only. Else it is what the volume says.
        version_added: 0.3.0
        type: bool
  ports:
    description:
      - Ports of the host that lead to ports of the apps.
    type: list
    elements: dict
    default: []
    suboptions:
      short:
        description:
          - All in one, V(8080:80), V(127.0.0.1:53:53/udp) or V(8000-8010:8000-8010), the port of the host first. An element
            of the list that is a text is this option. Write it in quotes.
        version_added: 0.3.0
        type: str
      name:
        description:
          - The name of a port of an app. Ports of docker images are named like V(80-tcp). If it stands for several, so does
            O(ports[].host_port).
          - Instead of it, O(ports[].port) gives a number.
        type: str
      port:
        description:
          - The number of a port, which no app needs to have named.
        version_added: 0.3.0
        type: int
      protocol:
        description:
          - The protocol of O(ports[].port). The default is V(tcp).
        version_added: 0.3.0
        type: str
        choices: [tcp, udp]
      count:
        description:
          - How many ports, from O(ports[].port) and from O(ports[].host_port) upwards. The default is 1.
        version_added: 0.3.0
        type: int
      host_port:
        description:
          - The port of the host.
        type: int
      host_ip:
        description:
          - The only address of the host to listen on. Without it, all of them.
        type: str
  environment:
    description:
      - Variables of every app, as O(apps[].environment). They win over those of the images.
    type: raw
  env_file:
    description:
      - Files with variables of every app, C(NAME=VALUE) a line. Lines that begin with C(#) or C(;) are comments. They win
        over those of the images, O(environment) wins over them. A name may come once in all files.
    version_added: 0.3.0
    type: list
    elements: dict
    suboptions:
      short:
        description:
          - The path of a file. An element of the list that is a text is this option.
        type: str
      content:
        description:
          - What stands in such a file, in place of one.
        type: str
  env_file_from:
    description:
      - Whose files O(env_file) names. Those of the V(controller) are looked for as O(ansible.builtin.copy#module:src) is, and may be
        encrypted by vault. Those of the V(host) have absolute paths.
    version_added: 0.3.0
    type: str
    choices: [controller, host]
    default: controller
  networks:
    description:
      - The networks to join, by name, with arguments such as V(default:IP=172.16.28.9).
      - V(host) shares the network of the host, V(none) leaves a loopback interface only.
    type: list
    elements: str
    default: [default]
  hostname:
    description:
      - The host name in the pod, at most 64 letters, digits, dashes, dots and underscores. Without it, C(rkt-) and the
        UUID.
    type: str
  dns:
    description:
      - Addresses of name servers. V(host) takes the host's resolv.conf, V(none) writes none.
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
      - Entries of C(/etc/hosts), which then replaces that of the images.
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
          - Its names.
        type: list
        elements: str
        required: true
  hosts_from_host:
    description:
      - Whether the apps see the C(/etc/hosts) of the host.
    type: bool
    default: false
  ipc:
    description:
      - Whether the pod has an IPC namespace of its own, as V(auto) and V(private) say, or shares that of the host, V(parent).
    type: str
    choices: [auto, private, parent]
    default: auto
  image_isolators:
    description:
      - What becomes of isolators of images that ask for more than the defaults allow, such as further capabilities. See
        R(hardening, ansible_collections.stagecraft.pods.docsite.hardening).
      - V(refuse) fails the task before anything is run.
      - V(narrow) takes what lies within the defaults, and warns of the rest.
      - V(accept) takes them as they are.
      - An app's own option of the same kind, such as O(apps[].caps_retain), replaces the image's isolator in any case.
      - Without it, as the host is configured in C(policy.d) of its configuration, and else V(refuse).
    version_added: 0.2.0
    type: str
    choices: [refuse, narrow, accept]
  pids_limit:
    description:
      - How many processes and threads all apps together may have at a time. V(-1) is no limit.
      - The default is 4096, or what O(apps[].pids_limit) gives to one of them if that is more.
    version_added: 0.2.0
    type: int
  no_overlay:
    description:
      - Copy the images' files instead of stacking file systems.
    type: bool
    default: false
  stop_timeout:
    description:
      - How many seconds the apps have between being asked to end and being killed.
    type: int
    default: 10
  log:
    description:
      - How much is kept of what each app prints.
    type: dict
    suboptions:
      max_size:
        description:
          - The size at which a file is rotated, V(4m) by default. As in docker V(10m), V(10M) and V(10MiB) are ten
            mebibytes.
        type: str
      max_files:
        description:
          - How many files are kept. The default is 3.
        type: int
  labels:
    description:
      - Labels of the pod. Every value must be a string.
    type: dict
  update:
    description:
      - What it takes that a pod may replace one that runs. It is no part of the pod, and no change of it by itself.
    version_added: 0.2.0
    type: dict
    suboptions:
      min_uptime:
        description:
          - How many seconds the new pod must stay up, where one that runs is replaced or restarted. It is up when no app
            has failed and at least one still runs after that time. Otherwise the old pod runs again, and the task fails
            with RV(rolled_back=true).
          - It asks for nothing when a pod is first started, nor with O(wait=true), where the status decides. V(0) does
            not wait. The default is 2.
        type: float
  wait:
    description:
      - Whether to wait until all apps have ended. The task fails if one of them does.
    type: bool
    default: false
  wait_timeout:
    description:
      - How many seconds to wait. After that the task fails, and the pod goes on.
    type: int
    default: 300
  tail:
    description:
      - How many of the last lines of each app to return with O(wait=true).
    type: int
    default: 20
"""

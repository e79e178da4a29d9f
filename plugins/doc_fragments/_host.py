# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options in module_utils/_glue/options.py, HOST."""

from __future__ import annotations


class ModuleDocFragment:
    """Options that every module has."""

    DOCUMENTATION = r"""
options:
  data_dir:
    description:
      - The directory of images, pods and volumes on the host, an absolute path.
    type: path
    default: /var/lib/pods
  config_dir:
    description:
      - The directory of the host's configuration, with C(net.d), C(auth.d) and others, an absolute path.
    type: path
    default: /etc/pods
  runtime:
    description:
      - The runtime to use, a content hash or a directory on the host. The collection sets it, and installs the runtime.
      - There is no need to set it.
    type: str
"""

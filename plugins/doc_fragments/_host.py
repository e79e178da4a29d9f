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
      - Directory that holds images, pods and volumes on the host, an absolute path.
    type: path
    default: /var/lib/pods
  config_dir:
    description:
      - Directory of the host's configuration, with its C(net.d) and C(auth.d), an absolute path.
    type: path
    default: /etc/pods
  runtime:
    description:
      - The runtime to use, a content hash or a directory on the host. The collection sets it and installs it.
      - There is no need to set it.
    type: str
"""

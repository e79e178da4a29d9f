# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Make the site that antsibull-docs set up build without a network, with warnings as errors.

Its configuration downloads the inventories of other sites. This replaces them by a local one with the few names that
our pages refer to, which point to Ansible's own documentation.

usage: docs_conf.py BUILD_FOLDER
"""

from __future__ import annotations

import pathlib
import re
import sys
import zlib

ANSIBLE_DOCS = "https://docs.ansible.com/ansible/devel/"
BUILTIN = "ansible.builtin"
MODULES = (
    "command",
    "copy",
    "file",
    "ping",
    "reboot",
    "service",
    "systemd_service",
    "template",
    "uri",
    "user",
)
LABELS = {
    "common_return_values": "reference_appendices/common_return_values.html",
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "become": "playbook_guide/playbooks_privilege_escalation.html",
    "check_mode_dry": "playbook_guide/playbooks_checkmode.html",
    "diff_mode": "playbook_guide/playbooks_checkmode.html",
    "flow_modules": "dev_guide/developing_program_flow_modules.html",
    "general_precedence_rules": "reference_appendices/general_precedence.html",
    "module_defaults": "playbook_guide/playbooks_module_defaults.html",
    "module_defaults_groups": "playbook_guide/playbooks_module_defaults.html",
    "playbooks_vault": "vault_guide/index.html",
    "vault": "vault_guide/index.html",
    **{
        f"ansible_collections.{BUILTIN}.{name}_module": f"collections/ansible/builtin/{name}_module.html"
        for name in MODULES
    },
}


def inventory() -> bytes:
    """The names in the format of Sphinx's objects.inv, version 2."""
    head = "# Sphinx inventory version 2\n# Project: Ansible\n# Version: devel\n# compressed with zlib\n"
    lines = (
        f"{label} std:label -1 {page}#{label} {title(label)}\n" for label, page in sorted(LABELS.items())
    )
    return head.encode() + zlib.compress("".join(lines).encode())


def title(label: str) -> str:
    """The text of a link without a text of its own."""
    return re.sub(r"^ansible_collections\.|_module$", "", label).replace("_", " ")


def main(build: pathlib.Path) -> None:
    """Rewrite intersphinx_mapping in conf.py and write the inventory beside it."""
    (build / "ansible.inv").write_bytes(inventory())
    conf = build / "conf.py"
    mapping = f'intersphinx_mapping = {{"ansible": ("{ANSIBLE_DOCS}", "../ansible.inv")}}'
    text, count = re.subn(
        r"^intersphinx_mapping = \{.*?^\}", mapping, conf.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    if count != 1:
        raise SystemExit(f"{conf} has no intersphinx_mapping")
    conf.write_text(text)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

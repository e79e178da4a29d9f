# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to exit_json or fail_json: the only place that knows AnsibleModule. PRIVATE."""

from __future__ import annotations

import gc
import os

from ansible.module_utils.basic import AnsibleModule

from .bootstrap import RuntimeMissing, load_tasks
from .shapes import Misshapen, check_shapes, name_short_forms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Options = dict[str, Any]

REDACTED = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


class Module(AnsibleModule):
    """A module that logs its options redacted, and refuses those of the wrong type.

    AnsibleModule searches the repr of an option for secrets. It misses those whose line breaks, quotes or backslashes
    repr has escaped, and logs them in clear text.
    """

    def _set_internal_properties(self, *args: object) -> None:
        """Check the shapes of the options: this is AnsibleModule's last step before it converts them."""
        super()._set_internal_properties(*args)
        name_short_forms(self.params, self.argument_spec)
        try:
            check_shapes(self.params, self.argument_spec)
        except Misshapen as err:
            refuse(self, str(err), err.hint, err.where)

    def _log_invocation(self) -> None:
        shown = redacted(self.params, self.argument_spec)
        texts = {name: _printable(value) for name, value in shown.items()}
        pairs = " ".join(f"{name}={text}" for name, text in texts.items())
        self.log(f"Invoked with {pairs}", log_args=texts)


def _printable(value: object) -> str:
    """A value for a log entry, which holds no lone surrogate and only one line."""
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def run_module(task: str, argument_spec: Options, **options: object) -> None:
    """Run one task of podrt.tasks.run as a module. Does not return."""
    module = Module(argument_spec=argument_spec, supports_check_mode=True, **options)
    # Results never hold secrets; masking every occurrence of the same text would only mangle them, since "1" is a
    # common value of a variable.
    module.no_log_values.clear()
    invocation = {"module_args": redacted(module.params, argument_spec)}
    params = module.params
    refuse_relative(module, "data_dir", "config_dir")
    try:
        tasks = load_tasks(params["runtime"], params["data_dir"])
    except RuntimeMissing as err:
        module.fail_json(
            msg=f"the runtime of stagecraft.pods is not installed at {err}; use these modules through ansible or "
            "ansible-playbook, which install it, or apply the role stagecraft.pods.pod_host",
            runtime_missing=True,
            invocation=invocation,
        )
    result = _run(tasks, task, params, module.check_mode)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if not module._diff:
        result.pop("diff", None)
    result["invocation"] = invocation
    # Else Python goes through all that a task has loaded once more before it ends, which takes 10 ms.
    gc.freeze()
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def refuse_relative(module: AnsibleModule, *names: str) -> None:
    """Fail if one of these options is not an absolute path, before anything is created below it."""
    for name in names:
        path = module.params[name]
        if path is not None and not os.path.isabs(path):
            refuse(module, f'{name}: "{path}" is not an absolute path', "begin it with /", name)


def refuse(module: AnsibleModule, message: str, hint: str, where: str) -> None:
    """Fail as the runtime does for an invalid option. Does not return."""
    module.fail_json(
        msg=f"{message} ({hint})" if hint else message,
        error="invalid-spec",
        hint=hint,
        facts={"where": where},
        changes=[],
        invocation={"module_args": redacted(module.params, module.argument_spec)},
    )


def _run(tasks: ModuleType, task: str, params: Options, check: bool) -> Options:
    try:
        result: Options = tasks.run_task(task, params, check=check)
    except Exception as err:
        result = tasks.failure(err)
    return result


def redacted(params: Options, argument_spec: Options) -> Options:
    """The options with every secret masked, at any depth and of any shape."""
    shown: Options = {}
    for name, value in params.items():
        spec = argument_spec.get(name, {})
        if value is None:
            shown[name] = None
        elif spec.get("no_log"):
            shown[name] = REDACTED
        elif spec.get("options"):
            shown[name] = _redacted_within(value, spec["options"])
        else:
            shown[name] = value
    return shown


def _redacted_within(value: object, spec: Options) -> object:
    if isinstance(value, list):
        return [_redacted_within(element, spec) for element in value]
    return redacted(value, spec) if isinstance(value, dict) else REDACTED

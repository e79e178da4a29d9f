# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Run the pipeline, up to four steps at a time where they do not disturb each other, and report the time of each step.

usage: run.py [--check | --v2] [STEP...]       all steps of `make test`, `make check`, `make test-v2`, or those named

A step is a program that exits with 0 when all is well, and with 77 when it cannot run here. It says "SKIP: ..."
for each part that it leaves out; with CI in the environment that is a failure. Logs are kept in .cache/logs.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import threading
import time

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
LOGS = CHECKOUT / ".cache" / "logs"
SKIPPED = 77
# The output of tools that leave a part out and still exit with 0.
SILENT_SKIPS = re.compile(
    r"All targets skipped|WARNING: Skipping |could not be found|skipped because|no tests ran|Skipping tests"
)
TOTALS = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.MULTILINE)
TOTAL = re.compile(r"(\d+) (passed|failed|error|errors|skipped|deselected)\b")
# A step that repeats the tests of another may leave out one in so many; if it leaves out more, it proves little.
ONE_OF = 20


class Step:
    """One program of the pipeline and its result. repeats: whether another step runs its tests in full."""

    def __init__(self, name: str, *command: str, repeats: bool = False) -> None:
        self.name, self.command, self.repeats = name, command, repeats
        self.status, self.reason, self.seconds, self.log = "not run", "", 0.0, ""

    def run(self) -> None:
        """Run the program with its output in a log, and judge both its exit status and its output."""
        begin = time.monotonic()
        path = LOGS / f"{self.name}.log"
        argv = [str(CHECKOUT / "tests" / "pipeline" / self.command[0]), *self.command[1:]]
        with path.open("wb") as log:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        self.seconds = time.monotonic() - begin
        self.log = path.read_text(errors="replace")
        self._judge(done.returncode)
        print(f"{self.name:<18} {self.seconds:7.1f} s  {self.status} {self.reason}".rstrip(), flush=True)
        if self.status == "FAILED":
            print("\n".join("    " + line for line in self.log.splitlines()[-80:]), flush=True)

    def _judge(self, code: int) -> None:
        said = re.findall(r"^SKIP: (.*)", self.log, re.MULTILINE)
        silent = SILENT_SKIPS.search(self.log)
        if code not in (0, SKIPPED):
            self.status, self.reason = "FAILED", f"exit status {code}"
        elif said:
            self.status, self.reason = ("FAILED" if os.environ.get("CI") else "SKIPPED"), "; ".join(said)
        elif silent or code == SKIPPED:
            what = silent[0] if silent else "no reason given"
            self.status, self.reason = "FAILED", f"skipped silently: {what}"
        elif self.tests().get("skipped"):
            self.status, self.reason = "FAILED", f"{self.tests()['skipped']} tests skipped"
        elif self.repeats and self.leaves_out_too_much():
            self.status, self.reason = "FAILED", f"{self.tests()['deselected']} tests left out"
        else:
            self.status = "ok"

    def leaves_out_too_much(self) -> bool:
        """Whether pytest left out more tests than the few that are the same on every Python."""
        left_out = self.tests().get("deselected", 0)
        return left_out * ONE_OF > left_out + self.tests().get("passed", 0)

    def tests(self) -> dict[str, int]:
        """Pytest's own count, if the step ran pytest: {"passed": 12, ...}."""
        last = (TOTALS.findall(self.log) or [""])[-1]
        return {what.replace("errors", "error"): int(number) for number, what in TOTAL.findall(last)}


class Pipeline:
    """Run steps in order; the lists in a list of lists run beside each other, each of them in sequence."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.done = names, []

    def run(self, *lanes: list[Step]) -> None:
        """Run these lanes beside each other and wait for all."""
        threads = [threading.Thread(target=self._run_lane, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_lane(self, lane: list[Step]) -> None:
        for step in lane:
            if not self.names or step.name in self.names:
                self.done.append(step)
                step.run()

    def broken(self) -> bool:
        """Whether a step has failed."""
        return any(step.status == "FAILED" for step in self.done)

    def report(self, seconds: float) -> int:
        """Print the table and the sums; return the exit status."""
        print("\nstep                seconds  result")
        for step in self.done:
            tests = ", ".join(f"{number} {what}" for what, number in step.tests().items())
            print(f"{step.name:<18} {step.seconds:8.1f}  {step.status:<8} {step.reason or tests}".rstrip())
        print(f"{'all':<18} {seconds:8.1f}")
        ok, failed, skipped = (self._count(status) for status in ("ok", "FAILED", "SKIPPED"))
        print(f"steps: {ok} passed, {failed} failed, {skipped} skipped")
        bad = self._sum("failed") + self._sum("error")
        print(f"tests: {self._sum('passed')} passed, {bad} failed, {self._sum('skipped')} skipped")
        return 1 if failed or not ok else 0

    def _count(self, status: str) -> int:
        return sum(step.status == status for step in self.done)

    def _sum(self, what: str) -> int:
        return sum(step.tests().get(what, 0) for step in self.done)


def whole(pipeline: Pipeline) -> None:
    """`make test`: the cheap and telling steps first, then four lanes that take about the same time.

    Two cores are enough for them, since tests of pods and of hosts wait for a third of their time. The second lane
    alone uses what test hosts share: the network to other machines and their root file system in .cache. The third
    alone uses the machine's own directories of pods. The others keep to their own folders and namespaces.
    """
    pipeline.run([Step("packages", "packages"), Step("venv", "venv")])
    if pipeline.broken():
        return
    # The newest Python runs all. The oldest leaves out tests that wait, and tables of hundreds of rows, and lists what
    # it leaves out or skips, which xdist does not. Those between are what pods and tasks of the lanes run on.
    pipeline.run(
        [Step("gate", "gate")],
        [Step("unit-3.13", "unit", "3.13", "-n", "3")],
    )
    pipeline.run(
        [
            Step("integration-pods", "integration", "pods"),
            Step("tarball", "tarball"),
            Step("ansible-lint", "lint-ansible"),
            Step("docs-lint", "docs", "lint"),
            Step("docs-site", "docs", "site"),
        ],
        [
            Step("integration-hosts", "integration", "hosts"),
            Step("integration-net", "integration", "net"),
            Step("molecule", "molecule"),
        ],
        [
            Step("targets-3.13", "integration", "targets"),
            Step("smoke-3.9", "integration", "smoke", "3.9"),
            Step("smoke-3.11", "integration", "smoke", "3.11"),
            # The rules of the newest pylint hold; the older one takes half of the step's time to say the same.
            Step("sanity-2.19", "sanity", "2.19", "--skip-test", "pylint"),
            Step("integration-podctl", "integration", "podctl"),
        ],
        [
            Step("sanity-2.21", "sanity", "2.21"),
            Step("unit-3.9", "unit", "3.9", "-m", "not slow and not controller", repeats=True),
        ],
    )


def fast(pipeline: Pipeline) -> None:
    """`make check`: the steps that take seconds, without the few tests that wait."""
    pipeline.run([Step("gate", "gate")], [Step("unit-3.11", "unit", "3.11", "-n", "2", "-m", "not slow")])


def virtual_machines(pipeline: Pipeline) -> None:
    """`make test-v2`: the tests of real hosts again, on a machine with cgroup v2 and all its controllers."""
    pipeline.run([Step("packages", "packages"), Step("venv", "venv", "--main")])
    if not pipeline.broken():
        pipeline.run([Step("integration-v2", "integration", "vm")])


def main(argv: list[str]) -> int:
    """Run what the arguments ask for."""
    os.chdir(CHECKOUT)
    LOGS.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    pipeline = Pipeline([name for name in argv if not name.startswith("--")])
    run = fast if "--check" in argv else virtual_machines if "--v2" in argv else whole
    run(pipeline)
    return pipeline.report(time.monotonic() - begin)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

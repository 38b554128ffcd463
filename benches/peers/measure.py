"""What a process takes: wall time, CPU time and memory, with all the processes that it starts."""

import os
import subprocess
import threading
import time
from pathlib import Path

# Whoever takes longer hangs.
LIMIT = 300


def tree(pid):
    """A process and all that it has started."""
    yield pid
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield from tree(int(child))
    except OSError:
        pass


def kilobytes(pid, file, field):
    try:
        for line in open(f"/proc/{pid}/{file}"):
            if line.startswith(field):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def held(pid):
    """The most that one process has held; of several what they hold now, where what they share counts once."""
    pids = list(tree(pid))
    if len(pids) == 1:
        return kilobytes(pid, "status", "VmHWM:")
    return sum(kilobytes(pid, "smaps_rollup", "Pss:") for pid in pids)


class Peak(threading.Thread):
    """The most memory that a process and those that it starts hold, seen every 20 ms: ru_maxrss would count what this
    program had when it started them."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.bytes, self.ended = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.02):
            self.bytes = max(self.bytes, held(self.pid) * 1024)


def measure(command, directory, environment, output, errors):
    """Runs a command to its end: its exit code, and what it took."""
    with open(output, "wb") as output, open(errors, "wb") as errors:
        start = time.monotonic()
        child = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=errors)
        peak, timer = Peak(child.pid), threading.Timer(LIMIT, child.kill)
        timer.start()
        # With the processes that it has waited for.
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        timer.cancel()
        peak.ended.set()
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": peak.bytes}

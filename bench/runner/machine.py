"""What the machine does apart from the benchmark: which processors are ours, how fast they are, who else is there."""

import json
import os
import platform
import subprocess

TICK = os.sysconf("SC_CLK_TCK")
CPUS = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]  # those that we may use
SERVER_CPU = os.environ.get("SERVER_CPU") or CPUS[0]
LOAD_CPU = os.environ.get("LOAD_CPU") or CPUS[min(1, len(CPUS) - 1)]


def pinned(cpu: str | None, command: list[str]) -> list[str]:
    return ["taskset", "-c", cpu, *command] if cpu else command


def busy() -> tuple[float, float]:
    """Seconds of all processors: in use, and altogether."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICK, sum(fields) / TICK


def cpu_of(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Noise:
    """The share of the machine that neither the servers nor our children took between two moments."""

    def __init__(self, pids: list[int]):
        self.pids = pids
        self.start = self._now()

    def _now(self) -> tuple[float, float, float]:
        times = os.times()
        own = times.children_user + times.children_system + sum(cpu_of(pid) for pid in self.pids)
        return *busy(), own

    def share(self) -> float:
        used, total, own = (now - then for now, then in zip(self._now(), self.start))
        return round(max(0.0, (used - own) / max(total, 0.01)), 3)


def calibrate(limits: str, certificate: str, key: str) -> float:
    """Microseconds of a handshake in one process, on the server's processor, at this moment."""
    command = pinned(SERVER_CPU, [limits, "calibrate", certificate, key])
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["us"]


def describe() -> dict:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith(("model name", "Model"))]
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False).stdout
    return {"cpu": models[0] if models else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "openssl": openssl.split("(")[0].strip()}

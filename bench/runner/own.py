"""Figures that concern tlsloop alone: python3 bench/runner/own.py DIRECTORY

They go to own.json there, and are printed. SHORT=1 makes them quick and meaningless.
"""

import json
import os
import statistics
import subprocess
import sys

import machine
import stacks
from rounds import make_certificate
from server import Server, await_port, free_port
from table import head, row

HELLOS = "mixed --connections 1 --rate 10 --storm hello --storm-width 32"


class Own:
    def __init__(self, directory: str):
        self.directory = os.path.abspath(directory)
        self.certificate, self.key = make_certificate(self.directory)
        self.short = os.environ.get("SHORT", "") not in ("", "0")

    def program(self, name: str) -> str:
        return os.path.join(self.directory, "bin", name)

    def run(self, *command: str) -> dict:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout)

    def load(self, port: int, arguments: str, cpu: str | None, *more: str) -> dict:
        command = machine.pinned(cpu, [self.program("load"), *arguments.split(), "--port", str(port), *more])
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return json.loads(done.stdout)

    def start(self) -> dict:
        """The first start of a process sets OpenSSL up; the median of some processes."""
        command = machine.pinned(machine.SERVER_CPU, [self.program("own_start"), self.certificate, self.key])
        runs = [self.run(*command) for _ in range(1 if self.short else 11)]
        return {key: statistics.median(run[key] for run in runs) for key in runs[0]}

    def send(self) -> dict:
        command = [self.program("own_send"), self.certificate, self.key, machine.SERVER_CPU, machine.LOAD_CPU]
        runs = [self.run(*command) for _ in range(1 if self.short else 5)]
        return {key: statistics.median(run[key] for run in runs) for key in runs[0]}

    def idle(self) -> dict:
        """The first connection brings what is made once; the others are counted."""
        count, port = 200 if self.short else 10000, free_port()
        command = [self.program("own_idle"), str(port), self.certificate, self.key, str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                await_port(port, process)
                self.load(port, "idle --connections 1 --touch --hold 0.1", None)
                if process.stdout.readline() != "ready\n":
                    raise SystemExit("own_idle did not get ready")
                self.load(port, f"idle --connections {count} --touch --hold 2", None)
                return json.loads(process.communicate(timeout=60)[0])
            finally:
                process.kill()

    def calls(self) -> dict:
        """What each call takes of a full handshake, and what all of it takes without anybody looking at a clock."""
        count, path, figures = 100 if self.short else 4000, os.path.join(self.directory, "calls.jsonl"), {}
        for name, more in (("timed", {"LD_PRELOAD": self.program("own_calls.so"), "CALLS": path}), ("whole", {})):
            command = [self.program("tlsloop-system"), str(port := free_port()), self.certificate, self.key]
            with subprocess.Popen(machine.pinned(machine.SERVER_CPU, command), env=os.environ | more) as process:
                try:
                    await_port(port, process)
                    work = f"handshake --total {count} --connections 16 --server-pid {process.pid}"
                    figures[name] = self.load(port, work, machine.LOAD_CPU)["server_us_per_operation"]
                finally:
                    process.terminate()
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        figures["calls"] = {line["name"]: [line["calls"] / count, line["us"] / count] for line in lines}
        return figures

    def storm(self, count: int, certificate: str, key: str) -> dict:
        """Replayed ClientHellos for that many workers; the load has a processor of its own, if there is a third."""
        spare = len(machine.CPUS) > 2
        cpus, load_cpu = (",".join(machine.CPUS[1:1 + count]), machine.CPUS[0]) if spare else (None, None)
        seconds = "0.3" if self.short else "4"
        with Server(stacks.tlsloop("system"), self.directory, certificate, key, None, [str(count)], cpus) as server:
            line = self.load(server.port, f"{HELLOS} --seconds {seconds} --timeout 60", load_cpu,
                             "--server-pid", str(server.pids[0]))
        keys = ("storm_per_s", "server_us_per_operation", "server_cpu_share", "client_cpu_share")
        return {key: line[key] for key in keys}

    def workers(self, key_type: str) -> dict:
        """One worker and two, saturated by replayed ClientHellos. An RSA-4096 signature takes the server so long that
        the load is next to nothing; with P-256 the load takes part of the processors that the workers could use."""
        certificate, key = make_certificate(self.directory, key_type) if key_type != "P-256" else (
            self.certificate, self.key)
        figures = {str(count): self.storm(count, certificate, key) for count in (1, 2)}
        one, two = figures["1"], figures["2"]
        figures["rate"] = round(two["storm_per_s"] / one["storm_per_s"], 3)
        figures["cpu"] = round(two["server_us_per_operation"] / one["server_us_per_operation"], 3)
        return figures

    def all(self) -> dict:
        return {"start": self.start(), "send": self.send(), "idle": self.idle(), "calls": self.calls(),
                "workers": {kind: self.workers(kind) for kind in ("P-256", "RSA-4096")}}


def show(figures: dict) -> str:
    start, send, idle = figures["start"], figures["send"], figures["idle"]
    rows = [
        ("start of a server, the first in a process, ms", f"{start['first_ms']:.2f}"),
        ("start of a server, the next ones, ms", f"{start['next_ms']:.2f}"),
        ("conn_send from another thread, in bursts, µs of its CPU time", f"{send['burst_us']:.2f}"),
        ("conn_send from another thread that wakes the worker, µs", f"{send['waking_us']:.2f}"),
        ("a bare write to an eventfd that wakes a thread, µs", f"{send['eventfd_us']:.2f}"),
        (f"heap of each of {idle['connections']} idle connections, bytes", f"{idle['heap_bytes']:.0f}"),
        ("of it OpenSSL's, bytes", f"{idle['openssl_bytes']:.0f}"),
        ("of it tlsloop's own, bytes", f"{idle['own_bytes']:.0f}"),
    ]
    lines = head(["figure", "value"]) + [row(list(cells)) for cells in rows]
    lines += ["", *head(["hello storm", "1 worker, /s", "2 workers, /s", "ratio", "CPU ratio", "CPUs the load took"])]
    for kind, both in figures["workers"].items():
        rates = [f"{both[count]['storm_per_s']:,.0f}" for count in "12"]
        rest = [both["rate"], both["cpu"], both["2"]["client_cpu_share"]]
        lines.append(row([kind, *rates, *(f"{value:.2f}" for value in rest)]))
    calls = figures["calls"]
    lines += ["", *head(["of a full handshake", "calls", "µs"])]
    lines += [row([name, f"{count:.2f}", f"{us:.1f}"]) for name, (count, us) in calls["calls"].items()]
    lines.append(row(["all of its CPU time, without the clock's", "", f"{calls['whole']:.0f}"]))
    return "\n".join(lines)


def main():
    own = Own(sys.argv[1])
    figures = own.all()
    with open(os.path.join(own.directory, "own.json"), "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1)
    print(show(figures))


if __name__ == "__main__":
    main()

"""One server under test: started fresh for every run, on its own processor, and killed afterwards."""

import os
import random
import signal
import socket
import subprocess
import time

import fronts
import machine
from stacks import NONE, Stack


class DidNotStart(Exception):
    pass


def free_port() -> int:
    """Below the ports from which the load connects, so that the two never meet."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue


def await_port(port: int, process: subprocess.Popen) -> bool:
    """Whether the process takes connections there; False when it has ended or takes too long."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.02)
    return False


class Server:
    def __init__(self, stack: Stack, directory: str, certificate: str, key: str, wrapper: list[str] | None = None,
                 extra: list[str] | None = None, cpu: str | None = machine.SERVER_CPU):
        """"wrapper" is put before the command (strace, valgrind), "extra" behind it; "cpu" None: any of them."""
        self.cpu = cpu
        self.stack = stack
        self.port = free_port()
        self.processes = []
        self.log = os.path.join(directory, "server.log")
        program = os.path.join(directory, "bin", stack.program)
        tls = [] if stack.crypto == NONE or stack.front else [certificate, key]
        behind = free_port() if stack.front else self.port
        self._start([*(wrapper or []), program, str(behind), *tls, *(extra or [])], behind)
        if stack.front:
            both = os.path.join(directory, "both.pem")
            self._start(fronts.command(stack.front, self.port, behind, both, directory), self.port)

    def _start(self, command: list[str], port: int):
        quiet = subprocess.DEVNULL
        with open(self.log, "wb") as log:
            process = subprocess.Popen(machine.pinned(self.cpu, command), stdin=quiet, stdout=quiet, stderr=log,
                                       start_new_session=True)
        self.processes.append(process)
        if await_port(port, process):
            return
        self.stop()
        with open(self.log, encoding="utf-8", errors="replace") as log:
            raise DidNotStart(f"{self.stack.name} did not start: {log.read()[-300:]}")

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.processes]

    def stop(self, by: signal.Signals = signal.SIGKILL):
        for process in self.processes:
            try:
                os.killpg(process.pid, by)
            except ProcessLookupError:
                pass
            process.wait()

    def terminate(self):
        """So that a wrapper can still write down what it has seen."""
        self.stop(signal.SIGTERM)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

"""Figures that do not depend on how fast the machine is: python3 bench/runner/counts.py record|check|show [DIRECTORY]

DIRECTORY holds what bench/Makefile built. "record" counts tlsloop and its peers (or those in ONLY) and writes
bench/counts.json; "check" counts tlsloop and compares it with that file; "show" prints the file as Markdown. See
callgrind.py for how.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile

import callgrind
import stacks
import strace
from rounds import make_certificate, words
from server import Server
from table import head, row, title_of

FILE = os.path.join(os.path.dirname(__file__), "..", "counts.json")
ALLOWED = 0.05  # more than is recorded
# What happens once a turn, and not once an operation, comes a little more or less often by chance.
SLACK = 0.5

# Operation: the load for N of them, and N.
OPERATIONS = {
    "handshake": ("handshake --connections 1 --total {n}", 30),
    "resumed": ("handshake --connections 1 --resume --total {n}", 30),
    "echo 64 B": ("echo --connections 1 --size 64 --total {n}", 500),
    "echo 16 KiB": ("echo --connections 1 --size 16k --total {n}", 100),
}
# The same with many at work at once: the load for N operations, a few of them, many of them.
MANY = {
    "handshake": ("handshake --connections 16 --total {n}", 16, 400),
    "resumed": ("handshake --connections 16 --resume --total {n}", 16, 400),
    "echo 64 B": ("echo --connections 64 --size 64 --total {n}", 64, 19264),
    "bulk 16 KiB": ("bulk --connections 8 --size 16k --bytes {kib}k", 8, 16384),
}
PEERS = ["epoll", "epoll-edge", "libevent", "libuv", "asio", "tokio-openssl", "tokio-rustls"]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def environment() -> dict[str, str]:
    """What instruction counts depend on, apart from our own code."""
    words = {"rustc": output_of("rustc", "--version"), "openssl": output_of("openssl", "version")}
    found = {name: (text.split() + ["", ""])[1] for name, text in words.items()}
    return {"architecture": platform.machine(), **found, "libc": platform.libc_ver()[1], "processor": processor()}


def processor() -> str:
    """Its model: OpenSSL and the C library choose their code by what it can do."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")


class Counter:
    def __init__(self, directory: str):
        self.directory = os.path.abspath(directory)
        self.certificate, self.key = make_certificate(self.directory)

    def load(self, server: Server, arguments: str):
        command = [os.path.join(self.directory, "bin", "load"), *arguments.split(), "--port", str(server.port),
                   "--timeout", "60"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{server.stack.name}, {arguments}: {done.stdout}{done.stderr}")

    def watched(self, stack: stacks.Stack, arguments: str, wrapper: list[str]):
        server = Server(stack, self.directory, self.certificate, self.key, wrapper, cpu=None)
        try:
            self.load(server, arguments)
        finally:
            server.terminate()

    def callgrind(self, stack: stacks.Stack, arguments: str) -> callgrind.Counts:
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            path, log = os.path.join(place, "counts"), os.path.join(place, "log")
            self.watched(stack, arguments, callgrind.command(path, log))
            return callgrind.read(path, log)

    def strace(self, stack: stacks.Stack, arguments: str):
        with tempfile.TemporaryDirectory(dir=self.directory) as place:
            path = os.path.join(place, "calls")
            self.watched(stack, arguments, strace.command(path))
            return strace.read(path)

    def many(self, stack: stacks.Stack, name: str) -> dict[str, float]:
        load, few, many = MANY[name]
        less, more = (self.strace(stack, load.format(n=n, kib=n * 16 // 8)) for n in (few, many))
        return strace.per_operation(less, more, many - few)

    def operation(self, stack: stacks.Stack, name: str) -> dict:
        load, n = OPERATIONS[name]
        counts = self.callgrind(stack, load.format(n=n)).per_operation(self.callgrind(stack, load.format(n=2 * n)), n)
        figures = {
            "instructions": callgrind.by_object(counts.instructions),
            "allocations": callgrind.allocations(counts),
            "system calls": callgrind.system_calls(counts),
        }
        if stack.is_ours:
            atomic, locks = callgrind.locks(counts)
            figures["steps"] = {"atomic": atomic, "locks": locks}
        return figures

    def server(self, stack: stacks.Stack) -> dict:
        print(f"counting {stack.name}", flush=True)
        return {name: rounded(self.operation(stack, name)) for name in OPERATIONS}


def rounded(figures: dict) -> dict:
    """Whole instructions, hundredths of everything else; without what does not happen."""
    result = {}
    for kind, values in figures.items():
        digits = 0 if kind == "instructions" else 2
        kept = {name: round(value, digits) + 0 for name, value in values.items()}
        result[kind] = {name: int(value) if value == int(value) else value for name, value in sorted(kept.items())
                        if value or name in ("all", "tlsloop", "atomic", "locks")}
    return result


def read() -> dict:
    with open(FILE, encoding="utf-8") as file:
        return json.load(file)


def comparable(kind: str, name: str, same: dict[str, bool]) -> bool:
    """A count is compared where nothing but our own code can have changed it."""
    if kind in ("system calls", "allocations"):
        return name in ("tlsloop", "all") and (name == "tlsloop" or same["openssl"])
    if kind == "steps":
        return same["architecture"] and same["rustc"]
    ours = same["architecture"] and same["rustc"] and name == "tlsloop"
    return ours or (name == "all" and all(same.values()))


def compare(recorded: dict, counted: dict, same: dict[str, bool]) -> list[str]:
    """What has become worse; says what has become better."""
    worse = []
    for operation, kinds in recorded.items():
        for kind, values in kinds.items():
            for name, before in values.items():
                now = counted[operation][kind].get(name, 0)
                if not comparable(kind, name, same):
                    continue
                text = f"{operation}, {kind}, {name}: {before:,} recorded, {now:,} now"
                if now > before * (1 + ALLOWED) + SLACK:
                    worse.append(text)
                elif now < before * (1 - ALLOWED) - SLACK:
                    print(f"better: {text}")
    return worse


def check(directory: str) -> int:
    recorded, here = read(), environment()
    same = {name: recorded["environment"].get(name) == value for name, value in here.items()}
    for name in (name for name in same if not same[name]):
        print(f"{name} is {here[name]}, recorded with {recorded['environment'].get(name)}: less can be compared")
    ours = stacks.tlsloop("system")
    worse = compare(recorded["servers"][ours.name], Counter(directory).server(ours), same)
    for text in worse:
        print(f"worse: {text}")
    if worse:
        print('If that is the price of something worth it, "make bench-counts" records it.')
        return 1
    print("no count is worse than recorded")
    return 0


def record(directory: str, only: list[str]):
    """Servers that are not asked for keep what is recorded."""
    counter = Counter(directory)
    kept = read() if os.path.exists(FILE) else {"servers": {}, "system calls among many": {}}
    for stack in stacks.choose(["system"], only or ["tlsloop", *PEERS]):
        kept["servers"][stack.name] = counter.server(stack)
        kept["system calls among many"][stack.name] = rounded({name: counter.many(stack, name) for name in MANY})
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump({**kept, "environment": environment()}, file, indent=1, sort_keys=True)
        file.write("\n")


def cell(values: dict, name: str) -> str:
    value = values.get(name)
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def in_order(servers: dict) -> list[str]:
    return [name for name in ["tlsloop", *PEERS] if name in servers]


def show(counts: dict) -> str:
    """One table for each operation, and one for many connections."""
    lines = []
    for operation in OPERATIONS:
        lines += [f"**{operation}**, one at a time", "",
                  *head(["server", "instructions", "tlsloop", "libssl", "libcrypto", "libc", "allocations",
                         "system calls"])]
        for name in in_order(counts["servers"]):
            kinds = counts["servers"][name][operation]
            layers = [cell(kinds["instructions"], layer) for layer in ("all", "tlsloop", "libssl", "libcrypto", "libc")]
            calls = [cell(kinds[kind], "all") for kind in ("allocations", "system calls")]
            lines.append(row([title_of(name), *layers, *calls]))
        lines.append("")
    lines += ["**System calls while many are at work**", "", *head(["server", *MANY])]
    for name in in_order(counts["servers"]):
        operations = counts["system calls among many"][name]
        lines.append(row([title_of(name), *(cell(operations[operation], "all") for operation in MANY)]))
    return "\n".join(lines)


def main():
    action, directory = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    if action == "check":
        sys.exit(check(directory))
    if action == "record":
        record(directory, words("ONLY"))
    print(show(read()))


if __name__ == "__main__":
    main()

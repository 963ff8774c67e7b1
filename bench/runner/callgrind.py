"""What a server does for one operation, counted by callgrind: instructions, allocations, atomic steps, system calls.

A server is run twice, with N operations and with 2 N; what start and end cost is the same in both and cancels out.
Each operation is waited for before the next begins, so that nothing depends on how many happen to come together.
"""

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field

ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
# These do not enter the kernel outside of valgrind, so they are counted apart.
CLOCKS = {"clock_gettime", "time", "gettimeofday", "getcpu"}

NAME = re.compile(r"(ob|cob|fl|fi|fe|cfi|cfl|fn|cfn)=\((\d+)\)(?: (.*))?$")
TABLE = {"ob": "ob", "cob": "ob", "fn": "fn", "cfn": "fn"}  # all others name source files
SYSTEM_CALL = re.compile(r"SYSCALL\[\d+,\d+\]\(\s*\d+\) (?:sys_)?(\w+)")


@dataclass
class Counts:
    instructions: Counter = field(default_factory=Counter)  # by object
    addresses: Counter = field(default_factory=Counter)  # (object, address): how often executed
    calls: Counter = field(default_factory=Counter)  # (calling object, called function)
    system_calls: Counter = field(default_factory=Counter)

    def per_operation(self, other: "Counts", operations: int) -> "Counts":
        """"other" had twice as many operations."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return Counts(*(Counter({key: (more[key] - less[key]) / operations for key in more}) for less, more in pairs))


class Reader:
    """callgrind writes a name once and its number from then on, and addresses relative to the line before."""

    def __init__(self):
        self.counts = Counts()
        self.names = {}
        self.here = {}
        self.address = 0
        self.is_call = False

    def line(self, line: str):
        named = NAME.match(line)
        if named:
            kind, number, name = named.groups()
            if kind in TABLE:
                if name is not None:
                    self.names[TABLE[kind], number] = name
                self.here[kind] = self.names[TABLE[kind], number]
        elif line.startswith("calls="):
            called = self.here["cfn"].split("@")[0].split("'")[0]
            self.counts.calls[self.here["ob"], called] += int(line[6:].split()[0])
            self.is_call = True
        elif line[:1] in "0123456789+-*" and line:
            self._cost(line.split())

    def _cost(self, fields: list[str]):
        position, cost = fields[0], int(fields[-1])
        if position[0] in "+-":
            self.address += int(position)
        elif position != "*":
            self.address = int(position, 0)
        if not self.is_call:  # the line behind a call is what the called function took
            self.counts.instructions[self.here["ob"]] += cost
            self.counts.addresses[self.here["ob"], self.address] += cost
        self.is_call = False


def read(path: str, log: str) -> Counts:
    reader = Reader()
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            reader.line(line.rstrip("\n"))
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            called = SYSTEM_CALL.match(line)
            if called:
                reader.counts.system_calls[called[1]] += 1
    return reader.counts


def command(path: str, log: str) -> list[str]:
    """To be put before a server's own."""
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}", f"--log-file={log}", "--dump-instr=yes",
            "--trace-syscalls=yes"]


OBJECTS = {"libtlsloop.": "tlsloop", "libssl.": "libssl", "libcrypto.": "libcrypto", "libc.": "libc"}


def short(path: str) -> str:
    """The object by the name under which it is reported."""
    name = os.path.basename(path)
    return next((known for start, known in OBJECTS.items() if name.startswith(start)), "other")


def by_object(counts: Counter) -> dict[str, float]:
    sums = Counter()
    for name, value in counts.items():
        sums[short(name)] += value
        sums["all"] += value
    return dict(sums)


def allocations(counts: Counts) -> dict[str, float]:
    return by_object(Counter({ob: sum(n for (where, called), n in counts.calls.items()
                                      if where == ob and called in ALLOCATORS)
                              for ob in counts.instructions}))


def atomic_steps(library: str) -> list[int]:
    """The addresses of all instructions of a library that lock the bus. x86-64 only."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", library], check=True, capture_output=True, text=True)
    found = re.findall(r"^\s*([0-9a-f]+):\s+(?:lock\b|xchg .*\()", text.stdout, re.MULTILINE)
    return [int(address, 16) for address in found]


def inlined(library: str, addresses: list[int]) -> dict[int, list[str]]:
    """The functions that an instruction belongs to, the innermost first."""
    asked = "".join(f"{address:#x}\n" for address in addresses)
    answer = subprocess.run(["addr2line", "-e", library, "-a", "-f", "-i", "-C"], input=asked, check=True,
                            capture_output=True, text=True)
    found, lines = {}, []
    for line in answer.stdout.splitlines():
        if re.match(r"0x[0-9a-f]+$", line):
            lines = found.setdefault(int(line, 16), [])
        else:
            lines.append(line)
    return {address: lines[0::2] for address, lines in found.items()}  # every second line names a source file


def takes_lock(functions: list[str]) -> bool:
    """Whether it is the step that takes a lock; the one that gives it back is not counted again."""
    return any(name.split("<")[0] in {"lock", "read", "write", "try_lock", "lock_shared", "lock_exclusive"}
               for name in functions[1:4])


def locks(counts: Counts) -> tuple[float, float]:
    """Atomic read-modify-write steps of tlsloop, and those of them that take a lock."""
    library = next((ob for ob in counts.instructions if short(ob) == "tlsloop"), None)
    if library is None:
        return 0.0, 0.0
    executed = {address: counts.addresses[library, address] for address in atomic_steps(library)}
    executed = {address: n for address, n in executed.items() if n > 0}
    functions = inlined(library, list(executed))
    return sum(executed.values()), sum(n for address, n in executed.items() if takes_lock(functions[address]))


def system_calls(counts: Counts) -> dict[str, float]:
    calls = {name: n for name, n in counts.system_calls.items() if name not in CLOCKS and n >= 0.05}
    clock = sum(n for name, n in counts.system_calls.items() if name in CLOCKS)
    return {"all": sum(calls.values()), **calls, "clock": clock}

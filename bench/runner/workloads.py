"""What the servers are given to do, and which figures are read from it. To add a workload: an entry in WORKLOADS."""

from dataclasses import dataclass

from stacks import NONE, Stack


@dataclass(frozen=True)
class Figure:
    key: str  # in the line of JSON that bench/load prints
    title: str
    unit: str
    more_is_better: bool = False
    in_drawing: bool = True


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    load: str  # arguments of bench/load
    short: str  # the same for a few tenths of a second, to see that all works
    figures: tuple[Figure, ...]
    needs_tls: bool = True
    once: bool = False  # a figure that does not vary from run to run

    def suits(self, stack: Stack) -> bool:
        return stack.crypto != NONE or not self.needs_tls

    def arguments(self, stack: Stack, short: bool) -> list[str]:
        """What stands before a plain server holds two descriptors for each connection, and stunnel a thread."""
        text = (self.short if short else self.load).format(many=4000 if stack.front else 10000)
        return text.split() + (["--plain"] if stack.crypto == NONE else [])


CPU = "server_us_per_operation"
RATE = "operations_per_s"


def echo(name: str, title: str, options: str) -> Workload:
    figures = (
        Figure(CPU, f"{title}, CPU", "µs"),
        Figure(RATE, f"{title}, rate", "/s", more_is_better=True, in_drawing=False),
        Figure("p99_us", f"{title}, p99", "µs", in_drawing=False),
    )
    return Workload(name, title, f"echo {options} --seconds 2", f"echo {options} --seconds 0.2 --warmup 0.1", figures,
                    needs_tls=False)


def handshakes(name: str, title: str, options: str, needs_tls: bool) -> Workload:
    figures = (
        Figure(CPU, f"{title}, CPU", "µs"),
        Figure(RATE, f"{title}s", "/s", more_is_better=True, in_drawing=False),
    )
    return Workload(name, title, f"handshake --total 4000 --connections 16 {options}",
                    f"handshake --total 100 --connections 16 {options}", figures, needs_tls)


def storm(kind: str, title: str) -> Workload:
    figures = (
        Figure("p99_us", f"echo p99 during {title}", "µs"),
        Figure("storm_per_s", title, "/s", more_is_better=True, in_drawing=False),
        Figure("quiet_p99_us", "echo p99 before it", "µs", in_drawing=False),
    )
    options = f"mixed --connections 64 --rate 2000 --storm {kind} --storm-width 64"
    return Workload(f"mixed-{kind}", f"64 connections during {title}", f"{options} --seconds 2",
                    f"{options} --seconds 0.3 --warmup 0.1", figures)


def bulk(name: str, title: str, options: str) -> Workload:
    figures = (
        Figure("server_cpu_s_per_gib", f"{title}, CPU", "s/GiB"),
        Figure("mb_per_s_each_way", f"{title}, rate", "MB/s", more_is_better=True, in_drawing=False),
    )
    return Workload(name, title, f"bulk {options} --bytes 64m", f"bulk {options} --bytes 1m", figures, needs_tls=False)


WORKLOADS = [
    handshakes("handshake", "full handshake", "", needs_tls=False),
    handshakes("resumed", "resumed handshake", "--resume", needs_tls=True),
    echo("echo-64", "64 B echo, 64 connections", "--connections 64 --size 64"),
    echo("echo-1000", "64 B echo, 1,000 connections", "--connections 1000 --size 64"),
    echo("pipelined", "1 KiB echo, 8 in flight", "--connections 64 --size 1k --depth 8"),
    bulk("bulk", "bulk echo, 16 KiB", "--connections 8 --size 16k"),
    Workload("idle", "idle connections", "idle --connections {many} --touch --hold 1",
             "idle --connections 200 --touch --hold 0.1",
             (Figure("rss_bytes_per_connection", "idle connection, RSS", "B"),), needs_tls=False, once=True),
    storm("full", "a storm of handshakes"),
    storm("hello", "a storm of hellos"),
]

# How the costs grow; not part of an ordinary run, but "make bench WORK=growth" asks for all of them.
GROWTH = [
    echo(f"growth-{count}", f"64 B echo, {count:,} connections", f"--connections {count} --size 64")
    for count in (64, 256, 1000, 4000, 15000)
] + [
    echo(f"size-{size}", f"echo of {title}, 16 connections", f"--connections 16 --size {size}")
    for size, title in (("64", "64 B"), ("1k", "1 KiB"), ("16k", "16 KiB"), ("128k", "128 KiB"), ("1m", "1 MiB"))
]


def choose(names: list[str]) -> list[Workload]:
    """The workloads of a run; an empty list means the ordinary ones."""
    every = WORKLOADS + GROWTH
    if not names:
        return WORKLOADS
    chosen = [w for w in every if w.name in names or ("growth" in names and w in GROWTH)]
    unknown = set(names) - {w.name for w in every} - {"growth"}
    if unknown:
        known = " ".join(workload.name for workload in every)
        raise SystemExit(f"no such workload: {' '.join(sorted(unknown))} (there are: {known})")
    return chosen

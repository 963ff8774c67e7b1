"""What was aimed at, and what was measured: python3 bench/runner/targets.py DIRECTORY

Reads what is there of results.jsonl and own.json in DIRECTORY, and counts.json. Ratios are of medians of one session.
"""

import json
import os
import sys

import counts
import stacks
from results import Results
from table import head, number, row
from workloads import CPU

GIB = "server_cpu_s_per_gib"
PEERS = {stack.name: stack for stack in stacks.STACKS if stack.crypto != stacks.NONE}
ON_OPENSSL = [name for name, stack in PEERS.items() if stack.crypto == stacks.OPENSSL]

# Whose median divides tlsloop's; the workload; the figure; how much at most (or, of a rate, at least).
RATIOS = [
    ("OpenSSL", "handshake", CPU, 0.85),
    ("OpenSSL", "resumed", CPU, 0.85),
    ("all", "echo-64", CPU, 0.95),
    ("OpenSSL", "echo-64", CPU, 0.85),
    ("all", "echo-1000", CPU, 0.95),
    ("OpenSSL", "echo-1000", CPU, 0.85),
    ("all", "pipelined", CPU, 0.95),
    ("OpenSSL", "pipelined", CPU, 0.85),
    ("OpenSSL", "bulk", GIB, 0.85),
    ("OpenSSL", "mixed-full", "p99_us", 0.5),
    ("all", "mixed-full", "storm_per_s", 0.9),
    ("all", "mixed-hello", "p99_us", 1.0),
]


def verdict(text: str, value: float, bar: float, at_least: bool = False, note: str = "") -> list[str]:
    met = value >= bar if at_least else value <= bar
    return [text, f"{'≥' if at_least else '≤'} {number(bar)}", number(value) + note, "yes" if met else "**no**"]


def ratio(results: Results, who: str, workload: str, key: str, bar: float) -> list[str] | None:
    ours = results.cell("tlsloop", workload, key)
    names = ON_OPENSSL if who == "OpenSSL" else list(PEERS)
    cells = {name: cell for name in names if (cell := results.cell(name, workload, key))}
    if not ours or not cells:
        return None
    is_rate = key.endswith("_per_s")
    best = (max if is_rate else min)(cells, key=lambda name: cells[name].median)
    note = f" ({number(ours.median)} : {number(cells[best].median)}, {best})" + (" ?" if ours.doubtful else "")
    text = f"{workload}, {key}, to the best of {'those on OpenSSL' if who == 'OpenSSL' else 'all'}"
    return verdict(text, ours.median / cells[best].median, bar, is_rate, note)


def of_results(results: Results) -> list[list[str]]:
    rows = [found for wanted in RATIOS if (found := ratio(results, *wanted))]
    idle = results.cell("tlsloop", "idle", "rss_bytes_per_connection")
    if idle:
        rows.append(verdict("idle connection, RSS, bytes", idle.median, 14600))
    return rows


def of_aws_lc(results: Results) -> list[list[str]]:
    """The build on AWS-LC has targets of its own."""
    name, rows = "tlsloop-aws-lc", []
    handshake, rustls = (results.cell(who, "handshake", CPU) for who in (name, "tokio-rustls"))
    if handshake and rustls:
        rows.append(verdict("aws-lc: full handshake, to tokio-rustls", handshake.median / rustls.median, 0.8))
    idle = results.cell(name, "idle", "rss_bytes_per_connection")
    if idle:
        rows.append(verdict("aws-lc: idle connection, RSS, bytes", idle.median, 6 * 1024))
    for who, workload, key, _ in RATIOS:
        cells = [results.cell(stack, workload, key) for stack in (name, "tlsloop")]
        if who == "OpenSSL" and all(cells):
            text = f"aws-lc: {workload}, {key}, to tlsloop on OpenSSL"
            rows.append(verdict(text, cells[0].median / cells[1].median, 1.0))
    return rows


def of_counts(recorded: dict) -> list[list[str]]:
    many = recorded["system calls among many"]["tlsloop"]
    echo = recorded["servers"]["tlsloop"]["echo 64 B"]
    return [
        verdict("system calls of a full handshake", many["handshake"]["all"], 14),
        verdict("system calls of a resumed handshake", many["resumed"]["all"], 14),
        verdict("system calls of a 64 B echo", many["echo 64 B"]["all"], 2.1),
        verdict("system calls of 16 KiB in bulk", many["bulk 16 KiB"]["all"], 0.6),
        verdict("allocations of tlsloop's own in a 64 B echo", echo["allocations"]["tlsloop"], 0),
        verdict("locks taken for a 64 B echo, its turn of the loop included", echo["steps"]["locks"], 0),
    ]


def of_own(own: dict) -> list[list[str]]:
    rows = [
        verdict("tlsloop's own bytes of an idle connection", own["idle"]["own_bytes"], 300),
        verdict("start of the first server, ms", own["start"]["first_ms"], 5),
        verdict("conn_send from another thread, in bursts, µs", own["send"]["burst_us"], 1.5),
        verdict("conn_send from another thread, waking the worker, µs", own["send"]["waking_us"], 1.5),
    ]
    for kind, figures in own["workers"].items():
        rows.append(verdict(f"two workers, hello storm, {kind}: rate", figures["rate"], 1.8, at_least=True,
                            note=f" (the load took {figures['2']['client_cpu_share']:.2f} CPUs)"))
        rows.append(verdict(f"two workers, hello storm, {kind}: CPU for each", figures["cpu"], 1.1))
    return rows


def main():
    directory, rows = sys.argv[1], []
    results, own = (os.path.join(directory, name) for name in ("results.jsonl", "own.json"))
    if os.path.exists(results):
        rows += of_results(Results(results)) + of_aws_lc(Results(results))
    rows += of_counts(counts.read())
    if os.path.exists(own):
        with open(own, encoding="utf-8") as file:
            rows += of_own(json.load(file))
    print("\n".join(head(["target", "bar", "measured", "met"]) + [row(cells) for cells in rows]))


if __name__ == "__main__":
    main()

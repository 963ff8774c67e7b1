"""Writes results.jsonl as Markdown to tables.md, and prints the first table: python3 bench/runner/table.py DIRECTORY"""

import os
import sys

import stacks
import workloads
from results import Cell, Results

SUMMARY = [  # workload, figure, heading
    ("handshake", workloads.CPU, "full handshake, µs"),
    ("resumed", workloads.CPU, "resumed, µs"),
    ("echo-64", workloads.CPU, "64 B echo, 64 conns, µs"),
    ("echo-1000", workloads.CPU, "64 B echo, 1,000 conns, µs"),
    ("pipelined", workloads.CPU, "1 KiB echo, 8 in flight, µs"),
    ("bulk", "server_cpu_s_per_gib", "bulk, s/GiB"),
    ("idle", "rss_bytes_per_connection", "idle conn, bytes"),
    ("mixed-full", "p99_us", "echo p99 in a handshake storm, µs"),
    ("mixed-full", "storm_per_s", "its handshakes/s"),
    ("mixed-hello", "p99_us", "echo p99 in a hello storm, µs"),
    ("mixed-hello", "storm_per_s", "its hellos/s"),
]


def number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def title_of(name: str) -> str:
    if name == "tlsloop" or name.startswith("tlsloop-"):
        return stacks.tlsloop(name.removeprefix("tlsloop").lstrip("-") or "system").title
    return next((stack.title for stack in stacks.STACKS if stack.name == name), name)


def marks(cell: Cell) -> str:
    return (" ?" if cell.doubtful else "") + (f" ({cell.lost} lost)" if cell.lost else "")


def ratio(cell: Cell, ours: Cell | None) -> str:
    return f"{cell.median / ours.median:.2f}" if ours and ours.median else "-"


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def head(cells: list[str]) -> list[str]:
    return [row(cells), "|---|" + "--:|" * (len(cells) - 1)]


def summary(results: Results) -> list[str]:
    columns = [column for column in SUMMARY if results.has(column[0])]
    if not columns:
        return []
    lines = head(["server"] + [heading for _, _, heading in columns])
    for name in results.stacks():
        cells = [results.cell(name, workload, key) for workload, key, _ in columns]
        lines.append(row([title_of(name)] + [number(c.median) + marks(c) if c else "-" for c in cells]))
    return lines + [""]


def detail(results: Results, workload: workloads.Workload, figure: workloads.Figure) -> list[str]:
    lines = [f"**{figure.title}** ({figure.unit}; {'more' if figure.more_is_better else 'less'} is better)", ""]
    lines += head(["server", "median", "least", "most", "runs", "× tlsloop"])
    ours = results.cell("tlsloop", workload.name, figure.key)
    for name in results.stacks():
        cell = results.cell(name, workload.name, figure.key)
        if cell is None:
            continue
        lines.append(row([title_of(name), number(cell.median) + marks(cell), number(min(cell.values)),
                          number(max(cell.values)), str(len(cell.values)), ratio(cell, ours)]))
    return lines + [""]


def notes(results: Results) -> list[str]:
    s = results.session
    machine = f"{s.get('cpu')}, {s.get('cpus')} CPUs, Linux {s.get('kernel')}, {s.get('openssl')}"
    return [
        f"{machine}; rounds: {s.get('rounds')}, on {s.get('session')}. CPU is the server's own, user and kernel, on one"
        f" core; the load has another. Calibration: {results.reference:.0f} µs for a handshake in one process;"
        f" {results.dropped()} of {len(results.runs)} runs were not within 10 % of it, or others were at work, and were"
        " repeated or dropped. \"?\": none was good.",
        "",
    ]


def overview(results: Results) -> list[str]:
    return summary(results) + notes(results)


def details(results: Results) -> list[str]:
    lines = []
    for workload in workloads.WORKLOADS + workloads.GROWTH:
        for figure in workload.figures if results.has(workload.name) else ():
            lines += detail(results, workload, figure)
    return lines


def main():
    directory = sys.argv[1]
    results = Results(os.path.join(directory, "results.jsonl"))
    with open(os.path.join(directory, "tables.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(overview(results) + details(results)))
    print("\n".join(overview(results)))


if __name__ == "__main__":
    main()

"""System calls for one operation while many connections are at work, counted by strace, which is a wrapper like
callgrind: two runs, one with few operations and one with many. How many operations share a call depends on what happens
to come together, so these figures are close but not the same each time."""

import re
from collections import Counter

LINE = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")


def command(path: str) -> list[str]:
    return ["strace", "-f", "-qq", "-c", "-o", path]


def read(path: str) -> Counter:
    calls = Counter()
    with open(path, encoding="utf-8") as file:
        for found in map(LINE.match, file):
            if found and found[2] != "total":
                calls[found[2]] += int(found[1])
    return calls


def per_operation(less: Counter, more: Counter, operations: int) -> dict[str, float]:
    calls = {name: (more[name] - less[name]) / operations for name in more}
    calls = {name: value for name, value in calls.items() if value >= 0.05}
    return {"all": sum(calls.values()), **calls}

"""The lines of results.jsonl, and which of them count.

A processor of a shared machine does not always run at the same speed: the same handshake in one process has been seen
to take 180 or 305 µs minutes apart. So each run stands between two calibrations, and it counts if

- both lie within STEADY of the median of all calibrations of the session (most of it was measured at that speed), and
- other programs took less than QUIET of the machine meanwhile.

Runs that do not count are dropped, not scaled: how much of a workload slows down with the crypto, and how much with
the kernel, is not known. A run that does not count is repeated a few times; if none is good, the least bad one is used
and marked.
"""

import json
import statistics
from dataclasses import dataclass, field

STEADY = 1.10
QUIET = 0.04


def is_steady(run: dict, reference: float) -> bool:
    return all(max(c, reference) / min(c, reference) <= STEADY for c in run["calibrations"])


def counts(run: dict, reference: float) -> bool:
    return run.get("varies") is False or is_steady(run, reference) and run["noise"] < QUIET


def badness(run: dict, reference: float) -> float:
    """Orders runs that do not count: how far off the speed was, and how much was going on."""
    return sum(abs(c / reference - 1) for c in run["calibrations"]) + run["noise"]


def median_calibration(calibrations: list[float]) -> float:
    return statistics.median(calibrations)


@dataclass
class Cell:
    """A figure of one stack in one workload."""

    values: list[float] = field(default_factory=list)
    doubtful: bool = False  # no run counted
    lost: int = 0  # connections or messages that failed

    @property
    def median(self) -> float:
        return statistics.median(self.values)


class Results:
    def __init__(self, path: str):
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.session = next((line for line in lines if "session" in line), {})
        self.runs = [line for line in lines if "stack" in line]
        if not self.runs:
            raise SystemExit(f"{path} holds no runs")
        self.reference = median_calibration([c for run in self.runs for c in run["calibrations"]])

    def stacks(self) -> list[str]:
        return list(dict.fromkeys(run["stack"] for run in self.runs))

    def has(self, workload: str) -> bool:
        return any(run["workload"] == workload for run in self.runs)

    def dropped(self) -> int:
        return sum(not counts(run, self.reference) for run in self.runs)

    def used(self, stack: str, workload: str) -> tuple[list[dict], bool]:
        """One run of each round, and whether they are doubtful."""
        rounds = {}
        for run in self.runs:
            if run["stack"] == stack and run["workload"] == workload:
                rounds.setdefault(run["round"], []).append(run)
        best = [min(tries, key=lambda run: badness(run, self.reference)) for tries in rounds.values()]
        good = [run for run in best if counts(run, self.reference)]
        return good or best, not good

    def cell(self, stack: str, workload: str, key: str) -> Cell | None:
        runs, doubtful = self.used(stack, workload)
        values = [run[key] for run in runs if key in run]
        if not values:
            return None
        return Cell(values, doubtful, sum(run["failures"] for run in runs))

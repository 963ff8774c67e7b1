"""Measures tlsloop beside its peers: python3 bench/runner/rounds.py DIRECTORY|--programs

DIRECTORY holds what bench/Makefile built; results.jsonl goes there. The environment chooses: ROUNDS (5), ONLY and WORK
(names separated by commas), BUILDS (of tlsloop: system and features), SHORT=1 (a few tenths of a second each, to see
that everything works), SERVER_CPU and LOAD_CPU. Each round visits every workload and every stack once.
"""

import json
import os
import subprocess
import sys
import time

import machine
import results
import stacks
import workloads
from server import DidNotStart, Server

TRIES = 3  # of a run that does not count


def words(name: str) -> list[str]:
    return [word for word in os.environ.get(name, "").replace(",", " ").split() if word]


def chosen_stacks() -> list[stacks.Stack]:
    return stacks.choose(words("BUILDS") or ["system"], words("ONLY"))


KEYS = {"P-256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "RSA-2048": ["rsa:2048"], "RSA-4096": ["rsa:4096"]}


def make_certificate(directory: str, kind: str = "P-256") -> tuple[str, str]:
    certificate, key = (os.path.join(directory, f"{kind}-{name}.pem") for name in ("certificate", "key"))
    command = ["openssl", "req", "-x509", "-newkey", *KEYS[kind], "-nodes", "-days", "30", "-subj", "/CN=localhost",
               "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    with open(os.path.join(directory, "both.pem"), "w", encoding="ascii") as both:
        for path in (certificate, key):
            with open(path, encoding="ascii") as file:
                both.write(file.read())
    return certificate, key


class Session:
    def __init__(self, directory: str):
        self.directory = directory
        self.short = os.environ.get("SHORT", "") not in ("", "0")
        self.rounds = int(os.environ.get("ROUNDS") or (1 if self.short else 5))
        self.certificate, self.key = make_certificate(directory)
        self.calibrations = []
        self.problems = []
        path = os.path.join(directory, "results.jsonl")
        if os.path.exists(path):
            os.replace(path, os.path.join(directory, "results.old.jsonl"))
        self.path = path

    def write(self, line: dict):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def calibrate(self) -> float:
        if self.short and self.calibrations:
            return self.calibrations[-1]
        limits = os.path.join(self.directory, "bin", "limits")
        self.calibrations.append(machine.calibrate(limits, self.certificate, self.key))
        return self.calibrations[-1]

    def load(self, server: Server, workload: workloads.Workload) -> dict:
        arguments = workload.arguments(server.stack, self.short)
        pids = ",".join(str(pid) for pid in server.pids)
        patience = "60" if self.short else "10"  # a short run may have to share the machine
        program = os.path.join(self.directory, "bin", "load")
        command = [program, *arguments, "--port", str(server.port), "--server-pid", pids, "--timeout", patience]
        noise = machine.Noise(server.pids)
        done = subprocess.run(machine.pinned(machine.LOAD_CPU, command), capture_output=True, text=True, timeout=300,
                              check=False)
        line = json.loads(done.stdout)
        line.update(arguments=" ".join(arguments), noise=noise.share())
        return line

    def once(self, stack: stacks.Stack, workload: workloads.Workload) -> dict | None:
        before = self.calibrations[-1]
        try:
            with Server(stack, self.directory, self.certificate, self.key) as server:
                line = self.load(server, workload)
        except (DidNotStart, json.JSONDecodeError, subprocess.TimeoutExpired) as error:
            self.problems.append(f"{stack.name} {workload.name}: {error}")
            return None
        if line["failures"]:
            self.problems.append(f"{stack.name} {workload.name}: {line['failures']} failures: {line['first_failure']}")
        return {"stack": stack.name, "workload": workload.name, "calibrations": [before, self.calibrate()], **line}

    def measure(self, number: int, stack: stacks.Stack, workload: workloads.Workload):
        for attempt in range(1 if self.short else TRIES):
            line = self.once(stack, workload)
            if line is None:
                return
            line["varies"] = not workload.once
            self.write({"round": number, "try": attempt, **line})
            if results.counts(line, results.median_calibration(self.calibrations)):
                return

    def run(self, some_stacks: list[stacks.Stack], some_work: list[workloads.Workload]):
        self.write({"session": time.strftime("%Y-%m-%d"), "rounds": self.rounds, **machine.describe()})
        for _ in range(1 if self.short else 5):
            self.calibrate()
        start = time.monotonic()
        for number in range(self.rounds):
            # What is compared is measured close together, before the machine's speed changes.
            for workload in some_work:
                for stack in some_stacks:
                    if workload.suits(stack) and not (workload.once and number > 0):
                        self.measure(number, stack, workload)
                took = time.monotonic() - start
                print(f"round {number + 1} of {self.rounds}: {workload.name}, {took:.0f} s", flush=True)


def main():
    if sys.argv[1] == "--programs":  # what has to be built for this choice
        print(" ".join(dict.fromkeys(["load", "limits"] + [stack.program for stack in chosen_stacks()])))
        return
    session = Session(os.path.abspath(sys.argv[1]))
    session.run(chosen_stacks(), workloads.choose(words("WORK")))
    for problem in dict.fromkeys(session.problems):
        print(problem, file=sys.stderr)
    if session.problems:
        sys.exit(f"{len(session.problems)} runs had failures; see above")


if __name__ == "__main__":
    main()

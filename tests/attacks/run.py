#!/usr/bin/env python3
"""Attacks a tlsloop server, and shows what that costs and what stops it.

    tests/attacks/run.py DIRECTORY [--check]      DIRECTORY holds the programs host, witness and attack

Server, established client and attacker are processes of their own, on loopback. Each attack comes twice: without the
limit that is meant for it, to see what it can hold, and with it, to see that it acts. The result is a table. With
--check the attacks are smaller and nothing is timed: it fails if an attacker holds more memory than it may, if a limit
does not act, or if the established client is not served meanwhile.
"""
import json
import os
import select
import subprocess
import sys
import time

from scenarios import SCENARIOS

PATIENCE = 120  # seconds; the generous side, to end a hang


class Talker:
    """A process that answers a line for each line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def hear(self):
        """Its next line."""
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise SystemExit(f"{self.process.args} says nothing")
        line = self.process.stdout.readline().decode()
        if not line:
            raise SystemExit(f"{self.process.args} has ended")
        return line.strip()

    def ask(self):
        """What it counts now."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return json.loads(self.hear())

    def end(self):
        """Lets it end, and looks how."""
        self.process.stdin.close()
        if self.process.wait(PATIENCE) != 0:
            raise SystemExit(f"{self.process.args} failed")


class Stage:
    """A server under attack, with an established client."""

    def __init__(self, programs, scenario, settings):
        self.programs, self.scenario = programs, scenario
        self.host = Talker(f"{programs}/host", *settings)
        self.port = self.host.hear().rsplit(" ", 1)[1]
        self.witness = Talker(f"{programs}/witness", self.port, *scenario.witness)
        self.witness.hear()
        self.samples = []

    def quiet(self, seconds):
        """Processor time by the second, and the client's round trips, without an attack."""
        before = self.host.ask()
        self.witness.ask()
        time.sleep(seconds)
        after = self.host.ask()
        return (after["cpu_us"] - before["cpu_us"]) / seconds, self.witness.ask()

    def attack(self, count, seconds, enough, grace=0):
        """Attacks until `enough` is true, or the attack has ended and the seconds of grace after it are over; what the
        attacker says."""
        self.before = self.host.ask()
        self.witness.ask()
        command = [f"{self.programs}/attack", self.scenario.kind, self.port, str(count), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as attacker:
            until = time.monotonic() + seconds + (grace or 20)
            while not enough(self) and time.monotonic() < until and (grace or attacker.poll() is None):
                self.samples.append(self.host.ask())
                time.sleep(0.05)
            self.is_enough = enough(self)
            attacker.kill()
            lines = attacker.stdout.read().decode().split("\n")
        said = [json.loads(line) for line in lines if line.startswith("{")]
        return said[0] if said else None

    def end(self):
        """The client leaves, and the server stops."""
        self.witness.end()
        self.host.end()

    def held(self, count):
        """Bytes of memory for each connection of the attacker's."""
        return max(0, max(sample["heap"] for sample in self.samples) - self.before["heap"]) / count


def show(figure, unit):
    """A figure with as many digits as it deserves."""
    return f"{figure:,.0f} {unit}" if figure >= 10 else f"{figure:.1f} {unit}"


def shows_limit(programs, scenario, count, seconds):
    """Whether the limit acts."""
    stage = Stage(programs, scenario, scenario.limits(count))
    stage.attack(count, seconds, lambda stage: bool(stage.samples) and scenario.acts(stage.samples, count), PATIENCE)
    is_served = stage.witness.ask()["echoes"] > 0
    stage.end()
    return stage.is_enough and is_served


def measure(programs, scenario):
    """One line of the table."""
    count, seconds = scenario.count, 5
    stage = Stage(programs, scenario, scenario.open(count))
    idle_rate, quiet = stage.quiet(1)
    began = time.monotonic()
    spent = stage.attack(count, seconds, lambda stage: False)
    took = time.monotonic() - began
    cpu = max(0, stage.host.ask()["cpu_us"] - stage.before["cpu_us"] - idle_rate * took)
    meanwhile = stage.witness.ask()
    stage.end()
    per_message = show(cpu / spent["messages"], "µs") if spent["messages"] else "-"
    per_byte = show(1000 * cpu / spent["bytes"], "ns") if spent["bytes"] else "-"
    stops = "yes" if shows_limit(programs, scenario, count, 30) else "NO"
    # A flood's memory is what its connections hold at one time, of which there is one if they come one after the other.
    held = f"{stage.held(count if scenario.holds else 1):,.0f}"
    cells = [scenario.title, count if scenario.holds else 1, held, f"{cpu / took / 10000:.1f} %", per_message, per_byte]
    cells += [f"{quiet['p50_us']} / {quiet['p99_us']}", f"{meanwhile['p50_us']} / {meanwhile['p99_us']}"]
    print(f"| {' | '.join(map(str, cells))} | {scenario.stopped_by}: {stops} |", flush=True)
    return stops == "yes"


def check(programs, scenario):
    """Complaints about one attack, with nothing timed."""
    count, wrong = min(scenario.count, 60), []
    echoes = 0

    def served(stage):
        nonlocal echoes
        echoes += stage.witness.ask()["echoes"]
        is_there = len(stage.samples) > 0 and stage.samples[-1]["accepted"] > stage.before["accepted"]
        return is_there and echoes >= 50

    stage = Stage(programs, scenario, scenario.open(count))
    stage.attack(count, 20, served, PATIENCE)
    stage.end()
    if not stage.is_enough:
        wrong.append(f"the established client was served {echoes} times")
    held = stage.held(count if scenario.holds else 1)
    if held > scenario.bound:
        wrong.append(f"an attacker's connection holds {held:.0f} bytes, more than {scenario.bound}")
    if not shows_limit(programs, scenario, count, 30):
        wrong.append(f"not stopped: {scenario.stopped_by}")
    print(f"{'not ok' if wrong else 'ok'} {scenario.kind}: {'; '.join(wrong) or f'{held:.0f} bytes'}", flush=True)
    return not wrong


COLUMNS = ["Attack", "Connections", "Bytes of one", "Processor", "A message", "A byte", "Echo before, µs", "meanwhile",
           "Stopped by"]
HEAD = f"| {' | '.join(COLUMNS)} |\n{'| --- ' * len(COLUMNS)}|"


def processor():
    """What the machine calls its processor."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "a processor without a name"


def main():
    """The programs' directory, and whether it is a check."""
    programs = os.path.abspath(sys.argv[1])
    if "--check" in sys.argv:
        results = [check(programs, scenario) for scenario in SCENARIOS]
    else:
        load = ", ".join(f"{part:.0f}" for part in os.getloadavg())
        print(f"{processor()}, {os.cpu_count()} processors, load averages {load}\n\n{HEAD}", flush=True)
        results = [measure(programs, scenario) for scenario in SCENARIOS]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

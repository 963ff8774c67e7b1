"""Runs bench/limits on the server's processor: python3 bench/runner/limits.py DIRECTORY"""

import os
import subprocess
import sys

import machine
from rounds import make_certificate


def main():
    directory = os.path.abspath(sys.argv[1])
    files = [*make_certificate(directory), *make_certificate(directory, "RSA-2048")]
    command = [os.path.join(directory, "bin", "limits"), "all", *files]
    subprocess.run(machine.pinned(machine.SERVER_CPU, command), check=True)


if __name__ == "__main__":
    main()

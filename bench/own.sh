#!/usr/bin/env bash
# Measures what concerns tlsloop alone: start of a server, sends from other threads, memory of its own, two workers.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/common.sh
source bench/common.sh

build load tlsloop-system own_start own_send own_idle own_calls.so
python3 bench/runner/own.py "$out"

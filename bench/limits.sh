#!/usr/bin/env bash
# Measures what the system's OpenSSL and the kernel cost without any server; the lines go to limits.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/common.sh
source bench/common.sh

build limits
python3 bench/runner/limits.py "$out" | tee "$out/limits.jsonl"

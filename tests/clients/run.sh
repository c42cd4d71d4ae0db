#!/usr/bin/env bash
# Drives a built server binary with real clients. NAME is a group (psql, rows, cancel, …) or one case (psql.copy).
# Run setup.sh once before. --matrix writes the README's table of clients, with --check it only compares.
set -euo pipefail
usage='usage: run.sh BINARY [--only NAME[,NAME]] [--skip NAME[,NAME]] [--list] [--long]; or run.sh --matrix [--check]'
if [ $# -lt 1 ]; then
  echo "$usage" >&2
  exit 2
fi
root="$(cd "$(dirname "$0")/../.." && pwd)"
export CLIENTS_DIR="${CLIENTS_DIR:-$root/target/clients}"
python="$CLIENTS_DIR/venv/bin/python"
# Without the venv every case that needs a client fails by name, which says more than stopping here.
[ -x "$python" ] || python=python3
if [ "$1" = --matrix ]; then
  shift
  exec "$python" -B "$root/tests/clients/matrix.py" "$@"
fi
exec "$python" -B "$root/tests/clients/run.py" "$@"

#!/usr/bin/env bash
# Drives a built server binary with real clients: run.sh BINARY [--only NAME[,NAME]] [--skip NAME[,NAME]] [--list].
# NAME is a group (psql, rows, cancel, …) or one case (psql.copy). Run setup.sh once before.
set -euo pipefail
if [ $# -lt 1 ]; then
  echo 'usage: run.sh BINARY [--only NAME[,NAME]] [--skip NAME[,NAME]] [--list]' >&2
  exit 2
fi
root="$(cd "$(dirname "$0")/../.." && pwd)"
export CLIENTS_DIR="${CLIENTS_DIR:-$root/target/clients}"
python="$CLIENTS_DIR/venv/bin/python"
# Without the venv every case that needs a client fails by name, which says more than stopping here.
[ -x "$python" ] || python=python3
exec "$python" -B "$root/tests/clients/run.py" "$@"

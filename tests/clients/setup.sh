#!/usr/bin/env bash
# Installs the real clients that tests/clients/run.sh drives, into ${CLIENTS_DIR:-target/clients}.
# Safe to run again: what is there already is left alone. Any failure stops it with a message.
set -euo pipefail
trap 'echo "setup.sh: failed at line $LINENO: $BASH_COMMAND" >&2' ERR

cd "$(dirname "$0")/../.."
CLIENTS_DIR="${CLIENTS_DIR:-target/clients}"
PYTHON_PACKAGES=('psycopg[binary]' duckdb pyarrow 'moto[server]' boto3 asyncpg tpchgen-cli)
PYTHON_IMPORTS='psycopg, duckdb, pyarrow, moto.server, boto3, asyncpg'
APT_UPDATED=no

say() { echo "setup: $*"; }

# Installs one Debian package; sudo only when we are not root.
install_package() {
  local sudo=''
  [ "$(id -u)" = 0 ] || sudo=sudo
  if [ "$APT_UPDATED" = no ]; then
    $sudo apt-get -q update >/dev/null
    APT_UPDATED=yes
  fi
  $sudo apt-get -q install -y "$1" >/dev/null
  say "installed package $1"
}

if command -v psql >/dev/null; then
  say "psql is there: $(psql --version)"
else
  install_package postgresql-client-15 || install_package postgresql-client
fi

python3 -c 'import ensurepip, venv' 2>/dev/null || install_package python3-venv
mkdir -p "$CLIENTS_DIR"
if [ ! -x "$CLIENTS_DIR/venv/bin/python" ]; then
  python3 -m venv "$CLIENTS_DIR/venv"
  say "made $CLIENTS_DIR/venv"
fi
if "$CLIENTS_DIR/venv/bin/python" -c "import $PYTHON_IMPORTS" 2>/dev/null \
    && [ -x "$CLIENTS_DIR/venv/bin/tpchgen-cli" ]; then
  say 'Python clients are there'
else
  "$CLIENTS_DIR/venv/bin/pip" install --quiet --disable-pip-version-check "${PYTHON_PACKAGES[@]}"
  "$CLIENTS_DIR/venv/bin/python" -c "import $PYTHON_IMPORTS"
  say "installed ${PYTHON_PACKAGES[*]}"
fi

if [ -d "$CLIENTS_DIR/node/node_modules/pg" ]; then
  say 'node-postgres is there'
else
  command -v npm >/dev/null || install_package npm
  npm install --silent --no-audit --no-fund --prefix "$CLIENTS_DIR/node" pg
  [ -d "$CLIENTS_DIR/node/node_modules/pg" ]
  say 'installed node-postgres'
fi
say 'ready'

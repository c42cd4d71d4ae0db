#!/usr/bin/env bash
# Installs the real clients that tests/clients/run.sh drives, into ${CLIENTS_DIR:-target/clients}, on Debian or Ubuntu.
# Safe to run again: what is there already is left alone. What cannot be installed is named at the end; its cases fail.
set -euo pipefail
trap 'echo "setup.sh: failed at line $LINENO: $BASH_COMMAND" >&2' ERR

here="$(cd "$(dirname "$0")" && pwd)"
cd "$here/../.."
CLIENTS_DIR="${CLIENTS_DIR:-target/clients}"
mkdir -p "$CLIENTS_DIR"
CLIENTS_DIR="$(cd "$CLIENTS_DIR" && pwd)"
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
MISSING=()

say() { echo "setup: $*"; }

# try NAME COMMAND…: runs it; a failure is remembered and the rest goes on.
try() {
  local name="$1"
  shift
  if "$@"; then say "$name is there"; else MISSING+=("$name"); fi
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi }

# packages COMMAND_OR_FILE=PACKAGE…: installs the Debian packages whose command or file is not there.
packages() {
  local wanted=() item
  for item in "$@"; do
    command -v "${item%%=*}" >/dev/null || [ -e "${item%%=*}" ] || wanted+=("${item#*=}")
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  as_root apt-get -q update >/dev/null
  as_root env RUNLEVEL=1 apt-get -q install -y --no-install-recommends "${wanted[@]}" >/dev/null && return 0
  for item in "${wanted[@]}"; do
    as_root apt-get -q install -y --no-install-recommends "$item" >/dev/null || MISSING+=("package $item")
  done
}

# python_clients FOLDER FILE: a virtual environment with the packages of a requirements file.
python_clients() {
  local folder="$CLIENTS_DIR/$1" file="$here/$2"
  [ -x "$folder/bin/python" ] || python3 -m venv "$folder" || return 1
  cmp -s "$file" "$folder/installed.txt" && return 0
  if ! "$folder/bin/python" -m pip install --quiet -r "$file"; then
    local line
    while read -r line; do
      "$folder/bin/python" -m pip install --quiet "$line" || MISSING+=("Python $line")
    done < <(grep -v '^#' "$file")
    return 0
  fi
  cp "$file" "$folder/installed.txt"
}

node_clients() {
  mkdir -p "$CLIENTS_DIR/node"
  cmp -s "$here/package.json" "$CLIENTS_DIR/node/installed.json" && return 0
  cp "$here/package.json" "$CLIENTS_DIR/node/package.json"
  npm install --silent --no-audit --no-fund --prefix "$CLIENTS_DIR/node" || return 1
  cp "$here/package.json" "$CLIENTS_DIR/node/installed.json"
}

# pgjdbc's releases as Liquibase's npm packages carry them; Maven Central is no registry of ours.
jdbc_jar() {
  local version="$1" package="$2" inside="$3" folder="$CLIENTS_DIR/java"
  [ -s "$folder/postgresql-$version.jar" ] && return 0
  mkdir -p "$folder"
  [ -s "$folder/$package.tgz" ] || (cd "$folder" && npm pack --silent "${package%-*}@${package##*-}" >/dev/null) || return 1
  tar xzOf "$folder/$package.tgz" "package/dist/$inside" >"$folder/partial.jar" || return 1
  mv "$folder/partial.jar" "$folder/postgresql-$version.jar"
}

# built FILE SOURCE COMMAND…: runs the command unless the file is newer than its source.
built() {
  local file="$1" source="$2"
  shift 2
  [ "$file" -nt "$source" ] || "$@"
}

packages psql=postgresql-client node=nodejs npm=npm gcc=gcc openssl=openssl /usr/include/postgresql/libpq-fe.h=libpq-dev \
  javac=default-jdk-headless /usr/share/java/postgresql.jar=libpostgresql-jdbc-java \
  /usr/share/doc/libodbc2=libodbc2 /usr/share/doc/odbc-postgresql=odbc-postgresql perl=perl /usr/share/doc/libdbd-pg-perl=libdbd-pg-perl \
  php=php-cli /usr/share/doc/php-pgsql=php-pgsql ruby=ruby /usr/share/doc/ruby-pg=ruby-pg \
  go=golang-go /usr/share/gocode/src/github.com/jackc/pgx=golang-github-jackc-pgx-v4-dev
# pgbench comes with the server; its wrapper in /usr/bin with the client.
compgen -G '/usr/lib/postgresql/*/bin/pgbench' >/dev/null || packages /no/such/file=postgresql
python3 -c 'import ensurepip, venv' 2>/dev/null || packages /no/such/file=python3-venv
try 'Python clients' python_clients venv requirements.txt
try 'Superset' python_clients superset requirements-superset.txt
try 'dbt' python_clients dbt requirements-dbt.txt
try 'Node.js clients' node_clients
try 'pgjdbc 42.2.8' jdbc_jar 42.2.8 liquibase-4.4.0 drivers/postgresql-42.2.8.jar
try 'pgjdbc 42.4.2' jdbc_jar 42.4.2 liquibase-4.28.0 drivers/postgresql-42.4.2.jar
try 'pgjdbc 42.7.3' jdbc_jar 42.7.3 liquibase-4.28.0 liquibase/internal/lib/postgresql.jar
rm -f "$CLIENTS_DIR"/java/*.tgz
try 'the suite for pgjdbc' built "$CLIENTS_DIR/java/JdbcSuite.class" "$here/JdbcSuite.java" \
  javac -nowarn -cp /usr/share/java/postgresql.jar -d "$CLIENTS_DIR/java" "$here/JdbcSuite.java"
try 'the suite for libpq' built "$CLIENTS_DIR/libpq_suite" "$here/libpq_suite.c" \
  gcc -O1 -Wall -I/usr/include/postgresql -o "$CLIENTS_DIR/libpq_suite" "$here/libpq_suite.c" -lpq
try 'the suite for pgx' built "$CLIENTS_DIR/pgx_suite" "$here/pgx_suite.go" \
  env GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= GOCACHE="$CLIENTS_DIR/go-cache" \
  go build -o "$CLIENTS_DIR/pgx_suite" "$here/pgx_suite.go"
try 'the suite for tokio-postgres and sqlx' \
  cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" --target-dir "$CLIENTS_DIR/rust"

if [ ${#MISSING[@]} -gt 0 ]; then
  printf '\n!!!!!!!! setup.sh could not install: %s\n!!!!!!!! the cases of these clients will FAIL\n\n' "$(IFS=,; echo "${MISSING[*]}")" >&2
else
  say 'everything is there'
fi

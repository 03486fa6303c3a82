#!/usr/bin/env bash
# Private Postgres, PgBouncer and Redis for one command, on free loopback ports, gone when the command ends.
# Invariant: nothing outside the run's own temporary directory is written, and nothing it started outlives it.
set -euo pipefail

readonly HOST=127.0.0.1
# Debian keeps daemons in sbin, which is not on every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

usage() {
  cat <<'USAGE'
usage: tests/services.sh run [--durable] -- COMMAND ..   run COMMAND with private services
       tests/services.sh install                         install missing Debian packages (root)
       tests/services.sh missing                         print the components that are needed and lacking
  inside COMMAND only:
       tests/services.sh pg-stop-immediate | pg-start    Postgres as after a power cut, and back
       tests/services.sh redis-kill | redis-start        Redis by kill -9, and back

run exports DATABASE_URL, REDIS_URL, PGBOUNCER_URL, SMTP_SINK (the last two when the binary is there) and
CARILLON_TEST_{DIR,MODE,PG_BIN,PG_DATA,PG_PORT,REDIS_PORT,REDIS_PID}, PG_USER. DATABASE_URL or REDIS_URL given from
outside are used as they are, and nothing is installed or started in their place; the sub-commands above then have
nothing to act on and fail, and with a given DATABASE_URL there is no PgBouncer.
Default mode is fast and forgets (fsync off); --durable is for crash tests and benches.
USAGE
}

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 69; }

# --- finding and installing -------------------------------------------------------------------------------------

# The directory of the newest packaged Postgres; a wrapper in /usr/local/bin is the last resort.
pg_bin() {
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -Vr); do
    if [[ -x $dir/initdb && -x $dir/postgres ]]; then echo "$dir"; return 0; fi
  done
  if dir=$(command -v pg_ctl); then dirname "$(readlink -f "$dir")"; return 0; fi
  return 1
}

# What a given URL names need not be here.
missing() {
  if [[ -z ${DATABASE_URL:-} ]]; then
    pg_bin >/dev/null || echo postgres
    command -v pgbouncer >/dev/null || echo pgbouncer
  fi
  if [[ -z ${REDIS_URL:-} ]]; then command -v redis-server >/dev/null || echo redis-server; fi
  command -v smtp-sink >/dev/null || echo smtp-sink
}

# The Debian packages of what is missing.
packages() { missing | sed 's/^postgres$/postgresql/; s/^smtp-sink$/postfix/'; }

# Packages must not start system services: policy-rc.d says no while they are unpacked.
install_missing() {
  local wanted
  mapfile -t wanted < <(packages)
  ((${#wanted[@]})) && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 0
  say "installing ${wanted[*]}"
  local policy=/usr/sbin/policy-rc.d made=0 status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=1
  fi
  {
    apt-get -o DPkg::Lock::Timeout=120 update &&
      DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends \
        "${wanted[@]}"
  } </dev/null >&2 || status=$?
  if ((made)); then rm -f "$policy"; fi
  return "$status"
}

# --- ports and users --------------------------------------------------------------------------------------------

# A port nobody answers on, below the kernel's ephemeral range. Another process may still take it first, so every
# start is tried three times.
free_port() {
  local port
  while :; do
    port=$((RANDOM % 12000 + 20000))
    if ! answers "$port"; then echo "$port"; return 0; fi
  done
}

# Postgres and PgBouncer refuse to run as root.
as_pg() {
  if [[ $(id -u) == 0 && $PG_USER != root ]]; then
    (cd / && exec runuser -u "$PG_USER" -- "$@")
  else
    (cd / && exec "$@")
  fi
}

# --- Postgres ---------------------------------------------------------------------------------------------------

pg_settings() {
  cat <<CONF
listen_addresses = '$HOST'
port = $CARILLON_TEST_PG_PORT
unix_socket_directories = '$CARILLON_TEST_DIR'
max_connections = 300
max_locks_per_transaction = 256
timezone = 'UTC'
# The crash harness judges by the order of commits.
track_commit_timestamp = on
log_timezone = 'UTC'
CONF
  # One syncfs on restart after an immediate stop instead of seconds of fsync, file by file.
  if [[ $(uname -s) == Linux ]]; then echo 'recovery_init_sync_method = syncfs'; fi
  if [[ $CARILLON_TEST_MODE == durable ]]; then
    cat <<'CONF'
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 1GB
max_wal_size = 4GB
CONF
  else
    cat <<'CONF'
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
shared_buffers = 256MB
max_wal_size = 2GB
CONF
  fi
}

pg_init() {
  CARILLON_TEST_PG_BIN=$(pg_bin) || die "postgres is missing (Debian package postgresql)"
  CARILLON_TEST_PG_DATA=$CARILLON_TEST_DIR/pg
  export CARILLON_TEST_PG_BIN CARILLON_TEST_PG_DATA
  # Trust, because the roles made by migrations have passwords of their own and only loopback is listened on.
  as_pg "$CARILLON_TEST_PG_BIN/initdb" -D "$CARILLON_TEST_PG_DATA" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
    --no-sync >"$CARILLON_TEST_DIR/initdb.log" 2>&1 || { cat "$CARILLON_TEST_DIR/initdb.log" >&2; die "initdb failed"; }
}

pg_start() {
  as_pg "$CARILLON_TEST_PG_BIN/pg_ctl" start -w -t 60 -s -D "$CARILLON_TEST_PG_DATA" \
    -l "$CARILLON_TEST_DIR/postgres.log" </dev/null >/dev/null
}

pg_stop() { as_pg "$CARILLON_TEST_PG_BIN/pg_ctl" stop -s -m immediate -D "$CARILLON_TEST_PG_DATA" </dev/null >/dev/null; }

pg_bring_up() {
  pg_init
  local try
  for try in 1 2 3; do
    CARILLON_TEST_PG_PORT=$(free_port)
    export CARILLON_TEST_PG_PORT
    # One file, rewritten whole, so that every later pg-start means the same settings.
    pg_settings >"$CARILLON_TEST_DIR/carillon.conf"
    echo "include '$CARILLON_TEST_DIR/carillon.conf'" >"$CARILLON_TEST_PG_DATA/postgresql.conf"
    if pg_start; then break; fi
    ((try < 3)) || { tail -n 20 "$CARILLON_TEST_DIR/postgres.log" >&2; die "postgres did not start"; }
  done
  as_pg "$CARILLON_TEST_PG_BIN/psql" -X -q -h "$HOST" -p "$CARILLON_TEST_PG_PORT" -U postgres -d postgres \
    -c 'CREATE DATABASE carillon' || die "could not create the database"
  export DATABASE_URL="postgres://postgres@$HOST:$CARILLON_TEST_PG_PORT/carillon"
  say "postgres ($CARILLON_TEST_MODE) on port $CARILLON_TEST_PG_PORT:" \
    "$(grep -E '^(fsync|synchronous_commit|full_page_writes|shared_buffers|max_wal_size|max_connections) ' \
      "$CARILLON_TEST_DIR/carillon.conf" | tr -d ' ' | tr '\n' ' ')"
}

# --- PgBouncer --------------------------------------------------------------------------------------------------

# Transaction mode with default settings otherwise: what a cautious operator has. Roles come and go with the tests'
# databases, so names are looked up (auth_query) rather than listed; trust still applies.
bouncer_bring_up() {
  local binary try port conf=$CARILLON_TEST_DIR/pgbouncer.ini
  binary=$(command -v pgbouncer) || { say "pgbouncer is missing: PGBOUNCER_URL is not set"; return 0; }
  echo '"postgres" ""' >"$CARILLON_TEST_DIR/userlist.txt"
  for try in 1 2 3; do
    port=$(free_port)
    cat >"$conf" <<CONF
[databases]
* = host=$HOST port=$CARILLON_TEST_PG_PORT
[pgbouncer]
listen_addr = $HOST
listen_port = $port
unix_socket_dir =
pool_mode = transaction
auth_type = trust
auth_file = $CARILLON_TEST_DIR/userlist.txt
auth_user = postgres
auth_query = SELECT rolname, '' FROM pg_catalog.pg_roles WHERE rolname = \$1
max_client_conn = 1000
default_pool_size = 20
server_idle_timeout = 10
logfile = $CARILLON_TEST_DIR/pgbouncer.log
pidfile = $CARILLON_TEST_DIR/pgbouncer.pid
CONF
    if as_pg "$binary" -q -d "$conf" </dev/null >/dev/null 2>&1 && came_up "$CARILLON_TEST_DIR/pgbouncer.pid" "$port"; then
      break
    fi
    kill_pid_file "$CARILLON_TEST_DIR/pgbouncer.pid"
    ((try < 3)) || { tail -n 20 "$CARILLON_TEST_DIR/pgbouncer.log" >&2; die "pgbouncer did not start"; }
  done
  export PGBOUNCER_URL="postgres://postgres@$HOST:$port/carillon"
  say "pgbouncer on port $port"
}

# --- Redis ------------------------------------------------------------------------------------------------------

redis_start() {
  redis-server "$CARILLON_TEST_DIR/redis.conf" </dev/null >/dev/null &&
    came_up "$CARILLON_TEST_REDIS_PID" "$CARILLON_TEST_REDIS_PORT"
}

redis_bring_up() {
  command -v redis-server >/dev/null || die "redis-server is missing (Debian package redis-server)"
  export CARILLON_TEST_REDIS_PID=$CARILLON_TEST_DIR/redis.pid
  local try
  for try in 1 2 3; do
    CARILLON_TEST_REDIS_PORT=$(free_port)
    export CARILLON_TEST_REDIS_PORT
    cat >"$CARILLON_TEST_DIR/redis.conf" <<CONF
bind $HOST
port $CARILLON_TEST_REDIS_PORT
daemonize yes
pidfile $CARILLON_TEST_REDIS_PID
logfile $CARILLON_TEST_DIR/redis.log
dir $CARILLON_TEST_DIR
save ""
appendonly no
maxmemory-policy noeviction
CONF
    if redis_start; then break; fi
    kill_pid_file "$CARILLON_TEST_REDIS_PID"
    ((try < 3)) || { tail -n 20 "$CARILLON_TEST_DIR/redis.log" >&2; die "redis did not start"; }
  done
  export REDIS_URL="redis://$HOST:$CARILLON_TEST_REDIS_PORT/"
  say "redis on port $CARILLON_TEST_REDIS_PORT"
}

# --- processes --------------------------------------------------------------------------------------------------

answers() { (exec 3<>"/dev/tcp/$HOST/$1") 2>/dev/null; }

# Up means both: the server wrote its pid file (a stranger on the same port did not) and the port answers. Redis
# listens before it writes the file, so one without the other is not enough.
came_up() {
  local pid_file=$1 port=$2 i
  for ((i = 0; i < 100; i++)); do
    if [[ -s $pid_file ]] && ! is_gone "$(cat "$pid_file")" && answers "$port"; then return 0; fi
    sleep 0.1
  done
  return 1
}

# Gone, or a zombie: a container's first process may be slow to reap.
is_gone() {
  if ! kill -0 "$1" 2>/dev/null; then return 0; fi
  grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# Kills the process named in a pid file and waits until it is gone, so its port and files are free again.
kill_pid_file() {
  local pid i
  pid=$(cat "$1" 2>/dev/null) || return 0
  [[ $pid =~ ^[0-9]+$ ]] || return 0
  kill -KILL "$pid" 2>/dev/null || true
  for ((i = 0; i < 100; i++)); do
    if is_gone "$pid"; then break; fi
    sleep 0.05
  done
  rm -f "$1"
}

# A directory the postgres user can reach, if Postgres is ours to start; a private TMPDIR of root's would not do.
make_dir() {
  PG_USER=$(id -un)
  if [[ $PG_USER == root && -z ${DATABASE_URL:-} ]]; then
    id postgres >/dev/null 2>&1 || die "root needs a user 'postgres' (Debian package postgresql)"
    PG_USER=postgres
  fi
  export PG_USER
  local base
  for base in "${TMPDIR:-/tmp}" /tmp; do
    CARILLON_TEST_DIR=$(mktemp -d "$base/carillon-services.XXXXXX")
    export CARILLON_TEST_DIR
    trap tear_down EXIT
    if [[ $(id -u) != 0 || $PG_USER == root ]]; then return 0; fi
    chown "$PG_USER" "$CARILLON_TEST_DIR"
    if as_pg test -w "$CARILLON_TEST_DIR"; then return 0; fi
    rm -rf "$CARILLON_TEST_DIR"
  done
  die "no temporary directory that $PG_USER can write"
}

tear_down() {
  local status=$?
  trap '' INT TERM HUP
  set +e
  if [[ -n ${child:-} ]]; then stop_child; fi
  if [[ -f $CARILLON_TEST_DIR/pgbouncer.pid ]]; then kill_pid_file "$CARILLON_TEST_DIR/pgbouncer.pid"; fi
  if [[ -f $CARILLON_TEST_DIR/redis.pid ]]; then kill_pid_file "$CARILLON_TEST_DIR/redis.pid"; fi
  if [[ -f $CARILLON_TEST_DIR/pg/postmaster.pid ]]; then pg_stop 2>/dev/null; fi
  if [[ -f $CARILLON_TEST_DIR/pg/postmaster.pid ]]; then
    kill -KILL "$(head -n 1 "$CARILLON_TEST_DIR/pg/postmaster.pid")" 2>/dev/null
  fi
  rm -rf "$CARILLON_TEST_DIR"
  exit "$status"
}

# The command leads its own process group: whatever it left behind goes with it.
stop_child() {
  kill -TERM -- "-$child" 2>/dev/null || return 0
  kill -CONT -- "-$child" 2>/dev/null
  local i
  for ((i = 0; i < 50; i++)); do
    if ! kill -0 -- "-$child" 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  kill -KILL -- "-$child" 2>/dev/null
}

run() {
  CARILLON_TEST_MODE=fast
  if [[ ${1:-} == --durable ]]; then CARILLON_TEST_MODE=durable; shift; fi
  if [[ ${1:-} == -- ]]; then shift; fi
  (($# > 0)) || { usage >&2; exit 64; }
  export CARILLON_TEST_MODE
  # Values of an outer run must not be taken for ours.
  unset CARILLON_TEST_PG_DATA CARILLON_TEST_PG_BIN CARILLON_TEST_PG_PORT CARILLON_TEST_REDIS_PORT CARILLON_TEST_REDIS_PID
  unset PGBOUNCER_URL
  install_missing || say "installation failed; going on with what is here"
  child=
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  make_dir
  if [[ -n ${DATABASE_URL:-} ]]; then
    say "using the given DATABASE_URL"
  else
    pg_bring_up
    bouncer_bring_up
  fi
  if [[ -n ${REDIS_URL:-} ]]; then say "using the given REDIS_URL"; else redis_bring_up; fi
  if SMTP_SINK=$(command -v smtp-sink); then export SMTP_SINK; else unset SMTP_SINK; say "smtp-sink is missing"; fi
  local status=0
  # CI may start us with standard input closed.
  { : <&0; } 2>/dev/null || exec 0</dev/null
  set -m
  "$@" <&0 &
  child=$!
  set +m
  wait "$child" || status=$?
  exit "$status"
}

need() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || die "$name is not set: this works only inside 'tests/services.sh run', with its own servers"
  done
}

main() {
  local verb=${1:-help}
  if (($# > 0)); then shift; fi
  case $verb in
    run) run "$@" ;;
    install) install_missing ;;
    missing) missing ;;
    pg-stop-immediate) need CARILLON_TEST_PG_DATA PG_USER CARILLON_TEST_PG_BIN; pg_stop ;;
    pg-start) need CARILLON_TEST_PG_DATA PG_USER CARILLON_TEST_PG_BIN; pg_start ;;
    redis-kill) need CARILLON_TEST_REDIS_PID; kill_pid_file "$CARILLON_TEST_REDIS_PID" ;;
    redis-start) need CARILLON_TEST_REDIS_PID CARILLON_TEST_REDIS_PORT; redis_start ;;
    help | -h | --help) usage ;;
    *) usage >&2; exit 64 ;;
  esac
}

main "$@"

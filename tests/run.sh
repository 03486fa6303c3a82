#!/usr/bin/env bash
# What `make` runs. `test` goes through every part even after one failed, names what it could not run, and ends with
# one plain line that counts the tests; its status is 0 only if every part held.
#
# Settings: CRASH_SEEDS (one run each; 1 2 3), CRASH_SECONDS (short form), BENCH_SCALE (sizes divided by it, no thresholds).
# The harnesses get CARILLON_BIN (the executable to start), CRASH_SEED and what tests/services.sh exports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SERVICES=tests/services.sh
# What `carillon schema PART` prints, by part.
declare -rA CONTRACT=(
  [graphql]=frontend-contract/schema.graphql
  [workflow-definition]=frontend-contract/workflow-definition.schema.json
  [webhook-events]=frontend-contract/webhook-events.schema.json
  [error-codes]=frontend-contract/error-codes.json
)
target=${CARGO_TARGET_DIR:-target}
logs=$target/carillon-logs
passed_parts=()
failed_parts=()
skipped=()

# --- parts ------------------------------------------------------------------------------------------------------

# part NAME COMMAND ..: one headline, one result line; output goes to the terminal and to a log of that name.
# The command runs in a subshell of its own with `set -e` in force, which `if part ..` would switch off.
part() {
  local name=$1 log=$logs/${1//[^a-zA-Z0-9]/-}.log began=$SECONDS status=0
  shift
  printf '\n==== %s\n' "$name"
  set +e
  (set -euo pipefail; "$@") 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  set -e
  if ((status == 0)); then
    passed_parts+=("$name")
    printf -- '---- %s: ok, %d s\n' "$name" $((SECONDS - began))
  else
    failed_parts+=("$name")
    printf -- '---- %s: FAILED (status %d), %d s\n' "$name" "$status" $((SECONDS - began))
  fi
}

skip() { skipped+=("$1"); printf '\n==== %s\n---- skipped\n' "$1"; }

# What the last lines repeat though it is no failure; a file, for parts run in subshells.
note() { echo "note: $1" | tee -a "$logs/notes.txt"; }

have() { command -v "$1" >/dev/null 2>&1; }

# Nothing configured from outside may reach a run that means to prove the embedded default.
embedded() {
  local name unset_flags=()
  while IFS='=' read -r name _; do
    case $name in
      DATABASE_*URL | REDIS_URL | SMTP_URL | PGBOUNCER_URL | CARILLON_*) unset_flags+=(-u "$name") ;;
    esac
  done < <(env)
  env "${unset_flags[@]+"${unset_flags[@]}"}" "$@"
}

# --- single checks ----------------------------------------------------------------------------------------------

clippy() {
  local out=$logs/clippy.txt
  cargo clippy --workspace --all-targets -- -D warnings 2>&1 | tee "$out"
  # A wrong path in .clippy.toml is only warned about, and would quietly switch a law off.
  if grep -q 'does not refer to a reachable function' "$out"; then
    echo '.clippy.toml bans a function that does not exist'
    return 1
  fi
}

schema_write() {
  local part file
  mkdir -p frontend-contract
  for part in "${!CONTRACT[@]}"; do
    file=${CONTRACT[$part]}
    embedded cargo run -q -p carillon -- schema "$part" >"$file.new" || { rm -f "$file.new"; return 1; }
    mv "$file.new" "$file"
  done
}

schema_check() {
  local part file fresh
  for part in "${!CONTRACT[@]}"; do
    file=${CONTRACT[$part]} fresh=$logs/${CONTRACT[$part]##*/}
    embedded cargo run -q -p carillon -- schema "$part" >"$fresh"
    diff -u "$file" "$fresh" || { echo "$file is stale: run make schema"; return 1; }
  done
}

tests_sqlite() { embedded env CARILLON_TEST_BACKEND=sqlite cargo test --workspace --no-fail-fast; }

tests_postgres() {
  CARILLON_TEST_BACKEND=postgres "$SERVICES" run -- cargo test --workspace --no-fail-fast
}

# The demo judges itself; its last line is read again here, so a demo that only says "passed" does not.
demo() {
  local out=$logs/demo.out last key began
  cargo build -q
  began=$SECONDS
  embedded cargo run -q -- demo --exit "$@" | tee "$out"
  if ((SECONDS - began >= 60)); then note "the demo took $((SECONDS - began)) s, it is to take less than a minute"; fi
  last=$(tail -n 1 "$out")
  for key in '"checks":"passed"' '"after_unsubscribe":0' '"repeated":0' '"cross_tenant":0'; do
    [[ $last == *"$key,"* || $last == *"$key}" ]] || { echo "the demo's last line lacks $key"; return 1; }
  done
  for key in contacts sent retried bounced unsubscribed enrolled goals exposed opened clicked converted; do
    [[ $last =~ \"$key\":[1-9][0-9]*[,}] ]] || { echo "the demo's last line counts no $key"; return 1; }
  done
}

# The same on a Postgres that is gone when it ends.
demo_on_postgres() {
  local at=${DATABASE_URL%/*}/carillon_demo
  "$CARILLON_TEST_PG_BIN/psql" -X -q "$DATABASE_URL" -c 'CREATE DATABASE carillon_demo'
  demo --postgres "$at"
}

# The clients that people use, compiled against the contract and run against the server. AUDIT=write rewrites the report
# of the audits.
clients() {
  cargo build -q -p carillon --bin carillon
  CARILLON_BIN=$(cd "$target/debug" && pwd)/carillon tests/clients/run.sh
  git describe --tags --abbrev=0 >/dev/null 2>&1 || note 'there is no tag: the schema was compared with no release'
}

# What operators type, with the executable and services of its own.
guides() {
  cargo build -q -p carillon --bin carillon
  CARILLON_BIN=$(cd "$target/debug" && pwd)/carillon "$SERVICES" run -- tests/guides.sh
}

# --- harnesses --------------------------------------------------------------------------------------------------

# harness PROFILE NAME ARGS ..: builds the executable, then runs the harness on durable private services. The harness
# gets the executable's path in CARILLON_BIN: a copy, so that a rebuild does not change it under a run.
harness() {
  local profile=$1 name=$2 flags=()
  shift 2
  if [[ $profile == release ]]; then flags+=(--release); fi
  if [[ $name == selftest ]]; then flags+=(--features seeded-bugs); fi
  cargo build -p carillon --bin carillon "${flags[@]+"${flags[@]}"}"
  cargo build -p carillon-tests --bin "$name" "${flags[@]+"${flags[@]}"}"
  local bin=$logs/$name-$profile
  mkdir -p "$bin"
  cp -f "$target/$profile/carillon" "$target/$profile/$name" "$bin/"
  bin=$(cd "$bin" && pwd)
  CARILLON_BIN=$bin/carillon "$SERVICES" run --durable -- "$bin/$name" "$@"
}

# True when servers are named from outside: they are somebody's, and may be used but not stopped.
are_given() { [[ -n ${DATABASE_URL:-} || -n ${REDIS_URL:-} ]]; }

# crash PROFILE: one run per seed, each on fresh services. The harness checks itself; its last line is read again.
crash() {
  local profile=$1 seed out=$logs/crash.out key last
  if are_given; then
    echo 'the crash run kills its servers: unset DATABASE_URL and REDIS_URL, and it starts its own' >&2
    return 69
  fi
  for seed in ${CRASH_SEEDS:-1 2 3}; do
    CRASH_SEED=$seed harness "$profile" crash | tee "$out"
    last=$(tail -n 1 "$out")
    for key in lost=0 repeated=0 after_unsubscribe=0 after_goal=0; do
      [[ " $last " == *" $key "* ]] || { echo "the crash run's last line lacks $key"; return 1; }
    done
  done
}

# An upgrade without faults, of which nobody may notice anything.
upgrade() {
  local out=$logs/upgrade.out key last
  harness "$1" crash upgrade | tee "$out"
  last=$(tail -n 1 "$out")
  for key in lost=0 repeated=0 after_unsubscribe=0 after_goal=0 unknown=0 failed=0; do
    [[ " $last " == *" $key "* ]] || { echo "the upgrade's last line lacks $key"; return 1; }
  done
}

# --- chart ------------------------------------------------------------------------------------------------------

chart() {
  local lacking
  part 'image' tests/image.sh check
  if ! have helm; then skip 'helm'; return 0; fi
  part 'chart' tests/chart.sh check
  lacking=$(tests/chart.sh lacking | tr '\n' ' ')
  if [[ -n $lacking ]]; then skip "chart against kubernetes and the executable (${lacking% })"; return 0; fi
  part 'chart against kubernetes' tests/chart.sh schemas
  part 'compose.yaml' tests/image.sh compose
  part 'chart against the executable' chart_settings
}

chart_settings() {
  cargo build -q -p carillon --bin carillon
  CARILLON_BIN=$target/debug/carillon tests/chart.sh settings
}

# The advisory database has to be fetched: a machine without a way out says so, and only that is forgiven.
deny() {
  local out=$logs/advisories.txt
  cargo deny check licenses bans sources
  if cargo deny check advisories 2>&1 | tee "$out"; then return 0; fi
  grep -q 'failed to fetch advisory database' "$out" || return 1
  note 'the advisory database is out of reach, advisories were not checked'
}

# What the executable is made of, as a CycloneDX document; and is everything in it that cargo links, and nothing that is for
# tests alone? The tool writes one beside the manifest of each member.
sbom() {
  local out=$target/carillon.cdx.json crate
  cargo cyclonedx --manifest-path api/Cargo.toml --format json --spec-version 1.5 --all --quiet
  mkdir -p "$target"
  mv api/carillon.cdx.json "$out"
  rm -f -- {domain,jobs,entities,migration,tests}/*.cdx.json
  cargo tree --locked -q -p carillon -e normal --prefix none | sed 's/^\([^ ]*\) v\([^ ]*\).*/\1@\2/; s/+/(%2B|\\+)/' | sort -u |
    while read -r crate; do
      grep -qE "pkg:cargo/$crate[\"?]" "$out" || { echo "$out lacks $crate"; return 1; }
    done
  if grep -oE 'pkg:cargo/(carillon-tests|insta|proptest|wiremock)@' "$out"; then echo "$out has what is not shipped"; return 1; fi
  echo "$out: $(grep -oE '"purl": *"pkg:cargo/[^"?]*' "$out" | sort -u | wc -l) crates"
}

# --- the whole --------------------------------------------------------------------------------------------------

# Sums the `test result:` lines of both backends.
count_tests() {
  { cat "$logs"/tests-on-*.log 2>/dev/null || true; } | awk '
    /^test result:/ { for (i = 2; i <= NF; i++) {
      if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
    END { printf "%d passed, %d failed, %d skipped\n", p, f, s }'
}

summary() {
  local part verdict=0
  printf '\n==== summary after %d s\n' "$SECONDS"
  cat "$logs/notes.txt" 2>/dev/null || true
  for part in "${passed_parts[@]+"${passed_parts[@]}"}"; do echo "ok      $part"; done
  for part in "${failed_parts[@]+"${failed_parts[@]}"}"; do echo "FAILED  $part"; verdict=1; done
  if ! count_tests | grep -q ' 0 skipped$'; then skipped+=('tests marked as ignored'); fi
  if ((${#skipped[@]})); then
    (IFS=,; echo "skipped: ${skipped[*]}" | sed 's/,/, /g')
    if [[ ${CI:-} == true ]]; then echo 'FAILED  CI skips nothing'; verdict=1; fi
  fi
  count_tests
  exit "$verdict"
}

test_sqlite() {
  rm -f "$logs"/tests-on-*.log
  part 'tests on sqlite' tests_sqlite
  summary
}

test_all() {
  local lacking
  rm -f "$logs"/tests-on-*.log
  lacking=" $("$SERVICES" install >&2 || true; "$SERVICES" missing | tr '\n' ' ')"
  part 'format' cargo fmt --all --check
  part 'clippy' clippy
  part 'contract' schema_check
  part 'tests on sqlite' tests_sqlite
  part 'demo' demo
  if [[ $lacking == *' postgres '* || $lacking == *' redis-server '* ]]; then
    skip "tests on postgres and redis"
    skip "crash and upgrade"
    skip "guides"
    skip "bench"
  else
    part 'tests on postgres' tests_postgres
    if [[ -n ${DATABASE_URL:-} ]]; then
      skip 'demo on postgres (DATABASE_URL is given)'
    else
      part 'demo on postgres' "$SERVICES" run -- tests/run.sh demo-on-postgres
    fi
    # Somebody else's servers are not killed, frozen or set up anew, and no pooler of ours knows the way to them.
    if [[ -n ${DATABASE_URL:-} ]]; then
      skip 'tests that stop postgres (DATABASE_URL is given)'
      skip 'tests through pgbouncer (DATABASE_URL is given)'
    fi
    if are_given; then
      skip 'guides (DATABASE_URL or REDIS_URL is given)'
    elif [[ $lacking == *' smtp-sink '* ]] || ! have helm || ! have curl; then
      skip 'guides (smtp-sink, helm, curl)'
    else
      part 'guides' guides
    fi
    if ! have redis-server; then skip 'tests that stop redis (no redis-server here)'; fi
    if are_given; then
      skip 'crash and upgrade (DATABASE_URL or REDIS_URL is given)'
    else
      part 'upgrade and rolling restart under load' upgrade debug
      export CRASH_SECONDS=${CRASH_SECONDS:-60} CRASH_SEEDS=${CRASH_SEEDS:-1}
      part 'crash, short form' crash debug
    fi
    if [[ $lacking == *' smtp-sink '* ]]; then
      skip 'bench (smtp-sink)'
    else
      export BENCH_SCALE=${BENCH_SCALE:-20}
      part 'bench, small and without thresholds' harness debug bench
    fi
    if [[ $lacking == *' pgbouncer '* ]]; then skip 'tests through pgbouncer'; fi
  fi
  lacking=$(tests/clients/run.sh missing | paste -sd ' ')
  if [[ -z $lacking ]]; then part 'clients' clients; else skip "clients ($lacking)"; fi
  chart
  if have cargo-deny; then part 'licences' deny; else skip 'cargo-deny'; fi
  if have cargo-cyclonedx; then part 'bill of materials' sbom; else skip 'cargo-cyclonedx'; fi
  summary
}

usage() { echo "usage: tests/run.sh test | test-sqlite | crash | upgrade | selftest | bench [NAME ..] | schema | guides | clients | chart | deny | sbom" >&2; }

verb=${1:-}
if (($#)); then shift; fi
mkdir -p "$logs"
case $verb in
  test) test_all ;;
  demo-on-postgres) demo_on_postgres ;;
  test-sqlite) test_sqlite ;;
  crash) crash release ;;
  upgrade) upgrade release ;;
  guides) guides ;;
  selftest) harness debug selftest ;;
  bench) harness release bench "$@" ;;
  schema) schema_write ;;
  clients) clients ;;
  chart) chart; summary ;;
  deny) deny ;;
  sbom) sbom ;;
  *) usage; exit 64 ;;
esac

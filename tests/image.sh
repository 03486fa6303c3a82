#!/usr/bin/env bash
# The image and compose.yaml without a way to build or run them here: is the Dockerfile what chart and compose.yaml expect,
# and does compose.yaml hold together? Building the image says the rest itself: it fails over 80 MiB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CHART=helm/ci/snapshots/full.yaml IMAGE=target/image

usage() {
  cat <<'USAGE'
usage: tests/image.sh check     the Dockerfile against the chart, the workspace and .ci/run
       tests/image.sh compose   compose.yaml: docker compose where it is, and what we ask of it besides (yq)
       tests/image.sh size      build the executable as the image does, and weigh what would be in it
USAGE
}

die() { echo "$*"; exit 1; }

# The instructions of the Dockerfile, a line each, without comments.
instructions() { sed -e '/^ *#/d' Dockerfile | sed -e ':a' -e '/\\$/{N;s/ *\\\n */ /;ta' -e '}' | grep .; }
# What follows an instruction.
of() { instructions | sed -n "s/^$1 //p"; }
# The only value that a field has in the chart.
only() { sed -n "s/^ *\(- \)\?$1: *//p" "$CHART" | sort -u; }

check() {
  local rust user member
  rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  [[ $(of FROM) == "rust:$rust-bookworm AS build"$'\nscratch' ]] || die "stages: $(of FROM)"
  user=$(only runAsUser):$(only runAsGroup)
  [[ $(of USER) == "$user" ]] || die "the image runs as $(of USER), the chart's pods as $user"
  [[ $user =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || die "$user is root, or no number that a kubelet could tell from root"
  [[ $(of COPY | grep -- --chown) == "--from=build --chown=$user /owned/ /" ]] || die 'what it may write is not its own'
  [[ $(of ENTRYPOINT) == '["/usr/local/bin/carillon"]' && $(of CMD) == '["serve"]' ]] || die 'it starts something else'
  # Pods and services name commands of the executable, and nothing in its place.
  ! grep -E '^ *command:' "$CHART" || die 'the chart starts something else'
  ! grep -E '^ *entrypoint:' compose.yaml || die 'compose.yaml starts something else'
  [[ $(grep -A 1 -E '^ *- name: http$' "$CHART" | only_port) == "$(of EXPOSE)" ]] || die "it listens on $(of EXPOSE)"
  [[ $(of STOPSIGNAL) == SIGTERM ]] || die 'it is told to stop by something else'
  [[ $(of WORKDIR | tail -n 1) == /* ]] || die 'it begins nowhere'
  # No shell form where signals would end in a shell, nothing from afar, nothing that is another thing tomorrow.
  ! instructions | grep -E '^(ADD|ENTRYPOINT [^[]|CMD [^[])|:latest' || die 'see above'
  of RUN | grep -q -- '-lt 80$' || die 'nobody weighs it'
  # All of the workspace is sent to the build, and of the rest nothing.
  [[ $(head -n 1 .dockerignore) == '*' ]] || die '.dockerignore lets everything in'
  for member in Cargo.toml Cargo.lock $(sed -n 's/^members = \[\(.*\)\]/\1/p' Cargo.toml | tr -d ',"'); do
    grep -qxF "!$member" .dockerignore || die "$member is not sent to the build"
  done
  [[ $(grep -o 'cargo-cyclonedx@[0-9.]*' Dockerfile) == "cargo-cyclonedx@$(sed -n 's/.*CARGO_CYCLONEDX=\([0-9.]*\).*/\1/p' .ci/run)" ]] ||
    die 'the bill of materials is made by two versions of the tool'
  echo "the image is what the chart expects: user $user, port $(of EXPOSE)"
}

only_port() { sed -n 's/^ *containerPort: *//p' | sort -u; }

# query EXPRESSION: what yq finds in compose.yaml, with what services share put in its place.
query() { yq -o yaml -N --yaml-fix-merge-anchor-to-spec=true "explode(.) | $1" compose.yaml; }

# none WHAT EXPRESSION: nothing may be found.
none() {
  local found
  found=$(query "$2")
  [[ -z $found ]] || die "$1: $found"
}

compose() {
  local ours='.services | to_entries | .[] | select(.value.image == "carillon:local")' name
  if docker compose version >/dev/null 2>&1; then
    CARILLON_KEYS=1:x CARILLON_JWT_KEYS=1:x docker compose config --quiet
  fi
  [[ $(query "$ours | .key" | sort | xargs) == 'gateway migrate recipient worker' ]] || die 'other processes of ours'
  none 'no tag' '.services[] | .image | select(test(":") | not)'
  none 'a tag that moves' '.services[] | .image | select(test(":latest$"))'
  none 'may write everywhere' "$ours | select(.value.read_only != true or (.value.tmpfs | contains([\"/tmp\"]) | not)) | .key"
  none 'has powers' "$ours | select(.value.cap_drop[0] != \"ALL\" or .value.security_opt[0] != \"no-new-privileges:true\") | .key"
  none 'is killed while it drains' "$ours | select(.value.stop_grace_period != \"60s\") | .key"
  none 'starts before the schema is there' \
    "$ours | select(.key != \"migrate\" and .value.depends_on.migrate.condition != \"service_completed_successfully\") | .key"
  none 'holds the login of the owner' "$ours | select(.key != \"migrate\" and (.value.environment | has(\"DATABASE_OWNER_URL\"))) | .key"
  none 'is open to others' '.services[] | .ports[] | select(test("^127\.0\.0\.1:") | not)'
  # Everything that is named is there.
  for name in $(query '.services[].depends_on | (select(tag == "!!map") | keys | .[]), (select(tag == "!!seq") | .[])'); do
    [[ $(query ".services | has(\"$name\")") == true ]] || die "there is no service $name"
  done
  for name in $(query '.services[].volumes[] | split(":") | .[0]'); do
    [[ $(query ".volumes | has(\"$name\")") == true ]] || die "there is no volume $name"
  done
  for name in $(query '.services[].configs[].source'); do
    [[ $(query ".configs | has(\"$name\")") == true ]] || die "there is no config $name"
  done
  for name in $(query '.configs.proxy.content' | grep -oE '[a-z]+:8080' | cut -d: -f1); do
    [[ $(query ".services.$name.environment.CARILLON_BIND") == 0.0.0.0:8080 ]] || die "the proxy leads to $name, which is elsewhere"
  done
  echo "compose.yaml: $(query '.services | keys | length') services hold together"
}

# What is copied into the image, of this machine's libraries.
size() {
  local settings bytes binary=$IMAGE/release/carillon
  settings=$(of ENV)
  # shellcheck disable=SC2086 # several
  env $settings cargo build --release --locked -p carillon --bin carillon --target-dir "$IMAGE"
  bytes=$(du -cLb "$binary" $(ldd "$binary" | grep -o '/[^ ]*') /etc/ssl/certs/ca-certificates.crt | tail -n 1 | cut -f 1)
  echo "$((bytes / 1024 / 1024)) MiB of 80"
  ((bytes < 80 * 1024 * 1024))
}

case ${1:-} in
  check | compose | size) "$1" ;;
  *) usage >&2; exit 64 ;;
esac

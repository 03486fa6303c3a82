#!/usr/bin/env bash
# The commands of README, of the operations guide, of the runbook and of compose.yaml, typed in the order an operator would,
# with the executable that CARILLON_BIN names: set up, checked, served, counted, backed up and restored. There is no cluster
# here: `helm` renders what it would install, and `kubectl` finds what it is told about in the chart's snapshot, and runs
# what it is to run inside a pod. What is not typed stands in `untyped` with the reason, and nothing else is left out.
# Runs under tests/services.sh run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

readonly SNAPSHOT=$root/helm/ci/snapshots/small.yaml HOST=127.0.0.1
PATH=$CARILLON_TEST_PG_BIN:$PATH
home=$(mktemp -d)
typed=$home/typed.txt
processes=()

untyped() {
  cat <<'LIST'
carillon ..	stands for all the others
cargo run -- demo     # the whole product in one process: no services, no configuration	a part of `make test` of its own
cargo run             # the embedded mode on http://127.0.0.1:8080, data in ./data	what the tour is typed to
cargo run	what the tour is typed to
demo --exit	a part of `make test` of its own
demo --postgres URL	a part of `make test` of its own
make test	this is a part of it
make test-sqlite	a part of `make test`
make crash	in its short form a part of `make test`
make upgrade	a part of `make test`
docker compose up --build --detach	the images of others are out of reach; tests/chart.sh asks whether the file holds together
docker compose exec gateway carillon check --for serve	the command inside is typed
docker compose exec worker carillon check --for work	the command inside is typed
helm rollback	names a release that runs
helm rollback carillon	names a release that runs; `make upgrade` has processes of this one on the next one's schema
kubectl rollout status	names what is being rolled out
kubectl get pods	shows what runs
kubectl logs --previous	of a pod that runs
kubectl describe pod	of a pod that runs
kubectl logs job/..	of a job that has run
LIST
}

# --- documents --------------------------------------------------------------------------------------------------

# The commands in a document: blocks of `sh`, indented lines, and words in backticks that begin with a program's name. The
# README's tour is typed by tests/tests/tour.rs, and so are the blocks of the integration guide.
commands() {
  awk '/<!-- tour -->/ { tour = !tour } tour { next }
    /^```/ { fence = !fence; kind = substr($0, 4); next }
    fence { if (kind == "sh" && FILENAME !~ /INTEGRATION/) print "\001" $0 "\002"; next }
    /^    / { print "\001" substr($0, 5) "\002"; next }
    { print }' "$1" | tr '\n' ' ' | grep -oaP '\x01[^\x02]*\x02|`[^`]*`' | tr -d '\001\002`' |
    grep -E '^(carillon|cargo|check|demo|serve|admin|migrate|kubectl|helm|pg_dump|pg_restore|psql|docker|make|curl|echo|SELECT) ' || true
}

shown() {
  local document
  for document in README.md helm/OPERATIONS.md helm/RUNBOOK.md frontend-contract/INTEGRATION.md; do
    commands "$root/$document"
  done
  sed -n 's/^#   //p' "$root/compose.yaml"
}

# --- typing -----------------------------------------------------------------------------------------------------

die() { printf 'guides: %s\n' "$*" >&2; exit 1; }

# types COMMAND [SED]: runs a command as it is shown, with what stands for something put in its place.
types() {
  printf '%s\n' "$1" >>"$typed"
  printf '$ %s\n' "$1" >&2
  eval "$(printf '%s\n' "$1" | sed "${2:-}")"
}

# says WHAT COMMAND [SED]: the same, and it must say so.
says() {
  local said
  said=$(types "${@:2}" 2>"$home/stderr.txt") || { cat "$home/stderr.txt"; printf '%s\n' "$said"; die "$2 failed"; }
  grep -qF -- "$1" <<<"$said" || { printf '%s\n' "$said"; die "$2 does not say: $1"; }
}

# starts COMMAND NAME=VALUE ..: a process that is ended in the end.
starts() {
  printf '%s\n' "$1" >>"$typed"
  printf '$ %s &\n' "$1" >&2
  env "${@:2}" bash -c "exec $1" >"$home/${1//[^a-z]/-}.log" 2>&1 &
  processes+=($!)
}

# The Deployments of the chart, and of these those with a label that `-l` selects by: all of them.
labelled() {
  local label=${*: -1}
  for label in "$@"; do if [[ $label == *=carillon ]]; then break; fi; done
  awk -v RS='\n---\n' -v label="    ${label/=/: }" '/\nkind: Deployment\n/ { all++; if (index($0, label "\n")) found++ }
    END { exit !(all > 0 && all == found) }' "$SNAPSHOT" || die "not every deployment of the chart is labelled $label"
}

# object KIND NAME: whether the chart has it; the name may be the end of one.
object() {
  awk -v kind="$1" -v name="$2" '/^kind: / { of = $2 } /^  name: / { if (of == kind && substr($2, length($2) - length(name) + 1) == name) found = 1; of = "" }
    END { exit !found }' "$SNAPSHOT" || die "the chart has no $1 named $2"
}

kubectl() {
  case "$1 $2" in
    'exec deploy/'*)
      object Deployment "${2#deploy/}"
      [[ $3 == -- ]] || die 'kubectl exec wants --'
      "${@:4}"
      ;;
    'scale deploy' | 'rollout restart') labelled "$@" ;;
    'create job') object CronJob "${3#--from=cronjob/..}" ;;
    *) die "kubectl $*: nobody knows what this names" ;;
  esac
}

helm() {
  case $1 in
    install | upgrade)
      (cd "$home" && command helm template "${@:2}" --kube-version v1.37.2 >"$home/$1.yaml")
      grep -q '^kind: Deployment$' "$home/$1.yaml" || die "helm $* renders no deployment"
      ;;
    # What its pod does.
    test)
      local arguments
      arguments=$(sed -n 's/^ *args: \[check, \(--replicas, .*\)\]$/\1/p' "$SNAPSHOT" | tr -d ',"' | sed 's/\(x[0-9]*\)\([a-z]\)/\1,\2/g')
      [[ $arguments == '--replicas gateway='* ]] || die 'the chart tests something else'
      # shellcheck disable=SC2086 # two words
      carillon check $arguments
      ;;
    *) die "helm $*: nobody knows what this renders" ;;
  esac
}

# --- the deployment ---------------------------------------------------------------------------------------------

finish() {
  local status=$?
  set +e
  for process in "${processes[@]+"${processes[@]}"}" ${sink:-}; do
    kill -KILL "$process"
    wait "$process"
  done 2>/dev/null
  rm -rf "$home"
  exit "$status"
}

free_port() {
  local port
  while :; do
    port=$((RANDOM % 12000 + 20000))
    if ! (exec 3<>"/dev/tcp/$HOST/$port") 2>/dev/null; then echo "$port"; return; fi
  done
}

# A database of its own for the owner, who is no superuser; SUPERUSER_URL then is a superuser's way to it.
database() {
  local server=${DATABASE_URL_OF_SERVER#*@}
  psql -X -q "$DATABASE_URL_OF_SERVER" -c "CREATE DATABASE $1 OWNER carillon_owner"
  server=${server%%/*}
  SUPERUSER_URL=${DATABASE_URL_OF_SERVER%/*}/$1
  DATABASE_OWNER_URL=postgres://carillon_owner:owner@$server/$1
  DATABASE_URL=postgres://carillon_app:app@$server/$1
  DATABASE_IDENTITY_URL=postgres://carillon_identity:identity@$server/$1
  DATABASE_DISPATCH_URL=postgres://carillon_dispatch:dispatch@$server/$1
  export SUPERUSER_URL DATABASE_OWNER_URL DATABASE_URL DATABASE_IDENTITY_URL DATABASE_DISPATCH_URL
}

settings() {
  local port
  readonly DATABASE_URL_OF_SERVER=$DATABASE_URL
  mkdir "$home/bin" "$home/blobs"
  ln -s "$CARILLON_BIN" "$home/bin/carillon"
  ln -s "$root/helm" "$home/helm"
  cp "$root/helm/ci/small-values.yaml" "$home/my-values.yaml"
  PATH=$home/bin:$PATH
  psql -X -q "$DATABASE_URL" -c 'CREATE ROLE carillon_owner LOGIN CREATEROLE'
  database guide
  port=$(free_port)
  local as=()
  if [[ $(id -u) == 0 ]]; then as=(-u nobody); fi
  "$SMTP_SINK" "${as[@]+"${as[@]}"}" "$HOST:$port" 100 &
  sink=$!
  export SMTP_URL="smtp://$HOST:$port?tls=none" CARILLON_BLOBS=file:$home/blobs CARILLON_LOG=warn DATABASE_POOL=4
  export CARILLON_PUBLIC_URL=https://carillon.example CARILLON_SYSTEM_FROM=carillon@carillon.example
  export CARILLON_TRUSTED_PROXIES=none CARILLON_DRAIN_SECONDS=5 CARILLON_BOUNCE_DOMAIN=bounces.carillon.example
  port=$(free_port)
  export CARILLON_BIND=$HOST:$port
}

# answers ADDRESS: until the process there is ready.
answers() {
  local i
  for ((i = 0; i < 300; i++)); do
    if curl -sf --noproxy '*' "http://$1/health/ready" >/dev/null; then return 0; fi
    sleep 0.2
  done
  curl -sS --noproxy '*' "http://$1/health/ready" || true
  die "nobody is ready at $1"
}

# mutate NAME FIELDS INPUT: one mutation, as `token`; the answer is kept.
mutate() {
  local kind=${1^}Input
  answer=$(curl -sS --noproxy '*' "http://$CARILLON_BIND/graphql" -H 'content-type: application/json' \
    -H "authorization:${token:+ Bearer $token}" \
    -d '{"query": "mutation($input: '"$kind"'!) { '"$1"'(input: $input) { '"$2"' userErrors { code } } }", "variables": {"input": '"$3"'}}')
  grep -q '"userErrors":\[\]' <<<"$answer" || die "$1 answered $answer"
}
last() { sed 's/.*"'"$1"'":"\([^"]*\)".*/\1/' <<<"$answer"; }

# --- the guides -------------------------------------------------------------------------------------------------

keys() {
  local made='echo "1:$(head -c 32 /dev/urandom | base64)"'
  CARILLON_KEYS=$(types "$made")
  CARILLON_JWT_KEYS=$(types "$made")
  export CARILLON_KEYS CARILLON_JWT_KEYS
  (cd "$home" && types "$(sed -n 's/^#   \(for name in .*\)/\1/p' "$root/compose.yaml")")
  [[ $(grep -cE '^CARILLON_(JWT_)?KEYS=1:[A-Za-z0-9+/]{43}=$' "$home/.env") == 2 ]] || die 'compose.yaml makes other keys'
}

set_up() {
  says 'the schema is current' 'carillon migrate'
  says 'carillon_dispatch has its password' 'carillon migrate'
  says '0 partitions made, 0 dropped' 'carillon migrate --maintain'
  says '0 partitions made, 0 dropped' 'migrate --maintain' 's/^/carillon /'
  # Before the first start the database has no keys that could be others.
  says 'ok     database schema: current' 'carillon check'
  for whom in serve work recipient inbound migrate; do
    says 'ok     ' 'check --for serve' "s/^/carillon /; s/serve/$whom/"
  done
  says 'ok     ' 'carillon check --for serve'
  says 'ok     relay' 'carillon check --for work'
  says 'ok     connections' 'carillon check' 's/$/ --replicas gateway=3,recipient=2,worker=2x32/'
}

serve() {
  local metrics recipients inbound watched
  metrics=$HOST:$(free_port)
  recipients=$HOST:$(free_port)
  inbound=$HOST:$(free_port)
  watched=$HOST:$(free_port)
  starts 'carillon serve'
  answers "$CARILLON_BIND"
  starts 'carillon work' "CARILLON_METRICS_BIND=$metrics"
  answers "$metrics"
  starts 'carillon serve --only recipient' "CARILLON_BIND=$recipients"
  answers "$recipients"
  starts 'carillon work --inbound' "CARILLON_INBOUND_BIND=$inbound" "CARILLON_METRICS_BIND=$watched"
  answers "$watched"
  bounce
  says 'v=DKIM1' 'carillon admin system-sender'
  says 'https://carillon.example/' 'carillon admin create-account "Agency" --owner ada@agency.example'
}

# To nobody: a mail server that pipes mail hears so by the status.
bounce() {
  local status=0
  printf 'Subject: Away\n\nBack on Monday.\n' >"$home/mail"
  (cd "$home" && types 'carillon bounce --to ADDRESS < mail' 's/ADDRESS/nobody@bounces.carillon.example/') || status=$?
  [[ $status == 67 ]] || die "carillon bounce ended with $status"
  # What is wrong here is no word about the mailbox.
  status=0
  (cd "$home" && types 'carillon bounce --to ADDRESS < mail' 's/^/CARILLON_MODE=nonsense /') || status=$?
  [[ $status == 75 ]] || die "carillon bounce without a configuration ended with $status"
}

# What tenants and accounts are called only the API knows.
administer() {
  local tenant account
  token=
  carillon admin create-account Bakery --owner grace@bakery.example --password-stdin <<<'correct horse battery staple' >/dev/null
  mutate signIn 'session { accessToken }' '{"email": "grace@bakery.example", "password": "correct horse battery staple"}'
  token=$(last accessToken)
  answer=$(curl -sS --noproxy '*' "http://$CARILLON_BIND/graphql" -H 'content-type: application/json' -H "authorization: Bearer $token" \
    -d '{"query": "{ viewer { accounts(first: 1) { nodes { account { id } } } } }"}')
  account=$(last id)
  mutate createTenant 'tenant { id }' '{"accountId": "'"$account"'", "name": "Bakery", "defaultZone": "Europe/Vienna",
    "defaultLocale": "en", "defaultCountry": "AT"}'
  tenant=$(last id)
  mutate enterTenant 'session { accessToken }' '{"tenantId": "'"$tenant"'"}'
  token=$(last accessToken)
  answer=$(curl -sS --noproxy '*' "http://$CARILLON_BIND/graphql" -H 'content-type: application/json' -H "authorization: Bearer $token" \
    -d '{"query": "{ brands(first: 1) { nodes { id } } }"}')
  mutate createSender 'sender { id }' '{"brandId": "'"$(last id)"'", "fromName": "The Bakery",
    "fromEmail": "news@bakery.example", "postalAddress": "The Bakery, Graben 2, 1010 Vienna"}'
  types 'carillon admin verify-sender TENANT SENDER' "s/TENANT/$tenant/; s/SENDER/$(last id)/"
  types 'carillon admin cap-account ACCOUNT --messages-per-day N' "s/ACCOUNT/$account/; s/N\$/5000/"
}

cluster() {
  local limit='kubectl exec deploy/carillon-gateway -- carillon check --for serve --replicas gateway=4,recipient=2,worker=6x32'
  cd "$home"
  # So many may be too many for the Postgres that is here: what counts is that they are counted.
  types "$limit" >"$home/limit.txt" || true
  grep -q ' connections: ' "$home/limit.txt" || { cat "$home/limit.txt"; die 'nobody counted connections'; }
  types 'helm install carillon helm -f my-values.yaml'
  says 'ok     connections' 'helm test'
  types 'helm upgrade' 's/$/ carillon helm -f my-values.yaml/'
  types 'helm upgrade carillon helm -f my-values.yaml'
  says 'ok     connections' 'helm test carillon --logs'
  types 'kubectl rollout restart deploy -l app.kubernetes.io/instance=carillon'
  types 'kubectl create job --from=cronjob/..-maintain now'
  psql -X -q -t "$DATABASE_URL" -c "$(types 'SELECT count(*) FROM pg_stat_activity' 's/.*/echo "&"/')" | grep -q '[0-9]'
}

rows() { psql -X -q -t -A "$SUPERUSER_URL" -c 'SELECT count(*) FROM tenants' -c 'SELECT verified_at FROM sender_identities ORDER BY 1'; }

# Each process that is told to go goes by itself.
stop() {
  local process
  types 'kubectl scale deploy -l app.kubernetes.io/instance=carillon --replicas=0'
  for process in "${processes[@]}"; do kill -TERM "$process"; done
  for process in "${processes[@]}"; do wait "$process" || { cat "$home"/*.log; die 'a process did not end well'; }; done
  processes=()
}

restore() {
  local before
  before=$(rows)
  [[ $before == *20[0-9][0-9]-* ]] || die "no sender is verified: $before"
  types 'pg_dump --format=custom --file=carillon.dump "$SUPERUSER_URL"'
  stop
  database restored
  types 'pg_restore --dbname="$SUPERUSER_URL" carillon.dump'
  says 'the schema is current' 'carillon migrate'
  says 'ok     keys' 'carillon check'
  [[ $(rows) == "$before" ]] || die 'what was restored is something else'
  # Other keys are not this database's.
  if CARILLON_KEYS="1:$(head -c 32 /dev/urandom | base64)" carillon check >"$home/other.txt"; then
    die 'other keys were taken'
  fi
  grep -q 'WRONG  keys' "$home/other.txt" || { cat "$home/other.txt"; die 'nobody noticed other keys'; }
}

# Everything that is shown is typed or left out for a reason, and nothing else stands here.
complete() {
  sort -u "$typed" >"$home/known.txt"
  untyped | cut -f 1 >>"$home/known.txt"
  sort -u -o "$home/known.txt" "$home/known.txt"
  shown | sort -u >"$home/shown.txt"
  diff "$home/shown.txt" "$home/known.txt" || die 'shown in a guide (<) and typed here (>) differ'
  echo "$(sort -u "$typed" | wc -l) commands were typed, $(untyped | wc -l) were not"
}

trap finish EXIT
settings
keys
set_up
serve
administer
cluster
restore
complete

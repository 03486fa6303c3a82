#!/usr/bin/env bash
# The Helm chart without a cluster: lint, rendered snapshots, refused values, every manifest against the schemas of
# Kubernetes itself, and every container's settings, and those of compose.yaml, against the executable.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The last four minor versions, newest last, and what they serve beside their own: the Gateway API, KEDA, Prometheus' operator.
readonly KUBERNETES=(v1.34.4 v1.35.4 v1.36.3 v1.37.2) GATEWAY_API=v1.4.1 KEDA=v2.17.2 PROMETHEUS_OPERATOR=v0.85.0
# Left in a folder that has all of them.
readonly FETCHED=done-$GATEWAY_API-$KEDA-$PROMETHEUS_OPERATOR
readonly FULL=helm/ci/snapshots/full.yaml
readonly CONTAINERS='.. | select(tag == "!!map" and has("containers")) | .containers[]'
# Services of ours, with what they share put in its place.
readonly COMPOSE=(yq -o yaml -N --yaml-fix-merge-anchor-to-spec=true)
readonly SERVICES='explode(.) | .services | to_entries | .[] | select(.value.image == "carillon:local")'
readonly SCHEMAS=${CARILLON_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/carillon-ci}/kubernetes
out=${CARGO_TARGET_DIR:-target}/carillon-logs/chart

usage() {
  cat <<'USAGE'
usage: tests/chart.sh check       lint, compare with helm/ci/snapshots, refuse helm/ci/bad (helm)
       tests/chart.sh snapshots   write helm/ci/snapshots anew (helm)
       tests/chart.sh settings    what each container gets, here and in compose.yaml, is a configuration
                                  (yq, and the executable in CARILLON_BIN)
       tests/chart.sh schemas     every manifest against the schemas of Kubernetes (kubeconform, yq, and what fetch got)
       tests/chart.sh fetch       put the schemas into the cache (go, yq)
       tests/chart.sh lacking     print what `settings` and `schemas` need and is not here
USAGE
}

# The version is given, because a helm built by hand assumes a cluster from years ago.
render() { render_from helm "$@"; }
render_from() { helm template carillon "$1" --namespace mail --kube-version "${KUBERNETES[-1]}" "${@:2}"; }

# What is rendered, as pairs of a name and a file of values.
cases() {
  local values
  for values in helm/ci/*-values.yaml helm/examples/*-values.yaml; do
    echo "$(basename "${values%-values.yaml}") $values"
  done
}

# --- check ------------------------------------------------------------------------------------------------------

# What an installation prints. Helm shows that on a cluster only, so a copy of the chart has it in an object.
notes() {
  local copy=$out/notes
  rm -rf "$copy"
  mkdir -p "$out"
  cp -r helm "$copy"
  (echo '{{- define "notes" -}}'; cat helm/templates/NOTES.txt; echo '{{- end -}}') >"$copy/templates/_notes.tpl"
  echo 'notes: | {{- include "notes" . | nindent 2 }}' >"$copy/templates/notes.yaml"
  render_from "$copy" -s templates/notes.yaml "$@" | sed '1,3d; s/^  //; s/ *$//'
}

# write FOLDER: everything that is compared.
write() {
  local name values
  rm -rf "$1"
  mkdir -p "$1"
  cases | while read -r name values; do
    render -f "$values" >"$1/$name.yaml"
    notes -f "$values" >"$1/$name.notes.txt"
    echo "rendered $values: $(grep -c '^kind:' "$1/$name.yaml") objects"
  done
}

snapshots() { write helm/ci/snapshots; }

same_as_snapshots() {
  local name values
  cases | while read -r name values; do
    helm lint --strict helm --quiet --kube-version "${KUBERNETES[-1]}" -f "$values"
  done
  write "$out/rendered"
  diff -ru helm/ci/snapshots "$out/rendered" || { echo 'the snapshots are stale: make chart-snapshots'; return 1; }
}

# L1: what serves requests or sends mail never holds the login that may change the schema, nor names its Secret.
owner_is_apart() {
  local deployments
  deployments=$(render -f helm/ci/full-values.yaml -s templates/deployments.yaml)
  if grep -E 'DATABASE_OWNER_URL|carillon-owner' <<<"$deployments"; then
    echo 'a deployment holds the login of the owner'
    return 1
  fi
}

# C-11: what recipients follow goes to their own processes, every path of it, in the chart and in compose.yaml.
links_are_apart() {
  local code chart compose
  code=$(grep -ohE '"/[a-z]+/\{token\}' api/src/http/{recipient,clicks}.rs | cut -d/ -f2 | sort -u)
  chart=$(sed -n 's|^ *- path: /\([a-z]\+\)$|\1|p' helm/ci/snapshots/full.yaml | sort -u)
  compose=$(grep '@recipient path' compose.yaml | grep -oE '/[a-z]+/' | tr -d / | sort -u)
  if [[ -z $code || $code != "$chart" || $code != "$compose" ]]; then
    echo "links of mails lead to" $code", in the chart to" $chart", in compose.yaml to" $compose
    return 1
  fi
}

# Each refusal says, in what an operator sees first, what the file expects of it.
bad_is_refused() {
  local bad reason
  for bad in helm/ci/bad/*.yaml; do
    if render -f helm/ci/small-values.yaml -f "$bad" >/dev/null 2>"$out/bad.txt"; then
      echo "$bad was accepted"
      return 1
    fi
    reason=$(sed -n 's/^# expect: //p' "$bad")
    if [[ -z $reason ]] || ! head -n 3 "$out/bad.txt" | grep -F -- "$reason"; then
      echo "$bad was refused for another reason:"
      cat "$out/bad.txt"
      return 1
    fi
  done
}

check() {
  mkdir -p "$out"
  same_as_snapshots
  owner_is_apart
  links_are_apart
  bad_is_refused
}

# --- settings ---------------------------------------------------------------------------------------------------

# What a Secret may hold. Nobody answers at these addresses.
secret() {
  case $1 in
    DATABASE_*) echo "postgres://${1,,}:secret@127.0.0.1:1/carillon" ;;
    REDIS_URL) echo redis://127.0.0.1:1 ;;
    SMTP_URL) echo smtp://127.0.0.1:1 ;;
    CARILLON_BLOBS_*) echo carillon ;;
    OTEL_*_HEADERS) echo authorization=secret ;;
    *KEYS) echo "1:$(head -c 32 /dev/urandom | base64)" ;;
    *) return 1 ;;
  esac
}

# The variables of a container of the chart or of compose.yaml, each as NAME=value. What comes from a Secret or from the
# shell has no value yet.
variables() {
  local service=${1#compose-}
  if [[ $service == "$1" ]]; then
    yq -o yaml -N "$CONTAINERS | select(.name == \"$1\") | .env[] | .name + \"=\" + (.value // \"\")" "$FULL"
  else
    "${COMPOSE[@]}" "$SERVICES | select(.key == \"$service\") | .value.environment | to_entries | .[] |
      .key + \"=\" + .value" compose.yaml | sed 's/=\${.*/=/'
  fi | grep .
}

# What `check` says with them, of the process that a container runs. A file that is not here is not what this asks about.
asked() {
  local name value environment=(AWS_REGION=none) whom=()
  case ${1#compose-} in
    gateway) whom=(--for serve) ;;
    worker) whom=(--for work) ;;
    recipient) whom=(--for recipient) ;;
    inbound) whom=(--for inbound) ;;
    migrate | maintain) whom=(--for migrate) ;;
  esac
  while IFS='=' read -r name value; do
    if [[ $name != *_FILE ]]; then environment+=("$name=${value:-$(secret "$name")}"); fi
  done
  env -i "${environment[@]}" "${CARILLON_BIN:-target/debug/carillon}" check "${whom[@]}" 2>&1 || true
}

# Every variable is a setting that the README's table knows, for a misspelt one would be ignored; all variables of a
# container together are a configuration; and no secret is among them that its process has no use for (L1). All are asked
# at once, for a database that is away is waited for.
settings() {
  local containers container name
  mkdir -p "$out"
  containers=$(
    yq -o yaml -N "$CONTAINERS | .name" "$FULL" | grep .
    "${COMPOSE[@]}" "$SERVICES | \"compose-\" + .key" compose.yaml | grep .
  )
  for container in $containers; do
    variables "$container" >"$out/$container.env"
    cut -d= -f1 "$out/$container.env" | while read -r name; do
      grep -q "^| \`$name\`" README.md || { echo "$container: $name is no setting"; return 1; }
    done
    asked "$container" <"$out/$container.env" >"$out/$container.txt" &
  done
  wait
  for container in $containers; do
    if ! grep -q '^ok *configuration: production$' "$out/$container.txt"; then
      echo "$container does not start with what it gets:"
      cat "$out/$container.txt"
      return 1
    fi
    if grep 'has no use for' "$out/$container.txt"; then
      echo "$container is given what it does not need"
      return 1
    fi
    echo "$container: $(wc -l <"$out/$container.env") variables are a configuration"
  done
}

# --- schemas ----------------------------------------------------------------------------------------------------

lacking() {
  local tool version
  for tool in helm kubeconform; do command -v "$tool" >/dev/null || echo "$tool"; done
  is_our_yq || echo yq
  for version in "${KUBERNETES[@]}"; do [[ -e $SCHEMAS/$version/$FETCHED ]] || echo "schemas-$version"; done
}

# Debian has another program of that name.
is_our_yq() { yq --version 2>/dev/null | grep -q mikefarah; }

# module MODULE VERSION: its folder, fetched and verified by go.
module() { (cd / && GOFLAGS=-mod=mod go mod download -json "$1@$2") | yq -p json -o yaml .Dir; }

# custom VERSION FILE: the schema of a kind that is not Kubernetes' own, without unknown fields.
custom() {
  version=$1 yq -o json -I 0 '.spec.versions[] | select(.name == strenv(version)) | .schema.openAPIV3Schema |
    (.. | select(tag == "!!map" and has("properties")) | .additionalProperties) = false' "$2"
}

# OpenAPI as kubeconform wants it: no unknown fields, the two types that are either text or number, and a file for each
# kind, which only points into the definitions.
fetch_one() {
  local version=$1 folder=$SCHEMAS/$1 source name file
  rm -rf "$folder"
  mkdir -p "$folder"
  source=$(module k8s.io/kubernetes "$version")
  yq -p json -o json -I 0 '
    .definitions |= with_entries(select(.value | has("properties")) |= .value.additionalProperties = false) |
    .definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"type": ["integer", "string"]} |
    .definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["number", "string"]} |
    {"definitions": .definitions}' "$source/api/openapi-spec/swagger.json" >"$folder/definitions.json"
  yq -p json -o yaml '.definitions | to_entries | .[] | select(.value | has("x-kubernetes-group-version-kind")) |
    .key as $key | .value["x-kubernetes-group-version-kind"][0] |
    [.kind + "-" + (.group | sub("\..*", "")) + "-" + .version, $key] | @tsv' "$folder/definitions.json" |
    while IFS=$'\t' read -r file name; do
      file=${file//--/-}
      echo "{\"\$ref\": \"definitions.json#/definitions/$name\"}" >"$folder/${file,,}.json"
    done
  source=$(module sigs.k8s.io/gateway-api "$GATEWAY_API")/config/crd/standard
  custom v1 "$source/gateway.networking.k8s.io_httproutes.yaml" >"$folder/httproute-gateway-v1.json"
  source=$(module github.com/kedacore/keda/v2 "$KEDA")/config/crd/bases
  custom v1alpha1 "$source/keda.sh_scaledobjects.yaml" >"$folder/scaledobject-keda-v1alpha1.json"
  source=$(module github.com/prometheus-operator/prometheus-operator "$PROMETHEUS_OPERATOR")
  source+=/example/prometheus-operator-crd
  custom v1 "$source/monitoring.coreos.com_podmonitors.yaml" >"$folder/podmonitor-monitoring-v1.json"
  custom v1 "$source/monitoring.coreos.com_prometheusrules.yaml" >"$folder/prometheusrule-monitoring-v1.json"
  touch "$folder/$FETCHED"
}

fetch() {
  local version
  for version in "${KUBERNETES[@]}"; do [[ -e $SCHEMAS/$version/$FETCHED ]] || fetch_one "$version"; done
}

# valid VERSION [FILE ..]: against the schemas of one version; a kind without a schema is an error.
valid() { kubeconform -strict -summary -schema-location "$SCHEMAS/$1/{{.ResourceKind}}{{.KindSuffix}}.json" "${@:2}"; }

# Wrong in four deployments, seven policies, and the one kind that is not Kubernetes' own.
readonly WRONG='s/matchLabelKeys:/matchLabelKey:/; s/policyTypes: .*/policyTypes: 1/; s/backendRefs:/backends:/'

schemas() {
  local version wrong
  for version in "${KUBERNETES[@]}"; do
    valid "$version" helm/ci/snapshots helm/examples/*-services.yaml | sed "s/^/$version: /"
    wrong=$(sed "$WRONG" helm/ci/snapshots/closed.yaml | valid "$version") || true
    [[ $wrong == *' Invalid: 12,'* ]] || { printf '%s: wrong manifests pass:\n%s\n' "$version" "$wrong"; return 1; }
  done
}

case ${1:-} in
  check | snapshots | settings | schemas | fetch | lacking) "$1" ;;
  *) usage >&2; exit 64 ;;
esac

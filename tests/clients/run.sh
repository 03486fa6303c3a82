#!/usr/bin/env bash
# GraphQL clients that people use, compiled against frontend-contract and run against a server of their own: what
# CARILLON_BIN names; then tools that attack it.
# Packages come as they are locked: npm's into node_modules, Python's into a cache directory. AUDIT=write rewrites the
# report of the audits instead of comparing it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# What is needed and lacking here, one a line, as Debian calls it.
missing() {
  node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' 2>/dev/null || echo 'nodejs (18 or later)'
  command -v npm >/dev/null || echo npm
  python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || echo 'python3-venv'
}

packages() {
  local stamp
  stamp=$(node --version; cat package-lock.json .npmrc | sha256sum)
  if [[ $(cat node_modules/.stamp 2>/dev/null) != "$stamp" ]]; then
    npm ci --no-progress --loglevel=error
    echo "$stamp" >node_modules/.stamp
  fi
}

# Prints the interpreter. An environment is moved into its place whole, so that a broken installation is never used.
python() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/carillon-clients venv
  venv=$cache/python-$({ python3 -VV; cat python/requirements.txt; } | sha256sum | cut -c 1-16)
  if [[ ! -x $venv/bin/python ]]; then
    rm -rf "$venv.new"
    python3 -m venv "$venv.new"
    "$venv.new/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r python/requirements.txt >&2
    mv "$venv.new" "$venv"
  fi
  echo "$venv/bin/python"
}

if [[ ${1:-} == missing ]]; then missing; exit; fi
packages
PYTHON=$(python)
export PYTHON
node generate.mjs
rm -rf build
node_modules/.bin/tsc
exec node --test-reporter=spec build/src/run.js

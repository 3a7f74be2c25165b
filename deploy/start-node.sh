#!/usr/bin/env bash
# Starts one node of a cluster on this machine: deploy/start-node.sh FILE [more options of ./tandem node]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 CONFIG [options]; see deploy/example-node.conf" >&2; exit 2; }
here="$(cd "$(dirname "$0")/.." && pwd)"; config="$1"; shift
exec "$here/tandem" node --profile cluster --config "$config" "$@"

#!/usr/bin/env bash
# Stops the nodes that deploy/start-node.sh started with FILE: they leave the cluster in order.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 CONFIG" >&2; exit 2; }
pids="$(pgrep -f -- "TandemCommand node .*--config $1" || true)"
[ -n "$pids" ] || { echo "no node runs with $1" >&2; exit 1; }
kill -TERM $pids
for _ in $(seq 1 60); do pgrep -f -- "TandemCommand node .*--config $1" >/dev/null || exit 0; sleep 0.5; done
echo "still running: $pids" >&2; exit 1

#!/usr/bin/env bash
# Stops the nodes that deploy/start-node.sh started with FILE (written the same way): they leave the cluster in order.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 CONFIG" >&2; exit 2; }
# The name as it is, not as a pattern, and not as the beginning of another one.
name="$(printf %s "$1" | sed 's/[][\.*^$+?(){}|]/\\&/g')"
running() { pgrep -f -- "java .*TandemCommand node .*--config $name( |\$)"; }
pids="$(running || true)"
[ -n "$pids" ] || { echo "no node runs with $1" >&2; exit 1; }
kill -TERM $pids
# tandem.node.stop-drain-timeout and ten seconds more, twice.
for _ in $(seq 1 120); do running >/dev/null || exit 0; sleep 0.5; done
echo "still running after 60 s: $pids" >&2; exit 1

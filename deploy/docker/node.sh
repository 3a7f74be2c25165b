#!/usr/bin/env bash
# Starts the node of a container: ROLES and SEEDS say what it is, MODEL where its model lies. Further arguments go to
# ./tandem node. HOST (the container's host name by default) is what the others call
# it; the network must be a private one (transfers are not encrypted).
set -euo pipefail
host="${HOST:-$(hostname)}"
options=(--profile cluster --roles "${ROLES:-api,mixed}" --host "$host" --insecure-network --cluster-port 7481
  --model "${MODEL:?MODEL must name a GGUF file or a safetensors folder under /models}")
[ -z "${SEEDS:-}" ] || options+=(--seeds "$SEEDS")
[ -z "${MODEL_NAME:-}" ] || options+=(--model-name "$MODEL_NAME")
case ",${ROLES:-api,mixed}," in
  *,api,*) : "${TANDEM_API_KEY:?TANDEM_API_KEY must be set: HTTP beyond loopback needs a key}"
    export TANDEM_JAVA_OPTS="${TANDEM_JAVA_OPTS:-} -Dtandem.http.host=0.0.0.0 -Dtandem.http.api-keys.0=$TANDEM_API_KEY" ;;
esac
export TANDEM_JAVA_OPTS="${TANDEM_JAVA_OPTS:-} -Dtandem.transfer.port=7482 -Dtandem.lifeline.port=7483"
exec ./tandem node "${options[@]}" "$@"

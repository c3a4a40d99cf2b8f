#!/usr/bin/env bash
# The control plane in one process, with the examples running on it. State is in $KYBERN_DIR (default: ./.kybern).
set -euo pipefail
source "$(dirname "$0")/lib.sh"

dir=${KYBERN_DIR:-$root/.kybern}
port=${KYBERN_PORT:-6443}
nodes=${KYBERN_NODES:-3}

build kybern
mkdir -p "$dir"
stop_pids "$dir/pids"
"$root/target/release/kybern" up --data-dir "$dir" --secure-port "$port" --nodes "$nodes" >"$dir/kybern.log" 2>&1 &
pid=$!
echo "$pid" >"$dir/pids"
export KUBECONFIG=$dir/kubeconfig
until [[ -f $KUBECONFIG ]]; do
    kill -0 "$pid" 2>/dev/null || { cat "$dir/kybern.log" >&2; exit 1; }
    sleep 0.05
done
wait_ready "$pid" || { cat "$dir/kybern.log" >&2; exit 1; }
run_examples
cat <<TEXT

$(grep -h 'ready after' "$dir/kybern.log" | tail -1)
resident memory: $(awk '/VmRSS/ {print int($2 / 1024) " MiB"}' "/proc/$pid/status")

Go on:   export KUBECONFIG=$KUBECONFIG
         kubectl -n shop get pods -o wide
         kubectl -n shop scale deployment/frontend --replicas=10
Logs:    $dir/kybern.log
Stop:    make down     (what was written stays in $dir; make up goes on from there)
TEXT

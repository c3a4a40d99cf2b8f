#!/usr/bin/env bash
# Measures the release build, alone on this machine, by the works of upstream's benchmark. Prints the tables; figures
# also land in target/perf/*.json. The server listens on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=target/perf
port=${KYBERN_PERF_PORT:-16443}
token=perf
work=$(mktemp -d)
server=
etcd=
trap 'for pid in $server $etcd; do kill "$pid" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$out"
printf '%s,perf,1,"system:masters"\n' "$token" >"$work/tokens"

start() { # nodes, more flags...
    local nodes=$1
    shift
    rm -rf "$work/data"
    target/release/kybern up --data-dir "$work/data" --secure-port "$port" --nodes "$nodes" --token-auth-file "$work/tokens" "$@" >"$work/log" 2>&1 &
    server=$!
    wait_ready
    grep 'ready after' "$work/log"
}
start_api() { # flags that say where the store is...
    [[ -d $work/pki ]] || target/release/kybern pki --dir "$work/pki" >/dev/null
    target/release/kybern apiserver --secure-port "$port" --token-auth-file "$work/tokens" --client-ca-file "$work/pki/ca.crt" \
        --tls-cert-file "$work/pki/apiserver.crt" --tls-private-key-file "$work/pki/apiserver.key" "$@" >"$work/log" 2>&1 &
    server=$!
    wait_ready
}
wait_ready() {
    until curl -ksf -H "Authorization: Bearer $token" "https://127.0.0.1:$port/readyz" >/dev/null; do
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.05
    done
}
stop() {
    kill "$server"
    wait "$server" 2>/dev/null || true
    server=
}
cpu() { awk '{print $14 + $15}' "/proc/$server/stat"; }
perf() { target/release/kybern-perf --url "https://127.0.0.1:$port" --token "$token" --pid "$server" "$@"; }

cargo build --quiet --release -p kybern -p kybern-tests --bins
echo "binary: $(stat -c %s target/release/kybern | awk '{printf "%.1f MB", $1 / 1e6}')"

echo; echo "== API server alone, embedded store"
start_api --data-dir "$work/api"
perf --works create,get,list,patch,watch,delete --json "$out/api.json"
stop

if command -v etcd >/dev/null; then
    echo; echo "== API server alone, on etcd: $(etcd --version | head -1)"
    etcd --data-dir "$work/etcd" --listen-client-urls http://127.0.0.1:23790 --advertise-client-urls http://127.0.0.1:23790 \
        --listen-peer-urls http://127.0.0.1:23800 --initial-advertise-peer-urls http://127.0.0.1:23800 \
        --initial-cluster default=http://127.0.0.1:23800 --log-level error >"$work/etcd.log" 2>&1 &
    etcd=$!
    start_api --etcd-servers http://127.0.0.1:23790
    perf --works create,get,list,patch,watch,delete --json "$out/etcd.json"
    stop
    kill "$etcd"
    wait "$etcd" 2>/dev/null || true
    etcd=
fi

echo; echo "== idle: whole control plane, 5 nodes, after 20 s of settling"
start 5
sleep 20
before=$(cpu); sleep 30; after=$(cpu)
awk '/VmRSS/ {printf "resident: %.1f MiB\n", $2 / 1024}' "/proc/$server/status"
echo "CPU over 30 s: $((after - before)) ticks of 10 ms = $(awk "BEGIN {printf \"%.2f\", ($after - $before) / 30}")% of a core"
stop

echo; echo "== whole control plane: 1,000 nodes"
start 1000
until [[ $(curl -ks -H "Authorization: Bearer $token" "https://127.0.0.1:$port/api/v1/nodes?limit=1" | grep -o '"remainingItemCount": *[0-9]*' | grep -o '[0-9]*$') == 999 ]]; do sleep 0.2; done
perf --works bind,deployment --json "$out/cluster.json"
stop

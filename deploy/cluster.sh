#!/usr/bin/env bash
# The control plane as real processes on this machine: etcd, API server, scheduler, controller manager and three
# kubelets, each with a certificate of its own, talking mutual-TLS gRPC. State is in $KYBERN_CLUSTER_DIR.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

dir=${KYBERN_CLUSTER_DIR:-$root/.kybern-cluster}
port=${KYBERN_CLUSTER_PORT:-7443}
etcd_port=${KYBERN_ETCD_PORT:-23790}
bin=$root/target/release
nodes=(node-a node-b node-c)

start() { # log's name, command...
    local log=$dir/$1.log
    shift
    "$@" >>"$log" 2>&1 &
    echo $! >>"$dir/pids"
}

up() {
    build kybern kybern-apiserver kybern-scheduler kybern-controller-manager kybern-kubelet
    mkdir -p "$dir"
    stop_pids "$dir/pids"
    local pki=$dir/pki url=http://127.0.0.1:$etcd_port peer=http://127.0.0.1:$((etcd_port + 1))
    "$bin/kybern" pki --dir "$pki" --server "https://127.0.0.1:$port" --nodes "$(IFS=,; echo "${nodes[*]}")"

    start etcd etcd --name kybern --data-dir "$dir/etcd" --listen-client-urls "$url" --advertise-client-urls "$url" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "kybern=$peer" --log-level warn
    until ETCDCTL_API=3 etcdctl --endpoints "$url" endpoint health >/dev/null 2>&1; do sleep 0.1; done
    start apiserver "$bin/kybern-apiserver" --etcd-servers "$url" --secure-port "$port" --client-ca-file "$pki/ca.crt" \
        --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
        --service-account-signing-key-file "$pki/sa.key" --kubelet-certificate-authority "$pki/ca.crt" \
        --kubelet-client-certificate "$pki/apiserver-kubelet-client.crt" --kubelet-client-key "$pki/apiserver-kubelet-client.key"
    export KUBECONFIG=$pki/admin.kubeconfig
    wait_ready "$(tail -1 "$dir/pids")" || { cat "$dir/apiserver.log" >&2; exit 1; }
    start scheduler "$bin/kybern-scheduler" --kubeconfig "$pki/scheduler.kubeconfig" --secure-port 0
    start controller-manager "$bin/kybern-controller-manager" --kubeconfig "$pki/controller-manager.kubeconfig" --secure-port 0 \
        --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" --service-account-private-key-file "$pki/sa.key"
    for node in "${nodes[@]}"; do
        start "kubelet-$node" "$bin/kybern-kubelet" --kubeconfig "$pki/node-$node.kubeconfig" --hostname-override "$node" --port 0 --healthz-port 0 \
            --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/kubelet-$node.crt" --tls-private-key-file "$pki/kubelet-$node.key"
    done
    for node in "${nodes[@]}"; do
        until kubectl get node "$node" >/dev/null 2>&1; do sleep 0.1; done
    done
    kubectl wait --for=condition=Ready node --all --timeout=60s
    run_examples
    cat <<TEXT

Go on:   export KUBECONFIG=$KUBECONFIG
         kubectl get nodes -o wide
Logs:    $dir/*.log
Stop:    make cluster-down
TEXT
}

case ${1:-} in
    up) up ;;
    down) stop_pids "$dir/pids" ;;
    *) echo "usage: $0 up|down" >&2; exit 2 ;;
esac

# What the scripts here share. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
examples=$root/deploy/examples

# Builds the release binaries of these packages.
build() {
    "$root/deploy/install-tools.sh"
    (cd "$root" && cargo build --release --bins "${@/#/--package=}")
}

# Waits until a URL below the API server answers `ok`.
wait_ready() { # what runs (a pid), seconds
    local pid=$1 deadline=$((SECONDS + ${2:-30}))
    until kubectl get --raw /readyz >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || { echo "it ended before it was ready" >&2; return 1; }
        ((SECONDS < deadline)) || { echo "it was not ready in time" >&2; return 1; }
        sleep 0.1
    done
}

# Applies the examples and waits until all of them run or are complete.
run_examples() {
    kubectl apply -f "$examples/00-namespace.yaml"
    # Pods need the namespace's service account, which a controller makes.
    until kubectl -n shop get serviceaccount default >/dev/null 2>&1; do sleep 0.1; done
    kubectl apply -f "$examples"
    local workload
    for workload in deployment/frontend statefulset/orders-db daemonset/log-shipper; do
        kubectl -n shop rollout status "$workload" --timeout=60s
    done
    kubectl -n shop wait --for=condition=Complete job/import-catalog --timeout=60s
    echo
    kubectl -n shop get all
}

stop_pids() { # file of pids
    [[ -f $1 ]] || return 0
    local pid
    while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$1"
    while read -r pid; do
        for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    done <"$1"
    rm -f "$1"
}

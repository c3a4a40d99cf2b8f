#!/usr/bin/env bash
# What `make test` runs: Rust's tests, the kubectl suite once more with an old and with a new kubectl, the Python suites,
# and the reference cases on both stores. All of them run, whatever fails; the last line counts.
#
# KYBERN_TEST_VENV: where the Python environment is kept (default: tests/.venv).
# KYBERN_TEST_KUBECTL: where the old kubectl is kept (default: tests/.kubectl).
# KYBERN_TEST_TOOLS: where the new kubectl and Helm are kept (default: tests/.tools).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

logs=target/test-logs
venv=${KYBERN_TEST_VENV:-tests/.venv}
old_kubectl=${KYBERN_TEST_KUBECTL:-tests/.kubectl}
mkdir -p "$logs" "${KYBERN_TEST_TOOLS:=tests/.tools}"
tools=$(realpath "$KYBERN_TEST_TOOLS")
passed=0
failed=0

suite() { # log's name, command...
    local log=$logs/$1.log
    shift
    echo "== $*"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
}

# Adds the numbers that stand before words of a log to the count.
count() { # log's name, word for passed, word for failed
    passed=$((passed + $(numbers "$1" "$2")))
    failed=$((failed + $(numbers "$1" "$3")))
}

numbers() {
    { grep -oE "[0-9]+ $2" "$logs/$1.log" || true; } | awk '{ sum += $1 } END { print sum + 0 }'
}

# A suite that broke down without saying which test failed counts as one failure.
settle() { # failures before
    if ((status != 0 && failed == $1)); then
        failed=$((failed + 1))
    fi
}

rust() {
    # Binaries and tests in one call, so that dependencies are built once, with one set of features.
    suite build cargo build --workspace --bins --tests
    if ((status != 0)); then
        failed=$((failed + 1))
        return
    fi
    suite cargo env HELM="$tools/helm" cargo test --workspace --no-fail-fast
    local before=$failed
    count cargo 'passed;' 'failed;'
    settle "$before"
}

# kubectl 1.36 and Helm 4. The suite that needs them fails where they cannot be had.
fetch_tools() {
    [[ -x $venv/bin/python ]] || python3 -m venv "$venv"
    suite fetch-tools "$venv/bin/python" tests/fetch_tools.py "$venv/bin/python" "$tools"
}

# Debian's kubectl (1.20 in Debian 12), unpacked beside the one that is installed. Clients as old as that are about.
unpack_kubectl() {
    [[ -x $old_kubectl/usr/bin/kubectl ]] && return
    mkdir -p "$old_kubectl"
    # Where the lists of packages were never fetched, they are.
    (cd "$old_kubectl" && { download_kubectl || { apt-get -qq update && download_kubectl; }; } && dpkg-deb -x kubernetes-client_*.deb .)
}

download_kubectl() {
    apt-get -qq -o APT::Sandbox::User=root download kubernetes-client
}

kubectl_of_debian() {
    suite unpack-kubectl unpack_kubectl
    local before=$failed
    if ((status == 0)); then
        kubectl_suite kubectl-of-debian "$(realpath "$old_kubectl")/usr/bin/kubectl"
    fi
    settle "$before"
}

kubectl_of_today() {
    local before=$failed
    kubectl_suite kubectl-of-today "$tools/kubectl"
    settle "$before"
}

kubectl_suite() { # log's name, kubectl
    suite "$1" env KUBECTL="$2" cargo test --workspace --test kubectl -- embedded::
    count "$1" 'passed;' 'failed;'
}

python() {
    suite pip "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/python/requirements.txt
    local before=$failed
    if ((status == 0)); then
        suite python "$venv/bin/python" -m unittest discover --verbose -s tests/python -p 'test_*.py'
        passed=$((passed + $(grep -cE ' \.\.\. ok$' "$logs/python.log")))
        failed=$((failed + $(grep -cE ' \.\.\. (FAIL|ERROR)$' "$logs/python.log")))
    fi
    settle "$before"
}

reference() { # store
    suite "reference-$1" "$venv/bin/python" tests/reference/check.py --store "$1"
    local before=$failed
    count "reference-$1" passed, failed\$
    settle "$before"
}

fetch_tools
rust
if [[ -x target/debug/kybern ]]; then
    kubectl_of_debian
    kubectl_of_today
    python
    reference embedded
    reference etcd
fi
echo "$passed passed, $failed failed"
((failed == 0))

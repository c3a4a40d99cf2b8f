#!/usr/bin/env bash
# Installs what the build and the tests need and the machine lacks: Debian packages; with --lint also cargo-deny.
# Does nothing, quickly, where all of it is there.
set -euo pipefail

packages=()
need() { # command, package
    command -v "$1" >/dev/null 2>&1 || packages+=("$2")
}
need cc gcc
# The allocator is built by its own makefile.
need make make
need etcd etcd-server
need etcdctl etcd-client
need kubectl kubernetes-client
need python3 python3
need curl curl
# The crate etcd-client compiles its .proto files when it is built.
need protoc protobuf-compiler
[[ -e /usr/include/google/protobuf/descriptor.proto ]] || packages+=(libprotobuf-dev)
python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || packages+=(python3-venv)

if ((${#packages[@]})); then
    echo "installing: ${packages[*]}"
    # Packages start their services when they are installed; etcd is started by our own scripts, where they want it.
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if [[ ${1:-} == --lint ]] && ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny"
    cargo install --quiet --locked cargo-deny
fi

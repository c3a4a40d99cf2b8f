#!/usr/bin/env bash
# Stops what up.sh started; its data stays.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
stop_pids "${KYBERN_DIR:-$root/.kybern}/pids"

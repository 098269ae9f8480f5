#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and opens the studio on the demo checkpoint; without a display quantizes it on the command line.
# With arguments: runs lqer with them instead, e.g. scripts/run.sh evaluate MODEL.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/scripts/packages.sh"

installPackages "$root/scripts/packages.txt"
(
    cd -- "$root"
    cmake --preset release >/dev/null
    cmake --build --preset release
) </dev/null >&2

if (($# == 0)); then
    if [[ -n ${DISPLAY:-} || -n ${WAYLAND_DISPLAY:-} ]]; then
        exec "$root/build/release/app/studio/lqer-studio" --demo
    fi
    echo "run.sh: no display here, so the demo runs on the command line" >&2
    set -- run "$root/resources/demo"
fi
exec "$root/build/release/app/cli/lqer" "$@"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds lqer and quantizes the demo checkpoint, all of it on the command line.
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
    set -- run "$root/resources/demo"
fi
exec "$root/build/release/app/cli/lqer" "$@"

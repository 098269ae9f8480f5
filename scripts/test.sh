#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything with warnings as errors and runs all tests. The last line says how it went.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/scripts/packages.sh"

step=install
trap 'status=$?; ((status == 0)) || echo "test.sh: FAILED at step: $step (status $status)"' EXIT

installPackages "$root/scripts/packages.txt"
cd -- "$root"
step=configure
cmake --preset ci </dev/null
step=build
cmake --build --preset ci </dev/null
step=test
ctest --preset ci --parallel "$(nproc)" --no-tests=error </dev/null
echo "test.sh: all tests passed"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Takes resources/screenshots/ from the running studio on the demo checkpoint, under a virtual display. Needs a finished scripts/test.sh
# and the packages xvfb, xauth and openbox.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
exec xvfb-run -a -s "-screen 0 2000x1300x24" bash -c '
    openbox --sm-disable & manager=$!
    trap "kill $manager" EXIT
    QT_QPA_PLATFORM=xcb "$1/build/ci/tests/studio/take_screenshots" "$1/resources/demo" "$1/resources/screenshots"
' _ "$root"

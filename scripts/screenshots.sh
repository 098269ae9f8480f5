#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Takes resources/screenshots/ from the running studio on the demo checkpoint, under a virtual display. Needs a finished scripts/test.sh
# and the packages xvfb, xauth, openbox and pngquant. With arguments: another folder, and --every for each menu, dialog and state as well.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
out=${1:-$root/resources/screenshots}
xvfb-run -a -s "-screen 0 2000x1300x24" bash -c '
    openbox --sm-disable & manager=$!
    trap "kill $manager" EXIT
    root=$1
    shift
    QT_QPA_PLATFORM=xcb "$root/build/ci/tests/studio/take_screenshots" "$root/resources/demo" "$@"
' _ "$root" "$out" "${@:2}"
pngquant --force --ext .png --skip-if-larger --strip "$out"/*.png || [[ $? == 98 || $? == 99 ]]

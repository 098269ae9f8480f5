# SPDX-License-Identifier: Apache-2.0
# Sourced by run.sh and test.sh. installPackages LIST: installs what LIST names and this machine lacks.
# Touches neither apt nor the network when nothing is missing.

installPackages() {
    local list=$1 line package
    local missing=()
    while IFS= read -r line || [[ -n $line ]]; do
        package=${line%%#*}
        package=${package//[[:space:]]/}
        [[ -n $package ]] || continue
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done <"$list"
    ((${#missing[@]})) || return 0

    local root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "Missing packages, and neither root nor sudo to install them. As root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        root=(sudo)
    fi
    echo "Installing ${#missing[@]} packages: ${missing[*]}"
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
    # The lists may be missing (a fresh image) or out of date (an old one): install, else update and install again.
    if "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1; then
        return 0
    fi
    "${apt[@]}" update </dev/null || { sleep 5; "${apt[@]}" update </dev/null; }
    "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null
}

#!/bin/sh
# Installs a Chromium for the tests of the chat page, unless one works already.
# Usage: scripts/browser.sh, with the path of uv in UV; `make browser` runs it.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

works() {
    "$UV" run --quiet --frozen python -m tests.chat_page.browser >"$log" 2>&1
}

apt_get() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get -qy "$@"
    else
        sudo --non-interactive apt-get -qy "$@"
    fi
}

works && exit
echo "No Chromium was found: installing one for the tests of the chat page."
# Playwright downloads it into .uv/browsers; the system's package brings its own libraries, too.
if "$UV" run --quiet --frozen playwright install --only-shell chromium >"$log" 2>&1; then
    works && exit
fi
if command -v apt-get >/dev/null; then
    apt_get update >"$log" 2>&1 &&
        apt_get install --no-install-recommends chromium >"$log" 2>&1 &&
        works && exit
fi
cat "$log" >&2
echo 'error: Chromium could not be installed.' >&2
echo 'hint: install Chromium or Google Chrome, and run this command again.' >&2
exit 1

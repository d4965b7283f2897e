# Sourced by the other scripts: messages, and Debian packages. Never calls sudo: what only an administrator can do, the user
# is told to do.

say() { echo "setup: $*" >&2; }

stop() {
    say "$@"
    exit 1
}

# apt_install PACKAGE...: as root installs them, else says with which command to do so, and ends.
apt_install() {
    command -v apt-get >/dev/null || stop "please install $* with your system's package tool, then run make again"
    [ "$(id -u)" = 0 ] || stop "please run this, then make again:  sudo apt-get install -y $*"
    say "installing Debian packages: $*"
    # A server that comes as a package must not start by itself: tests start their own, and the port may be the user's.
    local policy=/usr/sbin/policy-rc.d made=""
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        made="$policy"
    fi
    local failed=0
    apt-get update -qq || failed=1
    [ "$failed" = 1 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || failed=1
    [ -z "$made" ] || rm -f "$made"
    [ "$failed" = 0 ] || stop "apt-get could not install $*, see above"
}

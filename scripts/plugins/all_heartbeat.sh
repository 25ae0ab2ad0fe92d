#!/bin/sh
# Heartbeats to LMCache's discover service (lmcache.tools.simple_discover_service), or to any URL.
#
# A GET of URL?api_address=...&pid=...&version=...&other_info=... every few seconds, by curl or
# wget, says that the process this plugin is attached to is alive. When the beats end, so has it.
#
# Settings: see README.md beside this file (extra_config, plugin.all_heartbeat.*). They are read
# through the launcher's `get`; its parent is the launcher, so nothing has to be installed.
set -eu

MAX_DELAY=60 # seconds between two tries while the service is away

# A shell runs a trap only between commands: so whatever takes time is in the background and
# waited for. What `wait` has to say of a child that was terminated is of no interest.
child=
trap 'echo stopped; [ -z "$child" ] || kill "$child" 2>/dev/null || true; exit 0' TERM INT
in_background() {
    "$@" &
    child=$!
    status=0
    wait "$child" 2>/dev/null || status=$?
    child=
    return "$status"
}
nap() { exec sleep "$1"; }

case "$(readlink "/proc/$PPID/exe" || true)" in
*/lmcache-plugin-launcher*) launcher=/proc/$PPID/exe ;;
*) launcher=$(command -v lmcache-plugin-launcher || true) ;;
esac

# value POINTER DEFAULT
value() {
    "$launcher" get "$1" --default "$2"
}

# setting NAME DEFAULT: engines and the multiprocess server keep their extra settings apart.
setting() {
    value "/extra_config/plugin.all_heartbeat.$1" "$(value "/runtime_plugin_extra_config/plugin.all_heartbeat.$1" "$2")"
}

# encode TEXT: every byte as %XX, which is always right in a query.
encode() {
    printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# The port of LMCache's internal API server: its start for the scheduler, start + 1 + N for worker N.
port() {
    start=$(value /internal_api_server_port_start 6999)
    case "${LMCACHE_PLUGIN_ROLE:-}" in
    [Ss][Cc][Hh][Ee][Dd][Uu][Ll][Ee][Rr]) echo "$start" ;;
    *) value /http_config/http_port $((start + 1 + ${LMCACHE_PLUGIN_WORKER_ID:-0})) ;;
    esac
}

if [ -z "$launcher" ]; then
    echo "not enabled: no lmcache-plugin-launcher above us or on PATH to read the settings with"
    exit 0
fi
url=$(setting url "")
if [ -z "$url" ]; then
    echo "not enabled: set plugin.all_heartbeat.url to the URL that takes the heartbeats"
    exit 0
fi
interval=$(setting interval 10)
timeout=$(setting timeout 5)

if command -v curl >/dev/null; then
    get="curl -fsS -o /dev/null --max-time $timeout --"
elif command -v wget >/dev/null; then
    # Not -T: busybox 1.35, which Debian 12 has, crashes of it.
    get="timeout $timeout wget -q -O /dev/null --"
elif command -v busybox >/dev/null; then
    get="busybox timeout $timeout busybox wget -q -O /dev/null --"
else
    echo "neither curl nor wget nor busybox is here to send heartbeats with"
    exit 1
fi

target=$url
if [ "$(setting parameters true)" = true ]; then
    read -r host </proc/sys/kernel/hostname
    case "$url" in *\?*) target="$url&" ;; *) target="$url?" ;; esac
    target="${target}api_address=$(encode "$(setting api_address "http://$host:$(port)")")"
    target="$target&pid=${LMCACHE_PLUGIN_PARENT_PID:-$PPID}"
    target="$target&version=$(encode "$(setting version unknown)")"
    target="$target&other_info=$(encode "$(setting other_info \
        "{\"role\":\"${LMCACHE_PLUGIN_ROLE:-}\",\"worker_id\":${LMCACHE_PLUGIN_WORKER_ID:-0},\"worker_count\":${LMCACHE_PLUGIN_WORKER_COUNT:-1}}")")"
fi

beat() {
    [ "$state" != away ] || exec 2>/dev/null # curl said once what is wrong: not at every try
    exec $get "$target"
}

echo "heartbeats to $url every ${interval}s"
state=unknown # then ok or away
while :; do
    if in_background beat; then
        [ "$state" = ok ] || echo "$url takes our heartbeats"
        state=ok pause=$interval retry=1
    else
        [ "$state" = away ] || echo "$url is away, trying on"
        [ "$state" = away ] || retry=1
        state=away pause=$retry
        retry=$((retry * 2 < MAX_DELAY ? retry * 2 : MAX_DELAY))
    fi
    in_background nap "$pause" || true
done

#!/bin/sh
# Example: a plugin in shell that runs everywhere (its name begins with "all").
#
# It shows all that a plugin is given: role, worker id, worker count, the configuration
# (a shell asks the launcher for a value, `get POINTER`), and a SIGTERM when it is time to go.
#
# extra_config: plugin.all_plugin.interval   seconds between two lines, from 0.1 (10)
set -eu

launcher=${LMCACHE_PLUGIN_LAUNCHER_BIN:-lmcache-plugin-launcher}

# setting NAME DEFAULT: engines and the multiprocess server name the mapping differently.
setting() {
    for map in extra_config runtime_plugin_extra_config; do
        "$launcher" get "/$map/plugin.all_plugin.$1" 2>/dev/null && return
    done
    echo "$2"
}

interval=$(setting interval 10)
case $interval in # a sleep that fails at once would make a loop without a pause
"" | *[!0-9.]* | .* | *. | *.*.* | 0 | 0[0-9]* | 0.0* | ??????????*)
    echo "plugin.all_plugin.interval is to be a number of seconds from 0.1" >&2
    exit 2
    ;;
esac
beat=0
nap=

# A shell runs a trap only between commands, so the sleep is in the background and waited for.
trap 'echo "SIGTERM received after $beat beats, leaving"; [ -z "$nap" ] || kill "$nap" 2>/dev/null || true; exit 0' TERM INT

echo "role ${LMCACHE_PLUGIN_ROLE:-(none)}, worker ${LMCACHE_PLUGIN_WORKER_ID:-0} of ${LMCACHE_PLUGIN_WORKER_COUNT:-1}, a line every ${interval}s"
while :; do
    sleep "$interval" &
    nap=$!
    wait "$nap" 2>/dev/null || [ $? -gt 128 ] || exit 1 # stderr: that it was terminated, like us
    beat=$((beat + 1))
    echo "alive, beat $beat"
done

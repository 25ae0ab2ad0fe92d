#!/bin/sh
# Example: a plugin in shell that runs everywhere (its name begins with "all").
#
# It shows all that a plugin is given: role, worker id, worker count, the configuration
# (a shell asks the launcher for a value, `get POINTER`), and a SIGTERM when it is time to go.
#
# extra_config: plugin.all_plugin.interval   seconds between two lines (10)
set -eu

# The launcher is our parent; started by hand, we take the one on PATH or go without.
case "$(readlink "/proc/$PPID/exe" || true)" in
*/lmcache-plugin-launcher*) launcher=/proc/$PPID/exe ;;
*) launcher=$(command -v lmcache-plugin-launcher || true) ;;
esac

# setting KEY DEFAULT: engines and the multiprocess server name the mapping differently.
setting() {
    if [ -n "$launcher" ]; then
        for map in extra_config runtime_plugin_extra_config; do
            "$launcher" get "/$map/$1" 2>/dev/null && return
        done
    fi
    echo "$2"
}

interval=$(setting plugin.all_plugin.interval 10)
beat=0
nap=

# A shell runs a trap only between commands, so the sleep is in the background and waited for.
trap 'echo "SIGTERM received after $beat beats, leaving"; [ -z "$nap" ] || kill "$nap" 2>/dev/null || true; exit 0' TERM INT

echo "role ${LMCACHE_PLUGIN_ROLE:-(none)}, worker ${LMCACHE_PLUGIN_WORKER_ID:-0} of ${LMCACHE_PLUGIN_WORKER_COUNT:-1}, a line every ${interval}s"
while :; do
    sleep "$interval" &
    nap=$!
    wait "$nap" 2>/dev/null || true # stderr: the sleep is terminated too, no need to say so
    beat=$((beat + 1))
    echo "alive, beat $beat"
done

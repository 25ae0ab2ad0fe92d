#!/bin/sh
# Example: a plugin that runs only in the worker with id 0 (the second part of its name).
#
# It looks at what it was given, says so, and then waits for its SIGTERM: the way of a plugin
# that sets something up in one worker of many and takes it down again at the end.
#
# extra_config: plugin.worker_0_test.greeting   what it says at the start ("hello")
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

role=${LMCACHE_PLUGIN_ROLE:-(none)}
worker_id=${LMCACHE_PLUGIN_WORKER_ID:-0}
config=${LMCACHE_PLUGIN_CONFIG:-}

echo "$(setting plugin.worker_0_test.greeting hello) from role $role, worker $worker_id of ${LMCACHE_PLUGIN_WORKER_COUNT:-1}"
if [ -n "$config" ]; then
    echo "configuration: ${#config} characters of JSON"
else
    echo "configuration: none"
fi

# A sleep of a day at a time is only there to be interrupted: the trap runs as soon as `wait` is.
trap 'echo "SIGTERM received, leaving"; kill "$nap" 2>/dev/null || true; exit 0' TERM INT
while :; do
    sleep 86400 &
    nap=$!
    wait "$nap" 2>/dev/null || true # stderr: the sleep is terminated too, no need to say so
done

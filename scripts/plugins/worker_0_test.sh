#!/bin/sh
# Example: a plugin that runs only in the worker with id 0 (the second part of its name).
#
# It looks at what it was given, says so, and then waits for its SIGTERM: the way of a plugin
# that sets something up in one worker of many and takes it down again at the end.
#
# extra_config: plugin.worker_0_test.greeting   what it says at the start ("hello")
set -eu

launcher=${LMCACHE_PLUGIN_LAUNCHER_BIN:-lmcache-plugin-launcher}

# setting NAME DEFAULT: engines and the multiprocess server name the mapping differently.
setting() {
    for map in extra_config runtime_plugin_extra_config; do
        "$launcher" get "/$map/plugin.worker_0_test.$1" 2>/dev/null && return
    done
    echo "$2"
}

greeting=$(setting greeting hello)
case $greeting in
"" | null | "["* | "{"*)
    echo "plugin.worker_0_test.greeting is to be a text" >&2
    exit 2
    ;;
esac
role=${LMCACHE_PLUGIN_ROLE:-(none)}
worker_id=${LMCACHE_PLUGIN_WORKER_ID:-0}
config=${LMCACHE_PLUGIN_CONFIG:-}

echo "$greeting from role $role, worker $worker_id of ${LMCACHE_PLUGIN_WORKER_COUNT:-1}"
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
    wait "$nap" 2>/dev/null || [ $? -gt 128 ] || exit 1 # stderr: that it was terminated, like us
done

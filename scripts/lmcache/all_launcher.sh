#!/bin/sh
# all_launcher.sh: an LMCache plugin that runs all the others.
#
# Name this file in `runtime_plugin_locations`, and the real plugins in one of
#     extra_config:
#       plugin.launcher.locations: [/path/to/plugins]
#     LMCACHE_LAUNCHER_LOCATIONS=/path/to/plugins       (one path, or a JSON array)
# Role, worker id, worker count and configuration are those that LMCache gives
# to this plugin. Keep it out of the plugins' own directory.
#
# LMCACHE_PLUGIN_LAUNCHER_BIN   the launcher; else from PATH, else beside this file
# LMCACHE_LAUNCHER_OPTIONS      more options for it, such as --restart on-failure
set -eu

fail() {
    echo "all_launcher.sh: $1" >&2
    exit "$2"
}

case $0 in
    */*) here=${0%/*} ;;
    *) here=. ;;
esac
launcher=${LMCACHE_PLUGIN_LAUNCHER_BIN:-}
: "${launcher:=$(command -v lmcache-plugin-launcher || echo "$here/lmcache-plugin-launcher")}"
command -v "$launcher" >/dev/null || fail "cannot find $launcher: set LMCACHE_PLUGIN_LAUNCHER_BIN" 127

locations=${LMCACHE_LAUNCHER_LOCATIONS:-}
# The multiprocess server keeps its extra configuration under the second name.
for section in extra_config runtime_plugin_extra_config; do
    [ -n "$locations" ] ||
        locations=$("$launcher" get --default '' "/$section/plugin.launcher.locations") || exit
done
[ -n "$locations" ] || fail "no plugins: set extra_config plugin.launcher.locations in lmcache.yaml, or LMCACHE_LAUNCHER_LOCATIONS" 2
# Of the two variables the older one would count.
unset LMCACHE_PLUGIN_LOCATIONS
export LMCACHE_RUNTIME_PLUGIN_LOCATIONS="$locations"

# exec: the process that LMCache holds, and stops, is the launcher itself.
# --parent-fd 1: LMCache is gone when no one reads our output any more, which
# holds even if it died before the launcher could look at its parent.
# Unquoted on purpose: the options are words.
# shellcheck disable=SC2086
exec "$launcher" run --parent-fd 1 ${LMCACHE_LAUNCHER_OPTIONS:-}

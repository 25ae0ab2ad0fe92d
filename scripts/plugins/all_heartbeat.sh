#!/bin/sh
# Heartbeats to LMCache's discover service (lmcache.tools.simple_discover_service), or to any URL.
#
# A GET of URL?api_address=...&pid=...&version=...&other_info=... every few seconds, by curl or
# wget, says that the process this plugin is attached to is alive. When the beats end, so has it.
# Only a status of 2xx counts: who is redirected has not been heard.
#
# Settings: see README.md beside this file (extra_config, plugin.all_heartbeat.*). They are read
# with the launcher's `get`, so nothing has to be installed.
set -euf
LC_ALL=C
export LC_ALL
IFS='
' # names and headers are lines

NAME=all_heartbeat
SETTINGS="url parameters api_address node version other_info interval timeout headers bearer_token_file ca_file cert_file key_file"
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

# ---- settings: the same lines in each plugin in shell, see README.md ----

launcher=${LMCACHE_PLUGIN_LAUNCHER_BIN:-lmcache-plugin-launcher}

# wrong WHAT: one line, which names a setting and never its value.
wrong() {
    echo "$1" >&2
    exit 2
}

# names JSON: those of a mapping. Without what is escaped, that is what stands in quotes before a colon.
names() {
    printf '%s\n' "$1" | sed 's/\\./ /g; s/[{,]/\
/g' | sed -n 's/^ *"\([^"]*\)" *:.*/\1/p'
}

# setting NAME DEFAULT: null counts only where it is the default.
setting() {
    "$launcher" get "$extra/plugin.$NAME.$1" --default "$2"
}

# seconds NAME DEFAULT HIGH: a number from 0.1.
seconds() {
    found=$(setting "$1" "$2")
    case $found in
    "" | *[!0-9.]* | .* | *. | *.*.* | 0 | 0[0-9]* | 0.0* | ??????????*) found=-1 ;;
    esac
    [ "${found%%.*}" -ge 0 ] && [ "${found%%.*}" -lt "$3" ] || wrong "plugin.$NAME.$1 is to be a number from 0.1 to below $3"
    echo "$found"
}

# text NAME DEFAULT: printable ASCII, without what would have to be escaped.
text() {
    found=$(setting "$1" "$2")
    [ "$found" != null ] || [ -n "$2" ] || found=
    case $found in null | *[!\ -~]* | *[\"\\]*) wrong "plugin.$NAME.$1 is to be printable ASCII without quote and backslash" ;; esac
    printf %s "$found"
}

if ! command -v "$launcher" >/dev/null; then
    echo "cannot read settings: neither LMCACHE_PLUGIN_LAUNCHER_BIN nor PATH leads to the launcher" >&2
    exit 1
fi
# Engines and the multiprocess server name this mapping differently.
extra=/extra_config
given=$("$launcher" get $extra --default null)
if [ "$given" = null ]; then
    extra=/runtime_plugin_extra_config
    given=$("$launcher" get $extra --default null)
fi
for name in $(names "$given" | sed -n "s/^plugin\.$NAME\.//p"); do
    case " $SETTINGS " in *" $name "*) ;; *) wrong "plugin.$NAME.$name is no setting; there are $SETTINGS" ;; esac
done

# ---- our own ----

url=$(text url "")
case $url in
*[!!-~]*) wrong "plugin.$NAME.url is to be a URL" ;;
http://?* | https://?* | "") ;;
*://* | /*) wrong "plugin.$NAME.url is to be a URL of http or https" ;;
*) url=http://$url ;;
esac
interval=$(seconds interval 10 86401)
timeout=$(seconds timeout 5 3601)
parameters=$(setting parameters true)
case $parameters in true | false) ;; *) wrong "plugin.$NAME.parameters is to be true or false" ;; esac
version=$(text version unknown)
node=$(text node "")
api_address=$(text api_address "")
other_info=$(setting other_info null)
token_file=$(text bearer_token_file "")
ca_file=$(text ca_file "")
cert_file=$(text cert_file "")
key_file=$(text key_file "")

# Lines `NAME: VALUE`.
fields=
mapping=$(setting headers null)
case $mapping in
null) ;;
"{"*"}")
    for name in $(names "$mapping"); do
        case $name in *[!A-Za-z0-9_-]*) wrong "plugin.$NAME.headers is to be a mapping of header names to texts" ;; esac
        fields="$fields$name: $(text "headers/$name" "")
"
    done
    ;;
*) wrong "plugin.$NAME.headers is to be a mapping of header names to texts" ;;
esac

if [ -z "$url" ]; then
    echo "not enabled: set plugin.$NAME.url to the URL that takes the heartbeats"
    exit 0
fi

# shown URL: without what may be secret.
shown() {
    printf %s "$1" | sed 's|//[^/?#]*@|//|; s|[?#].*||'
}

# encode TEXT: every byte as %XX, which is always right in a query.
encode() {
    printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'
}

# value POINTER DEFAULT: of LMCache's own.
value() {
    found=$("$launcher" get "$1" --default "$2")
    [ "$found" != null ] || found=$2
    printf %s "$found"
}

# How LMCache's HTTP API on this node is reached, should it listen on more than the loopback
# interface; where it has none, the node's name and ours.
address() {
    read -r host </proc/sys/kernel/hostname
    bound=$(value /http_config/http_host "$(value /internal_api_server_host 0.0.0.0)")
    case $bound in 0.0.0.0 | :: | "[::]" | "" | 127.0.0.1 | localhost | ::1) bound=${POD_IP:-$host} ;; esac
    [ -z "$node" ] || bound=$node
    case $bound in "["*) ;; *:*:*) bound="[$bound]" ;; esac

    # Its port is the start for the scheduler (index 0), and start + 1 + N for worker N.
    case ${LMCACHE_PLUGIN_WORKER_ID:-0} in *[!0-9]* | "") worker=0 ;; *) worker=$(printf %s "${LMCACHE_PLUGIN_WORKER_ID:-0}" | sed 's/^0*\(.\)/\1/') ;; esac
    case ${LMCACHE_PLUGIN_ROLE:-} in [Ss][Cc][Hh][Ee][Dd][Uu][Ll][Ee][Rr]) index=0 ;; *) index=$((worker + 1)) ;; esac
    start=$(value /internal_api_server_port_start 6999)
    case $start in "" | *[!0-9]* | 0* | ??????*) wrong "internal_api_server_port_start is to be a port" ;; esac
    port=$(value /http_config/http_port $((start + index)))
    listed=$(value /internal_api_server_include_index_list "" | tr -d '[] ')
    case ,$listed, in ,, | *,$index,*) enabled=$(value /internal_api_server_enabled true) ;; *) enabled=false ;; esac
    [ -z "$(value /internal_api_server_socket_path_prefix "")" ] || enabled=false
    if [ "$enabled" = true ]; then
        echo "http://$bound:$port"
    else
        echo "$bound/${LMCACHE_PLUGIN_ROLE:-none}/$worker"
    fi
}

if command -v curl >/dev/null; then
    tool=curl
elif command -v wget >/dev/null && wget --version >/dev/null 2>&1; then
    tool=wget
else
    tool=
    ! command -v busybox >/dev/null || tool=busybox
    command -v wget >/dev/null || [ -n "$tool" ] || {
        echo "neither curl nor wget nor busybox is here to send heartbeats with" >&2
        exit 1
    }
    if [ -n "$ca_file$cert_file$key_file" ]; then
        echo "ca_file, cert_file and key_file need curl or GNU wget: busybox does not verify" >&2
        exit 1
    fi
fi

target=$url
if [ "$parameters" = true ]; then
    case $url in *\?*) target="$url&" ;; *) target="$url?" ;; esac
    [ -n "$api_address" ] || api_address=$(address)
    [ "$other_info" != null ] || other_info="{\"role\":\"${LMCACHE_PLUGIN_ROLE:-}\",\"worker_id\":${LMCACHE_PLUGIN_WORKER_ID:-0},\"worker_count\":${LMCACHE_PLUGIN_WORKER_COUNT:-1}}"
    target="${target}api_address=$(encode "$api_address")&pid=${LMCACHE_PLUGIN_PARENT_PID:-$PPID}"
    target="$target&version=$(encode "$version")&other_info=$(encode "$other_info")"
fi

# One heartbeat; the status line and the Location of each answer, or what went wrong.
get() {
    if [ -n "$token_file" ]; then
        token=
        read -r token <"$token_file" || [ -n "$token" ] || return 1
        case $token in "" | *[!A-Za-z0-9._~+/=-]*) echo "no token in bearer_token_file" && return 1 ;; esac
        fields="${fields}Authorization: Bearer $token
"
    fi
    if [ $tool = curl ]; then # told on stdin: arguments are seen by everybody
        { echo "url = \"$target\"" && printf %s "$fields" | sed 's/.*/header = "&"/'; } |
            curl -q -g -sS -o /dev/null --max-time "$timeout" -w 'HTTP/ %{http_code}\nLocation: %{redirect_url}\n' \
                ${ca_file:+--cacert} ${ca_file:+"$ca_file"} ${cert_file:+--cert} ${cert_file:+"$cert_file"} ${key_file:+--key} ${key_file:+"$key_file"} -K -
        return
    fi
    for field in $fields; do
        set -- "$@" --header "$field"
    done
    if [ "$tool" = wget ]; then
        printf '%s\n' "$target" | timeout "$timeout" wget --no-config -q -S -O /dev/null --tries=1 --max-redirect=0 --auth-no-challenge \
            ${ca_file:+"--ca-certificate=$ca_file"} ${cert_file:+"--certificate=$cert_file"} ${key_file:+"--private-key=$key_file"} "$@" -i -
    else # not wget's own -T: busybox 1.35, which Debian 12 has, crashes of it
        whole=${timeout%.*}
        [ "$whole" = "$timeout" ] || whole=$((whole + 1))
        $tool timeout "$whole" $tool wget -q -S -O /dev/null "$@" -- "$target"
    fi
}

# Says what has changed. Ends with 0, with the status of curl or wget (below 100, or 124 of timeout), or
# with one that stands for that of HTTP: from 100 on, since the statuses that are in use fit in eight bits.
beat() {
    result=0
    answer=$(get 2>&1 </dev/null) || result=$?
    code=$(printf '%s\n' "$answer" | sed -n '/^ *HTTP\/[0-9.]* */{s///;s/^\(...\).*/\1/p;q;}')
    case $code in
    2[0-9][0-9]) result=0 ;;
    [3-5][0-9][0-9])
        result=$((code % 150 + 100)) reason="HTTP $code"
        location=$(printf '%s\n' "$answer" | sed -n '/^ *Location: */{s///p;q;}')
        [ -z "$location" ] || reason="$reason, which leads to $(shown "$location")"
        ;;
    *)
        [ $result != 0 ] || result=1
        reason=$(printf '%s\n' "$answer" | sed -n '/^curl: ([0-9]*) \|^wget: /{s///p;q;}')
        case $result$tool in
        124* | 143*) reason="no answer within ${timeout}s" ;;
        4wget) reason="not reached" ;;
        5wget) reason="certificate not accepted" ;;
        esac
        case $answer in *bearer_token_file* | *"$token_file"*) [ -z "$token_file" ] || reason="no token in bearer_token_file" ;; esac
        [ -n "$reason" ] || reason="${tool:-wget} ended with $result"
        ;;
    esac
    if [ $result != "$last" ]; then
        [ $result = 0 ] && echo "$(shown "$url") takes our heartbeats" || echo "$(shown "$url") is away, trying on: $reason"
    fi
    exit $result
}

echo "heartbeats to $(shown "$url") every ${interval}s${api_address:+, as $api_address}"
last=unknown retry=1
while :; do
    result=0
    in_background beat || result=$?
    last=$result
    if [ $result = 0 ]; then
        pause=$interval retry=1
    else
        pause=$retry
        retry=$((retry * 2 < MAX_DELAY ? retry * 2 : MAX_DELAY))
    fi
    in_background nap "$pause" || true
done

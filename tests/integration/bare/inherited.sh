# shellcheck shell=sh
# What a process has from whoever started it, but for its numbers.
exec >>seen
grep -E '^(Umask|Groups|NoNewPrivs|Seccomp|Cap.*|Sig(Blk|Ign|Cgt)|Cpus_allowed|CoreDumping):' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/coredump_filter /proc/self/timerslack_ns /proc/self/cgroup
echo "nice $(nice) directory $(pwd)"
for fd in /proc/"$$"/fd/*; do
    case ${fd##*/} in 255 | 10) ;; *) echo "fd ${fd##*/} $(readlink "$fd" | sed 's/:.*//; s/pts.*/pts/')" ;; esac
done
env | grep -vE '^(LMCACHE_PLUGIN_LAUNCHER_BIN|LISTEN_PID|UNDER|_)=' | sort
read -r _ _ _ _ group session terminal foreground _ </proc/$$/stat
read -r _ _ _ _ of_top session_of_top _ </proc/"$(cat top)"/stat
[ "$group" = "$of_top" ] && echo "in the group of the process that was started"
[ "$session" = "$session_of_top" ] && echo "in its session"
[ "$terminal" != 0 ] && echo "has a terminal"
[ "$foreground" = "$group" ] && echo "in the foreground"
[ -t 0 ] && stty -a
[ "${LISTEN_PID:-}" = $$ ] && echo "sockets are for it"
echo 'done'

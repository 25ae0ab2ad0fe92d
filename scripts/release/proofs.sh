# Sourced by scripts/package: what its proofs share - roots to run in, README's blocks, the table of
# what was followed.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154,SC2119,SC2120 # names of tools.sh, and for the proofs

work=$package/work
distrib=$root/target/distrib # dist's own directory
built=$distrib/$name-x86_64-unknown-linux-musl/$name # what this machine can run

proved() { printf 'proved: %s\n' "$*"; }

# --- Binaries ------------------------------------------------------------------

# $1: a binary. Nothing of the system that runs it is needed to load it.
prove_static() {
    readelf -lW "$1" >"$work/headers" || fail "$1 is not an ELF file"
    grep -q INTERP "$work/headers" && fail "$1 asks for an interpreter"
    readelf -dW "$1" | grep -q NEEDED && fail "$1 asks for shared libraries"
    proved "static, no interpreter, no libraries: $(readelf -hW "$1" | sed -n 's/ *Machine: *//p')"
}

# $1: a directory to make a plugin in.
write_plugin() {
    mkdir -p "$1"
    printf '#!/bin/sh\necho "hello from pid $$"\n' >"$1/all_hello.sh"
}

# $1: what a launcher printed that ran that plugin
is_greeting() { printf '%s\n' "$1" | grep -q '^\[all_hello\.sh\] hello from pid [0-9]*$'; }

# $@: a command that is the launcher. It runs a plugin here.
prove_runs() {
    write_plugin "$work/plugins"
    lines=$(timeout 120 "$@" run "$work/plugins") || fail "$*: run: status $?: $lines"
    is_greeting "$lines" || fail "$*: the plugin was not heard: $lines"
}

# --- Roots that hold nothing else ------------------------------------------------

# Directories to make in a new root.
new_root() {
    rm -rf "$work/root"
    mkdir -p "$work/root"
    for directory in "$@"; do mkdir -p "$work/root/$directory"; done
}

# Puts a shell and its tools into the root: busybox, /dev/null and nothing else.
add_busybox() {
    mkdir -p "$work/root/bin" "$work/root/dev" "$work/root/tmp"
    mknod -m 666 "$work/root/dev/null" c 1 3
    cp "$(command -v busybox)" "$work/root/bin/busybox"
    chroot "$work/root" /bin/busybox --install -s /bin
}

# Runs a command in the root, without a network, its /proc gone with it.
in_root() {
    mkdir -p "$work/root/proc"
    timeout 120 unshare --net --mount --pid --fork --kill-child --mount-proc="$work/root/proc" \
        chroot "$work/root" /bin/busybox env -i PATH=/usr/local/bin:/bin HOME=/tmp "$@"
}

# $1: a binary
prove_empty_root() {
    new_root
    cp "$1" "$work/root/$name"
    version=$(timeout 120 chroot "$work/root" "/$name" --version) || fail "does not run in an empty root"
    proved "runs in an empty root: $version"
    add_busybox
    write_plugin "$work/root/plugins"
    lines=$(in_root "/$name" run /plugins) || fail "run: status $? in a busybox root: $lines"
    is_greeting "$lines" || fail "the plugin was not heard in a busybox root: $lines"
    proved "runs a plugin where there is only busybox"
}

# --- README, followed to the letter ----------------------------------------------

# $1: a heading of README. Prints the first shell block below it; with $2, that line of it.
readme() {
    block=$(awk -v heading="$1" '
        /^```/ { fenced = !fenced; if (shell) exit; shell = fenced && here && /^```sh$/; next }
        !fenced && /^#/ { here = $0; sub(/^#+ /, "", here); here = (here == heading) }
        shell
    ' "$root/README.md" | sed -n "${2:-1,\$}p")
    [ -n "$block" ] || fail "README.md has no shell block under \"$1\"${2:+ with a line $2}"
    printf '%s\n' "$block"
}

# $1: a command that README names within a sentence. Prints it.
readme_inline() {
    tr '\n' ' ' <"$root/README.md" | grep -qF "\`$1\`" || fail "README.md does not name \`$1\`"
    printf '%s\n' "$1"
}

# $1: where; $@: a command that runs a shell text there, in an empty directory. What README shows
# first, as somebody does who has just installed it.
prove_first_steps() {
    where=$1
    shift
    lines=$("$@" "$(readme "Quick start" | sed '/^pip /d')") || fail "README, Quick start: $where: $lines"
    printf '%s\n' "$lines" | grep -q '^\[worker_hi\.sh\] .*worker$' || fail "README, Quick start: $where: $lines"
    followed "Quick start" "$where" "heard"
    lines=$("$@" "$(readme "Your first plugin")") || fail "README, Your first plugin: $where: $lines"
    printf '%s\n' "$lines" | grep -q '^\[all_memory\.sh\] VmRSS:.* kB$' || fail "README, Your first plugin: $where: $lines"
    followed "Your first plugin" "$where" "checked, run, given its setting"
}

# $1: the command; $2: where it was followed; $3: what that gave. A row of the table.
followed() {
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/table"
    proved "README, $1: $2: $3"
}

print_table() { sed '1i\README\twhere\tresult' "$work/table" | column -t -s "$(printf '\t')"; }

# $1: a file, one byte of which is changed.
tamper() {
    middle=$(($(stat -c %s "$1") / 2))
    byte=$(od -An -tu1 -j "$middle" -N 1 "$1")
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$middle" conv=notrunc status=none
}

# $1: a prefix that something was installed below. What lies beside the binary is all there.
prove_share() {
    diff -r --exclude=__pycache__ "$stage/share/$name" "$1/share/$name" || fail "$1/share/$name is not what was laid out"
    for page in man1/$name.1 man5/$name.5; do
        { cat "$1/share/man/$page" 2>/dev/null || gzip -dc "$1/share/man/$page.gz"; } |
            cmp - "$stage/share/man/$page" || fail "$1 has no man page $page"
    done
}

# $1: a prefix. Nothing of the launcher is left below it.
prove_gone() {
    left=$(find "$1" -name '*lmcache*plugin*launcher*')
    [ -z "$left" ] || fail "left behind: $left"
}

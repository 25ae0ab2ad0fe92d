# Sourced by scripts/package: the sources, as README says to use them.
# shellcheck shell=sh
# shellcheck disable=SC2154,SC2016,SC2088 # names of tools.sh; text for another shell, or to read

somebody=54321 # no user of this machine

# Runs a shell text in a copy of the sources as a user who is not root, with an empty home and cargo
# home, no C compiler and no network. What rustup has is the machine's, and may be written to.
as_somebody() {
    unshare --net --mount --pid --fork --kill-child sh -euc '
        mount -t proc proc /proc
        for compiler in cc gcc c99 clang ld; do
            path=$(command -v $compiler) && mount --bind "$1/no-compiler" "$(realpath "$path")"
        done
        mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/home/.rustup"
        # Where others get to, whatever the directories above the sources say.
        mount --rbind "$1" /mnt
        cd /mnt/source
        exec setpriv --reuid "$3" --regid "$3" --clear-groups --no-new-privs env -i \
            PATH=/mnt/tools:/usr/local/bin:/usr/bin:/bin HOME=/mnt/home RUSTUP_TOOLCHAIN="$4" sh -euc "$5"
    ' sh "$work/somebody" "$(rustup show home)" "$somebody" "$(rustup show active-toolchain | cut -d ' ' -f 1)" "$1"
}

# A home, the sources as they would be checked out, and rustup's proxies.
make_somebody() {
    rm -rf "$work/somebody"
    (
        umask 022
        mkdir -p "$work/somebody"
        cd "$work/somebody" || exit
        mkdir -p home/.rustup source upper work tools
        printf '#!/bin/sh\necho "there is no C compiler" >&2\nexit 1\n' >no-compiler
        chmod 755 no-compiler
        rustup=$(realpath "$(command -v rustup)")
        for tool in rustup cargo rustc rustdoc; do cp "$rustup" "tools/$tool"; done
        tar c -C "$root" --exclude=./target --exclude=./.git . | tar x -C source
        chown -R "$somebody:$somebody" home source upper
    )
}

prove_source() {
    run=$(readme "From the source" 1)
    test=$(readme "From the source" 2)
    install=$(readme "From the source" 3)
    cargo_bin=$work/somebody/home/.cargo/bin
    make_somebody
    as_somebody 'cc --version || [ -w /mnt/tools ] || [ -e ~/.cargo ]' >/dev/null 2>&1 && fail "there is a C compiler, or more than there should be"

    # It runs until it is told to stop, which is when a plugin has said something; the log ends when
    # no process is left that could write to it.
    as_somebody "
        mkfifo log
        setsid sh -c '$run' >log 2>&1 &
        while read -r line; do
            echo \"\$line\"
            case \$line in '[all_plugin.sh]'*) kill -s TERM -- -\$! || : ;; esac
        done <log
    " >"$work/source.log" 2>&1 || fail "README, From the source, line 1: $(cat "$work/source.log")"
    grep -q '^\[all_plugin\.sh\]' "$work/source.log" || fail "README, From the source, line 1: $(cat "$work/source.log")"
    followed "From the source, line 1" "uid $somebody, no C compiler, empty cargo home" "runs the example plugins"

    as_somebody "$install" || fail "README, From the source, line 3: status $?"
    prove_static "$cargo_bin/$name"
    prove_runs "$cargo_bin/$name"
    followed "From the source, line 3" "the same" '~/.cargo/bin, static'

    as_somebody "$test" >"$work/source.log" 2>&1 || fail "README, From the source, line 2: $(tail -50 "$work/source.log")"
    grep -q '^test result: ok' "$work/source.log" || fail "no test was run"
    followed "From the source, line 2" "the same" "$(grep -c '^test .* ok$' "$work/source.log") tests pass"
}

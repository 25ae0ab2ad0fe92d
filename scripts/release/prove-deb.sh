# Sourced by scripts/package: the Debian packages.
# shellcheck shell=sh
# shellcheck disable=SC2154,SC2016 # names of tools.sh; text for another shell, or to read

# Lint, and the same binary as in the archives.
prove_debs() {
    lintian --profile debian --fail-on error,warning --allow-root "$release"/*.deb || fail "lintian"
    proved "lintian has nothing to say"
    for pair in amd64:x86_64-unknown-linux-musl arm64:aarch64-unknown-linux-musl; do
        deb=$release/${name}_${pair%%:*}.deb
        [ "$(dpkg-deb --field "$deb" Architecture)" = "${pair%%:*}" ] || fail "$deb is of another architecture"
        rm -rf "$work/deb"
        dpkg-deb --extract "$deb" "$work/deb"
        cmp "$work/deb/usr/bin/$name" "$distrib/$name-${pair#*:}/$name" || fail "the binary in $deb is not the archive's"
        prove_share "$work/deb/usr"
        proved "${deb##*/}: the archive's binary and all that lies beside it"
    done
}

# Runs a command in a copy of this system that is thrown away, without a network.
in_a_copy() {
    mkdir -p "$work/copy/upper" "$work/copy/work" "$work/copy/root"
    unshare --net --mount --pid --fork --kill-child sh -euc '
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
        mount -t proc proc "$1/root/proc"
        mount --rbind /dev "$1/root/dev"
        copy=$1 directory=$2
        shift 2
        exec chroot "$copy/root" sh -euc "cd \"\$1\"; shift; exec \"\$@\"" sh "$directory" "$@"
    ' sh "$work/copy" "$@"
}

prove_apt() {
    rm -rf "$work/copy" "$work/carried"
    mkdir -p "$work/carried"
    cp "$release/${name}_$(dpkg --print-architecture).deb" "$work/carried/"
    install=$(readme "As a Debian package")
    in_a_copy "$work/carried" sh -euc "
        echo 'APT::Get::Assume-Yes \"true\";' >/etc/apt/apt.conf.d/99yes
        $install
        command -v $name
        man --where 1 $name && man --where 5 $name || ls /usr/share/man/man[15]/$name.*
        $(readme_inline "apt remove") $name
        dpkg --audit
    " >"$work/apt" 2>&1 || fail "README, As a Debian package: $(cat "$work/apt")"
    grep -q "^/usr/bin/$name$" "$work/apt" || fail "not on PATH: $(cat "$work/apt")"
    # What a removal deletes is gone from the overlay, or hidden in it by a device.
    left=$(find "$work/copy/upper/usr" -name '*lmcache*plugin*launcher*' ! -type c)
    [ -z "$left" ] || fail "apt remove left behind: $left"
    followed "As a Debian package" "a copy of Debian $(cat /etc/debian_version), no network" "/usr/bin, /usr/share; apt remove: nothing left"
    rm -rf "$work/copy"
}

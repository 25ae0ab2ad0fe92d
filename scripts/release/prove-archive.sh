# Sourced by scripts/package: the archives, and the installer that fetches them.
# shellcheck shell=sh
# shellcheck disable=SC2154,SC2016,SC2088 # names of tools.sh; text for another shell, or to read

# $1: a target. Its archive is complete, and its binary is what it must be.
prove_archive() {
    archive=$release/$name-$1.tar.gz
    sum=$(sha256sum <"$archive" | cut -d' ' -f1)
    for file in "$archive.sha256" "$release/sha256.sum" "$release/$name-installer.sh"; do
        grep -q "$sum" "$file" || fail "$file does not hold the sum of $archive"
    done
    proved "its sum is in ${archive##*/}.sha256, sha256.sum and the installer"
    rm -rf "$work/unpacked"
    mkdir -p "$work/unpacked"
    tar xzf "$archive" -C "$work/unpacked" --strip-components=1
    binary=$work/unpacked/$name
    [ -x "$binary" ] || fail "the archive holds no executable $name"
    for file in README.md LICENSE share; do
        diff -r "$stage/$file" "$work/unpacked/$file" || fail "the archive's $file is not ours"
    done
    proved "holds the binary, README.md, LICENSE, plugins, LMCache's files, container and man pages"
    prove_static "$binary"
    readelf -SW "$binary" | grep -q '\.dep-v0' || fail "no list of crates in the binary"
    proved "holds the list of its crates (cargo auditable)"
    case $1 in
        x86_64-*)
            "$root/scripts/check-size" "$binary"
            prove_empty_root "$binary"
            ;;
        aarch64-*)
            prove_runs qemu-aarch64-static "$binary"
            proved "runs a plugin under qemu: $(stat -c %s "$binary") bytes"
            ;;
    esac
}

# On a machine with neither network nor tools: an empty root with busybox.
prove_from_the_archive() {
    steps=$(readme "From the archive")
    new_root usr/local/bin carried
    add_busybox
    cp "$release/$name"-*.tar.gz "$release/$name"-*.tar.gz.sha256 "$work/root/carried/"

    tamper "$work/root/carried/$name-x86_64-unknown-linux-musl.tar.gz"
    in_root sh -c "cd /carried; $steps" >"$work/refused" 2>&1 && fail "a tampered archive was installed"
    [ -e "$work/root/usr/local/bin/$name" ] && fail "a tampered archive left a binary behind"
    followed "From the archive" "busybox root, archive tampered with" "refused, nothing installed"

    cp "$release/$name"-*.tar.gz "$work/root/carried/"
    in_root sh -c "cd /carried; $steps" || fail "README, From the archive: status $?"
    cmp "$work/root/usr/local/bin/$name" "$built" || fail "what was installed is not what was built"
    prove_share "$work/root/usr/local"
    followed "From the archive" "busybox root" "/usr/local/bin, /usr/local/share"
    in_root sh -c "cd /carried; $steps" || fail "README, From the archive, a second time: status $?"
    followed "From the archive" "the same again" "replaced"
    prove_first_steps "from the archive, in the busybox root" in_root sh -ec
}

# $1: a README block; $2: a home to make. Runs the block where the files were carried to.
follow_installer() {
    rm -rf "$2"
    mkdir -p "$2"
    (cd "$work/carried" && unshare --net env -i PATH="$PATH" HOME="$2" sh -c "$1")
}

# The installer, from the directory that the files were carried to.
prove_offline_installer() {
    steps=$(readme_inline 'LMCACHE_PLUGIN_LAUNCHER_DOWNLOAD_URL=file://$PWD sh lmcache-plugin-launcher-installer.sh')
    home=$work/new-home
    rm -rf "$work/carried"
    mkdir -p "$work/carried"
    cp "$release/$name"-*.tar.gz "$release/$name-installer.sh" "$work/carried/"

    tamper "$work/carried/$name-x86_64-unknown-linux-musl.tar.gz"
    follow_installer "$steps" "$home" >"$work/refused" 2>&1 && fail "the installer took a tampered archive"
    grep -q 'checksum mismatch' "$work/refused" || fail "refused, but not for its sum: $(cat "$work/refused")"
    [ -e "$home/.local/bin/$name" ] && fail "the installer left a tampered binary behind"
    followed "With the installer, offline" "new home, archive tampered with" "refused, nothing installed"

    cp "$release/$name"-*.tar.gz "$work/carried/"
    follow_installer "$steps" "$home" || fail "README, With the installer, offline: status $?"
    "$home/.local/bin/$name" --version || fail "the installed binary does not run"
    followed "With the installer, offline" "new home, no network" "~/.local/bin"
}

# The installer's online step, unchanged, with a stand-in for the host that it names.
prove_online_installer() {
    steps=$(readme "With the installer")
    site=$work/site/$(sed -n 's|^repository = "https://github.com/\(.*\)"$|\1|p' "$root/Cargo.toml")/releases
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
    home=$work/new-home
    rm -rf "$work/site" "$home"
    mkdir -p "$site/latest" "$site/download" "$home"
    ln -s "$release" "$site/latest/download"
    ln -s "$release" "$site/download/v$version"
    echo '127.0.0.1 localhost github.com' >"$work/hosts"
    openssl req -x509 -newkey rsa:2048 -noenc -days 2 -subj /CN=github.com \
        -addext subjectAltName=DNS:github.com -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
    (
        cd "$work/site"
        unshare --net --mount env -i PATH="$PATH" HOME="$home" CURL_CA_BUNDLE="$work/cert.pem" sh -euc '
            busybox ip link set lo up
            mount --bind "$1/hosts" /etc/hosts
            python3 "$2" "$1/key.pem" "$1/cert.pem" sh -c "$3"
        ' sh "$work" "$root/scripts/release/stand_in.py" "$steps"
    ) >"$work/online" 2>&1 || fail "README, With the installer: $(cat "$work/online")"
    cmp "$home/.local/bin/$name" "$built" || fail "what was installed is not what was built"
    followed "With the installer" "new home, a stand-in for github.com" "~/.local/bin"
}

# The sums, where a reader has only some of the files.
prove_sums() {
    steps=$(readme_inline 'sha256sum --check --ignore-missing sha256.sum')
    rm -rf "$work/carried"
    mkdir -p "$work/carried"
    cp "$release/sha256.sum" "$release/$name-x86_64-unknown-linux-musl.tar.gz" "$work/carried/"
    (cd "$work/carried" && sh -c "$steps") || fail "README, Verify: status $?"
    tamper "$work/carried/$name-x86_64-unknown-linux-musl.tar.gz"
    (cd "$work/carried" && sh -c "$steps") >"$work/refused" 2>&1 && fail "sha256.sum fits a tampered archive"
    followed "Verify" "an archive beside sha256.sum" "OK; refused when tampered with"
}

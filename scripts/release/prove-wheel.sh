# Sourced by scripts/package: the wheels, from pip's side.
# shellcheck shell=sh
# shellcheck disable=SC2154 # names of tools.sh

# What those who know wheels say of them, and that they carry what the archives do.
prove_wheels() {
    "$tools/twine" check --strict "$release"/*.whl >"$work/twine" || fail "$(cat "$work/twine")"
    # W007: no Python module is inside, on purpose.
    "$tools/check-wheel-contents" --ignore W007 "$release"/*.whl
    for target in $targets; do
        set -- "$release"/*"${target%%-*}".whl
        [ $# = 1 ] || fail "not one wheel for $target: $*"
        case $1 in
            *-py3-none-manylinux2014_*.manylinux_2_17_*.musllinux_1_1_*.whl) ;;
            *) fail "not the tags that it should have: $1" ;;
        esac
        unzip -p "$1" "*/scripts/$name" | cmp - "$distrib/$name-$target/$name" ||
            fail "the binary in $1 is not the archive's"
        unzip -p "$1" "*/sboms/$name.cdx.json" | cmp - "$release/$name.cdx.json" || fail "no SBOM in $1"
        proved "${1##*/}: the archive's binary, well-formed"
    done
}

# $1: a directory: every path below it, and what is in the files.
listing() { (cd "$1" && find . ! -name '*.pyc' ! -name __pycache__ -type f -exec sha256sum {} + | sort -k2); }

# What runs goes on as it is while the files that it came from are replaced.
prove_upgrade_in_use() {
    mkdir -p "$work/waiting"
    printf '#!/bin/sh\necho ready\nsleep 300\n' >"$work/waiting/all_waiting.sh"
    "$work/venv/bin/$name" run --parent-pid 0 "$work/waiting" >"$work/waiting.log" 2>&1 &
    running=$!
    tries=600
    until grep -q 'ready$' "$work/waiting.log"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { kill "$running"; fail "the plugin did not start: $(cat "$work/waiting.log")"; }
        sleep 0.1
    done
    in_venv PIP_NO_INDEX=1 PIP_FIND_LINKS="$release" pip install --quiet --force-reinstall "$name" || { kill "$running"; fail "pip could not replace it"; }
    kill "$running" || fail "the launcher did not survive its upgrade"
    wait "$running" || fail "stopped after its upgrade: status $?: $(cat "$work/waiting.log")"
    proved "a launcher that runs while pip replaces it goes on, and stops as it should"
}

# pip of Debian's Python, as a user has it: README's commands with a mirror for the index, then from
# a directory. An upgrade changes nothing, and after the removal nothing is left.
prove_pip() {
    rm -rf "$work/venv" "$work/carried"
    /usr/bin/python3 -m venv "$work/venv"
    listing "$work/venv" >"$work/before"
    mkdir -p "$work/carried"
    in_venv() {
        (cd "$work/carried" && unshare --net env -i PATH="$work/venv/bin:/usr/bin:/bin" HOME="$work" \
            PIP_DISABLE_PIP_VERSION_CHECK=1 "$@")
    }
    in_venv PIP_NO_INDEX=1 PIP_FIND_LINKS="$release" sh -ec "$(readme "With pip" 1)" || fail "README, With pip 1: status $?"
    cmp "$work/venv/bin/$name" "$built" || fail "what pip installed is not what was built"
    prove_share "$work/venv"
    followed "With pip, line 1" "venv of Debian's $(/usr/bin/python3 --version), a mirror" "VENV/bin, VENV/share"
    in_venv PIP_NO_INDEX=1 PIP_FIND_LINKS="$release" sh -ec "$(readme_inline "pip install --upgrade") $name" || fail "README: pip install --upgrade: status $?"
    followed "pip install --upgrade" "the same venv" "nothing to do"
    prove_upgrade_in_use
    in_venv sh -ec "$(readme_inline "pip uninstall") --yes $name" || fail "README: pip uninstall: status $?"
    listing "$work/venv" | diff "$work/before" - || fail "pip uninstall left something behind"
    # pip leaves a directory of which it installed only directories, here share/man.
    rmdir "$work/venv/share/man" 2>/dev/null || :
    prove_gone "$work/venv"
    followed "pip uninstall" "the same venv" "as before the installation"

    in_venv sh -ec "$(readme "With pip" 2)" >"$work/refused" 2>&1 && fail "pip found a wheel where there is none"
    cp "$release"/*.whl "$work/carried/"
    in_venv sh -ec "$(readme "With pip" 2)" || fail "README, With pip 2: status $?"
    in_venv sh -ec "$name --version" || fail "what pip installed is not on PATH"
    followed "With pip, line 2" "the same venv, wheels carried over" "VENV/bin, VENV/share"
    rm "$work/carried"/*
    prove_first_steps "from the wheel" in_venv sh -ec
}

# There is no Python for musl to be had here: pip is told that it runs on Alpine, and what it
# chooses runs in a root that has busybox and nothing else.
prove_musl() {
    rm -rf "$work/alpine"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-index --find-links "$release" \
        --only-binary :all: --platform musllinux_1_2_x86_64 --platform musllinux_1_1_x86_64 --target "$work/alpine" "$name"
    cmp "$work/alpine/bin/$name" "$built" || fail "pip on musl would not install what was built"
    new_root
    add_busybox
    cp "$work/alpine/bin/$name" "$work/root/bin/"
    write_plugin "$work/root/plugins"
    lines=$(in_root "$name" run /plugins) || fail "run: status $? in a musl root: $lines"
    is_greeting "$lines" || fail "the plugin was not heard in a musl root: $lines"
    followed "With pip, line 1" "pip told that it is on Alpine, then a busybox root" "runs a plugin"
}

# Sourced by the scripts that build and prove a release: what they print, and the tools that they use.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # root is the caller's, what is set here is for it

name=lmcache-plugin-launcher
targets="x86_64-unknown-linux-musl aarch64-unknown-linux-musl"
package=$root/target/package
stage=$package/stage     # what lies beside the binary
release=$package/release # what is released, and nothing else

fail() { printf '%s: %s\n' "${0#"$root/"}" "$*" >&2; exit 1; }
begin() { printf '\n== %s\n' "$*"; }

# Arguments: COMMAND:PACKAGE, a Debian package for each command that is not there.
install_missing() {
    missing=
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    [ -z "$missing" ] && return
    apt-get update -qq
    # shellcheck disable=SC2086 # a list
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
}

# The Rust that everything is built with, and its targets.
install_rust() {
    rust=$(cat "$root/scripts/requirements/rust.txt")
    if [ "$(rustc --version | cut -d ' ' -f 2)" != "$rust" ]; then
        rustup toolchain install "$rust" --profile minimal --no-self-update
        export RUSTUP_TOOLCHAIN="$rust"
    fi
    # shellcheck disable=SC2086 # a list
    rustup --quiet target add $targets
}

# $1: a tool of scripts/requirements/cargo.txt
install_cargo_tool() {
    tool=$("$root/scripts/cargo-tool" "$1")
    PATH=${tool%/*}:$PATH
}

# Whatever builds the binary - dist, maturin, cargo - builds it the same way: with the list of its
# crates inside. dist wants to cross-link with Zig; rust-lld, which .cargo/config.toml names, links
# every target without it, so plain cargo answers to Zig's name.
install_shims() {
    install_cargo_tool cargo-auditable
    mkdir -p "$package/shims"
    cat >"$package/shims/cargo" <<END
#!/bin/sh
case \${1-} in build | rustc) set -- auditable "\$@" ;; esac
exec $(command -v cargo) "\$@"
END
    cat >"$package/shims/cargo-zigbuild" <<'END'
#!/bin/sh
[ "$1" = --version ] && { echo 'cargo-zigbuild 0.0.0'; exit; }
shift
exec cargo build "$@"
END
    chmod 755 "$package"/shims/*
    PATH=$package/shims:$PATH
}

# dist and maturin.
install_release_tools() {
    python=$("$root/scripts/venv" release)
    PATH=${python%/*}:$PATH
}

//! The room that the kernel has for the arguments and the environment of a process together (execve(2)).

use crate::sys;

/// The names under which plugins receive the configuration.
const NAMES: usize = 2;

/// What is said where the kernel refuses, or would refuse, the environment of a plugin, with the sizes of both.
pub fn too_small(configuration: usize, rest: usize) -> String {
    format!(
        "the environment is too large for the kernel: the configuration takes {} bytes of it, {NAMES} times \
         {configuration}, and the other variables {rest}; shorten either, or raise the stack limit (ulimit -s)",
        NAMES * configuration
    )
}

/// Why a plugin could not be started with a configuration of so many bytes beside our own environment.
pub fn problem(configuration: usize) -> Option<String> {
    let rest = std::env::vars_os().map(|(name, value)| name.len() + value.len() + PER_STRING).sum();
    (NAMES * configuration + rest + RESERVE > limit()).then(|| too_small(configuration, rest))
}

/// `=`, the final NUL, and the pointer.
const PER_STRING: usize = 2 + size_of::<usize>();
/// For the command, and for the variables that plugins get.
const RESERVE: usize = 8192;

/// A quarter of the stack's limit, but at least 128 KiB and at most 6 MiB.
fn limit() -> usize {
    (sys::stack_limit() / 4).clamp(128 << 10, 6 << 20) as usize
}

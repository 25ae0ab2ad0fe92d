//! The control socket: what a running launcher is asked, and what it answers. The supervisor serves it in its one loop;
//! what a request does to plugins is the supervisor's business.

pub mod address;
pub mod client;
mod prometheus;
pub mod request;
pub mod server;
mod table;

use std::path::PathBuf;

/// Where a running launcher answers, for those it starts and for the commands that ask it.
pub const VARIABLE: &str = "LMCACHE_PLUGIN_LAUNCHER_CONTROL";

/// The socket that the environment names. An empty variable names none.
fn of_environment() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

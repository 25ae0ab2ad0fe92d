//! Launches LMCache plugins beside a process, and leaves nothing behind.

#[cfg(not(target_os = "linux"))]
compile_error!("lmcache-plugin-launcher runs on Linux only: it needs child subreapers, signalfd and /proc");

mod document;

fn main() {}

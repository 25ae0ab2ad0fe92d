//! Each promise of the launcher, shown on the real executable with real processes.

// What cannot happen in a test fails it.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod json;
mod namespace;
mod plugins;
mod processes;
mod sandbox;

mod above;
mod bare;
mod check;
mod cli;
mod control;
mod denied;
mod discovery;
mod environment;
mod get;
mod held;
mod hidden;
mod install;
mod interpreter;
mod leader;
mod lifetime;
mod log;
mod manual;
mod messages;
mod naming;
mod neighbours;
mod output;
mod parent;
mod pid1;
mod program;
mod reload;
mod restart;
mod secrets;
mod settings;
mod signals;
mod slow;
mod starting;
mod status;
mod stop;
mod takeover;
mod terminal;
mod watch;
mod witness;

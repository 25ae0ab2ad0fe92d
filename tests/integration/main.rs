//! Each promise of the launcher, shown on the real executable with real processes.

mod json;
mod namespace;
mod processes;
mod sandbox;

mod cli;
mod discovery;
mod environment;
mod interpreter;
mod naming;
mod output;
mod settings;

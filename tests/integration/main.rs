//! Each promise of the launcher, shown on the real executable with real processes.

mod json;
mod processes;
mod sandbox;

mod cli;
mod environment;
mod naming;
mod settings;

//! Which files are plugins, which of them run here, and by which command. Starts nothing.

pub mod discovery;
pub mod interpreter;
pub mod name;

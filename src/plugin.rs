//! Which files are plugins, which of them run here, and by which command. Starts nothing.

mod advice;
mod candidate;
mod decide;
pub mod entry;
pub mod interpreter;
pub mod missing;
pub mod name;
mod permissions;
pub mod plan;
mod program;
pub mod search;

//! Which files are plugins, which of them run here, and by which command. Starts nothing.

mod advice;
mod decide;
pub mod interpreter;
pub mod missing;
pub mod name;
pub mod plan;
pub mod search;

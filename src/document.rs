//! Configuration documents: one value type and the two notations it is read from.
//! Everything here is pure: bytes in, a value or a place in the bytes out, and no system call.

mod bytes;
pub mod json;
pub mod pointer;
pub mod value;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use value::{Malformed, Members, Part, Step, Value};

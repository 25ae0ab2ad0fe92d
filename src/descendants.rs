//! Every process below us: who they are, and the one engine that stops them. Descendants of a subreaper stay its
//! descendants, whatever they do. Used by the supervisor, and by the guard when the supervisor is gone.

mod hunt;
mod stop;
mod table;
mod view;

pub use hunt::Hunt;
pub use stop::{PATIENCE, Step, Stop};
pub use table::Process;
pub use view::{View, process};

//! What the server asks of each kind of value, a file each: the only place where the server's callbacks
//! meet what they are about.

pub mod cube;
pub mod monitor;
pub mod settings;
pub mod sketch;
#[cfg(feature = "test-commands")]
pub mod strings;

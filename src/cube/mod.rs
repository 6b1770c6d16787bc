//! The cube: dimensions × time, made of cells.

#![deny(unsafe_code)]

pub mod alter;
pub mod body;
pub mod calendar;
pub mod cell;
pub mod column;
pub mod cover;
pub mod history;
pub mod horizon;
pub mod intern;
pub mod merge;
pub mod numbers;
pub mod open;
pub mod pack;
pub mod paged;
pub mod query;
pub mod question;
pub mod recent;
pub mod restore;
pub mod schema;
pub mod seen;
pub mod source;
pub mod table;
pub mod users;
mod view;

pub use body::{Cube, Event, Watch};
pub use horizon::{TooLate, Verdict};

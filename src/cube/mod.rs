//! The cube: dimensions × time, made of cells.

#![deny(unsafe_code)]

pub mod calendar;
pub mod cell;
pub mod column;
pub mod cover;
pub mod intern;
pub mod query;
pub mod question;
pub mod schema;
pub mod source;
pub mod table;
pub mod users;

mod body;

pub use body::{Cube, Event, TooLate, Verdict, Watch};

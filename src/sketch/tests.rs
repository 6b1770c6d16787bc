//! The sketch as a whole.

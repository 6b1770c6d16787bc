//! redis-hll
pub mod sketch;

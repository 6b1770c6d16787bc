//! Questions about keys that lie on several nodes: the protocol, without a network.
//!
//! A cluster spreads keys over nodes by [`slot`], and a command may only name keys of one. Who wants the union of keys of
//! many asks the nodes for theirs over the connections that they keep among each other anyway, and puts the answers together:
//!
//! ```text
//!   client        asker                              owners
//!     | -- keys --> | -- QUESTION: database, keys --> | reads each key, in a turn in which it is its own,
//!     |             |                                 | folds unions
//!     |             | <-- ANSWER: epoch, values ----- |
//!     |             | looks at the map again: does every answer hold?
//!     | <-- reply - | puts them together
//! ```
//!
//! * [`map`]: which node owns which slot, as one node knows it.
//! * [`wire`]: messages as bytes.
//! * [`exchange`]: payloads between two nodes, whole and once, over messages that may be lost or forged.
//! * [`question`]: what the payloads say.
//! * [`query`]: who is asked for what, and when the answers may be believed.
//!
//! Nothing here sends, waits or reads a clock, and nothing knows what a value is. The time is given, messages go in and come
//! out as bytes: `tests/cluster.rs` runs clusters of this over networks that lose, repeat, delay and forge.

pub mod exchange;
pub mod map;
pub mod query;
pub mod question;
pub mod slot;
pub mod wire;

//! What could be wrong with HLL.CLUSTER, one thing at a time, in builds for tests: `scripts/chaos` has to find each.
//!
//! In every other build there is nothing wrong on purpose, and this costs nothing.

/// A check that is left out, or a word that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    None,
    /// A node reads keys without asking whether they are its own.
    NoOwnerCheck,
    /// The asker believes answers without looking at its map again.
    NoEndCheck,
    /// Of an answer in which a key is not that node's, the others are kept.
    HalfKept,
    /// A merge is written while the server is paused.
    NoPauseCheck,
    /// Keys of the first database are read, whichever was chosen.
    NoDatabase,
}

#[cfg(feature = "test-commands")]
mod setting {
    use super::Fault;
    use crate::server::settings::Choice;
    use crate::server::syntax::Word;

    /// The setting `test-cluster-fault`.
    pub static CLUSTER_FAULT: Choice<Fault> = Choice::new(c"test-cluster-fault");

    impl Word for Fault {
        const ALL: &'static [(&'static str, Fault)] = &[
            ("NONE", Fault::None),
            ("NO-OWNER-CHECK", Fault::NoOwnerCheck),
            ("NO-END-CHECK", Fault::NoEndCheck),
            ("HALF-KEPT", Fault::HalfKept),
            ("NO-PAUSE-CHECK", Fault::NoPauseCheck),
            ("NO-DATABASE", Fault::NoDatabase),
        ];
    }
}

#[cfg(feature = "test-commands")]
pub use setting::CLUSTER_FAULT;

/// Whether this is wrong now.
#[cfg(feature = "test-commands")]
pub fn has(fault: Fault) -> bool {
    CLUSTER_FAULT.get() == fault
}

/// Whether this is wrong now: never.
#[cfg(not(feature = "test-commands"))]
pub fn has(fault: Fault) -> bool {
    fault == Fault::None
}

//! What could be wrong with HLL.CLUSTER, one thing at a time, in builds for tests: `scripts/chaos` has to find each.
//!
//! In every other build there is nothing wrong on purpose, and this costs nothing.

use super::gather::Collected;
use crate::sketch::partial::PartialUnion;

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
    /// An answer that does not hold when the asker looks at its map again has been added to the union already.
    OldFoldKept,
    /// What a node had read for one attempt goes into its answer to the next one of the same question.
    AttemptsMixed,
    /// A merge is written while the server is paused.
    NoPauseCheck,
    /// Keys of the first database are read, whichever was chosen.
    NoDatabase,
    /// Keys are read inside the receiver of a message, and not from a timer.
    WorkInReceiver,
}

#[cfg(feature = "test-commands")]
mod setting {
    use super::super::gather::Loaded;
    use super::*;
    use crate::server::lock;
    use crate::server::settings::Choice;
    use crate::server::syntax::Word;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// The setting `test-cluster-fault`.
    pub static CLUSTER_FAULT: Choice<Fault> = Choice::new(c"test-cluster-fault");

    /// The setting `test-cluster-hold`: whether questions whose answers are all there wait before they are judged.
    pub static CLUSTER_HOLD: Choice<Hold> = Choice::new(c"test-cluster-hold");

    /// Whether to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Hold {
        /// They are judged.
        No,
        /// They wait.
        Yes,
    }

    impl Word for Hold {
        const ALL: &'static [(&'static str, Hold)] = &[("NO", Hold::No), ("YES", Hold::Yes)];
    }

    impl Word for Fault {
        const ALL: &'static [(&'static str, Fault)] = &[
            ("NONE", Fault::None),
            ("NO-OWNER-CHECK", Fault::NoOwnerCheck),
            ("NO-END-CHECK", Fault::NoEndCheck),
            ("HALF-KEPT", Fault::HalfKept),
            ("OLD-FOLD-KEPT", Fault::OldFoldKept),
            ("ATTEMPTS-MIXED", Fault::AttemptsMixed),
            ("NO-PAUSE-CHECK", Fault::NoPauseCheck),
            ("NO-DATABASE", Fault::NoDatabase),
            ("WORK-IN-RECEIVER", Fault::WorkInReceiver),
        ];
    }

    /// Whether this is wrong now.
    pub fn has(fault: Fault) -> bool {
        CLUSTER_FAULT.get() == fault
    }

    /// Whether answers are to be judged later.
    pub fn holds() -> bool {
        CLUSTER_HOLD.get() == Hold::Yes
    }

    /// The parts of each union.
    type Unions = Vec<Vec<(u8, Loaded)>>;

    /// Unions of answers, by the number of their question. Tests are short: they are only forgotten when they are used.
    static ANSWERED: Mutex<BTreeMap<u64, Unions>> = Mutex::new(BTreeMap::new());
    static BEGUN: Mutex<BTreeMap<u64, Vec<PartialUnion>>> = Mutex::new(BTreeMap::new());

    /// At the asker: an answer has come.
    pub fn remember_answer(request: u64, collected: &Collected) {
        if has(Fault::OldFoldKept) {
            let mut answered = lock(&ANSWERED);
            let unions = answered.entry(request).or_default();
            unions.resize_with(unions.len().max(collected.unions.len()), Vec::new);
            for (all, parts) in unions.iter_mut().zip(&collected.unions) {
                all.extend(parts.iter().cloned());
            }
        }
    }

    /// At the asker: adds all answers that have come to those that hold.
    pub fn add_old_answers(request: u64, collected: &mut Collected) {
        let old = lock(&ANSWERED).remove(&request).unwrap_or_default();
        for (parts, old) in collected.unions.iter_mut().zip(old) {
            parts.extend(old);
        }
    }

    /// Where keys are read: what had been read for an attempt.
    pub fn remember_begun(request: u64, unions: Vec<PartialUnion>) {
        lock(&BEGUN).insert(request, unions);
    }

    /// Where keys are read: what a new attempt begins with.
    pub fn begun(request: u64) -> Option<Vec<PartialUnion>> {
        lock(&BEGUN).remove(&request)
    }
}

#[cfg(feature = "test-commands")]
pub use setting::*;

#[cfg(not(feature = "test-commands"))]
mod nothing {
    use super::*;

    /// Whether this is wrong now: never.
    pub fn has(fault: Fault) -> bool {
        fault == Fault::None
    }

    /// Whether answers are to be judged later: never.
    pub fn holds() -> bool {
        false
    }

    /// Nothing.
    pub fn remember_answer(_: u64, _: &Collected) {}

    /// Nothing.
    pub fn add_old_answers(_: u64, _: &mut Collected) {}

    /// Nothing.
    pub fn remember_begun(_: u64, _: Vec<PartialUnion>) {}

    /// Nothing.
    pub fn begun(_: u64) -> Option<Vec<PartialUnion>> {
        None
    }
}

#[cfg(not(feature = "test-commands"))]
pub use nothing::*;

//! Who has been seen before: one sketch of all users there ever were.
//!
//! When an event's user changes the sketch, he was not known: he is new. When he does not, he was known, or falls
//! together with others who were. The chance of a change by somebody unknown is what the sketch knows about itself,
//! so each change stands for one over that chance new users on average (the martingale estimator, see
//! [`sketch::estimate`](crate::sketch::estimate)). The sum over the changes in any slice and of any value is an
//! unbiased count of new users there.

use super::paged::ARC_COUNTS;
use crate::sketch::{Dense, Precision, TokenSet, token};
use std::sync::Arc;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Seen {
    precision: Precision,
    /// Registers from the first user on.
    users: Option<Arc<Dense>>,
}

impl Seen {
    /// Nobody.
    pub fn new(precision: Precision) -> Seen {
        Seen {
            precision,
            users: None,
        }
    }

    /// As it was; `None` if the registers are of another precision or not only added to.
    pub fn restore(precision: Precision, users: Arc<Dense>) -> Option<Seen> {
        let whole = users.precision() == precision && users.running().is_some();
        whole.then_some(Seen {
            precision,
            users: Some(users),
        })
    }

    /// Everybody.
    pub fn users(&self) -> Option<&Arc<Dense>> {
        self.users.as_ref()
    }

    /// A user comes; how many new ones that stands for.
    pub fn add(&mut self, hash: u64) -> f64 {
        let Some(users) = &mut self.users else {
            let tokens = TokenSet::from_unsorted(vec![token::from_hash(hash)]);
            self.users = Some(Arc::new(Dense::from_tokens(&tokens, self.precision)));
            return 1.0;
        };
        let before = users.estimate().value;
        match Dense::add_hash(users, hash) {
            true => users.estimate().value - before,
            false => 0.0,
        }
    }

    /// Bytes beside itself.
    pub fn memory_bytes(&self) -> usize {
        self.users
            .as_ref()
            .map_or(0, |users| ARC_COUNTS + users.memory_bytes())
    }
}

//! Which nodes did not answer in time, for INFO: the first thing to know when questions to the cluster time out.
//!
//! At most [`MOST`] nodes are counted by name, those beyond as `others`; a node that has left the cluster is forgotten. INFO
//! may be told in the middle of anything, a crash included, so the telling waits for no lock and allocates nothing.

use crate::cluster::map::NodeId;
use crate::server::lock;
use std::ffi::CStr;
use std::sync::{Mutex, TryLockError};

/// Nodes that are counted by name.
pub const MOST: usize = 32;

/// A name with its end mark, and how often.
type Count = ([u8; NodeId::BYTES + 1], u64);

struct Counts {
    nodes: Vec<Count>,
    others: u64,
}

static COUNTS: Mutex<Counts> = Mutex::new(Counts {
    nodes: Vec::new(),
    others: 0,
});

/// One more question was given up while this node had not answered.
pub fn count(node: &NodeId) {
    let counts = &mut *lock(&COUNTS);
    let its = |(name, _): &&mut Count| name[..NodeId::BYTES] == *node.bytes();
    if let Some((_, number)) = counts.nodes.iter_mut().find(its) {
        *number += 1;
    } else if counts.nodes.len() < MOST {
        let mut name = [0; NodeId::BYTES + 1];
        name[..NodeId::BYTES].copy_from_slice(node.bytes());
        counts.nodes.push((name, 1));
    } else {
        counts.others += 1;
    }
}

/// Forgets all nodes but these.
pub fn retain(is_there: impl Fn(&NodeId) -> bool) {
    lock(&COUNTS).nodes.retain(|(name, _)| {
        NodeId::new(&name[..NodeId::BYTES]).is_some_and(|node| is_there(&node))
    });
}

/// Tells each node's number, and that of all others if there is one. While somebody counts, nothing is told.
pub fn tell(each: &mut dyn FnMut(&CStr, u64)) {
    let counts = match COUNTS.try_lock() {
        Ok(counts) => counts,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    for (name, number) in &counts.nodes {
        if let Ok(name) = CStr::from_bytes_until_nul(name) {
            each(name, *number);
        }
    }
    if counts.others > 0 {
        each(c"others", counts.others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Vec<(String, u64)> {
        let mut all = Vec::new();
        tell(&mut |name, number| all.push((name.to_str().unwrap().to_owned(), number)));
        all
    }

    #[test]
    fn nodes_are_counted_by_name_as_far_as_there_is_room_and_forgotten_when_they_are_gone() {
        let node = |number: usize| NodeId::new(format!("{number:040x}").as_bytes()).unwrap();
        for number in 0..MOST + 3 {
            count(&node(number));
        }
        count(&node(1));
        let all = told();
        assert_eq!(all.len(), MOST + 1);
        assert_eq!(all[1], (node(1).to_string(), 2));
        assert_eq!(all[MOST], ("others".to_owned(), 3));
        retain(|there| *there == node(2));
        assert_eq!(told(), [(node(2).to_string(), 1), ("others".to_owned(), 3)]);
    }
}

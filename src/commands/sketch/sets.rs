//! What the commands on several sets have in common: their operands, and one solution for all of
//! them.

use crate::server::args::{Arg, ArgList};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::sketch::joint::{Joint, cost};
use crate::sketch::{Precision, Sketch};
use crate::types::settings;
use std::collections::HashMap;
use std::time::Duration;

/// The sets a command is about, in its order. A set that is named twice is held once. They are copies,
/// which share registers and tokens with the values under the keys: whoever computes with them holds no
/// key open.
pub struct Sets {
    distinct: Vec<Sketch>,
    /// For each operand, which of the distinct ones it is.
    places: Vec<usize>,
}

/// The distinct ones among some names, and for each name which of these it is.
pub fn distinct<'a>(names: impl IntoIterator<Item = Arg<'a>>) -> (Vec<Arg<'a>>, Vec<usize>) {
    let mut firsts: Vec<Arg> = Vec::new();
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    let places = names.into_iter().map(|name| {
        *seen.entry(name.bytes()).or_insert_with(|| {
            firsts.push(name);
            firsts.len() - 1
        })
    });
    let places = places.collect();
    (firsts, places)
}

/// Copies of the sketches under these keys; `None` for a missing one.
pub fn copies<'a>(
    ctx: &Context,
    names: impl IntoIterator<Item = Arg<'a>>,
) -> Result<Vec<Option<Sketch>>, CommandError> {
    let names = names.into_iter();
    names
        .map(|name| Ok(ctx.read::<Sketch>(name.into())?.into_copy()))
        .collect()
}

impl Sets {
    /// Of distinct sets, and for each operand which of these it is; see [`distinct`]. `None` is the empty set.
    pub fn placed(sketches: Vec<Option<Sketch>>, places: Vec<usize>) -> Sets {
        Sets {
            places,
            ..Sets::of_sketches(sketches)
        }
    }

    /// These sets; `None` is the empty one. It takes the hash of the others and the finest
    /// precision, so that it changes nothing for them.
    pub fn of_sketches(sketches: Vec<Option<Sketch>>) -> Sets {
        let first = sketches.iter().flatten().next();
        let hash = first.map_or_else(settings::default_hash, Sketch::hash_family);
        let empty = || Sketch::new(Precision::MAX, hash);
        Sets {
            places: (0..sketches.len()).collect(),
            distinct: sketches
                .into_iter()
                .map(|sketch| sketch.unwrap_or_else(empty))
                .collect(),
        }
    }

    /// One operand.
    pub fn sketch(&self, operand: usize) -> &Sketch {
        &self.distinct[self.places[operand]]
    }

    /// Bytes that the copies take.
    pub fn bytes(&self) -> usize {
        self.distinct.iter().map(Sketch::clone_bytes).sum()
    }

    /// The joint solution of all operands, in their order; at most [`crate::sketch::joint::MAX_SETS`].
    pub fn solve(&self) -> Result<Joint, CommandError> {
        let sketches = self.places.iter().map(|&place| &self.distinct[place]);
        Ok(Joint::solve(&Vec::from_iter(sketches))?)
    }

    /// About how long the joint solution of all of them takes, with so many intervals.
    pub fn expected(&self, intervals: usize) -> Duration {
        cost::answer(&self.distinct, intervals)
    }

    /// About how long so many solutions of two of them take, each a row of a reply with so many intervals.
    pub fn expected_of_pairs(&self, pairs: usize, intervals: usize) -> Duration {
        let pairs = u32::try_from(pairs).unwrap_or(u32::MAX);
        let pair = cost::costliest(&self.distinct, 2, intervals) + PRINTED;
        pair.saturating_mul(pairs)
    }
}

/// What the server takes to print a row of a table.
const PRINTED: Duration = Duration::from_micros(3);

/// The names of keys as the reply has them, each so many times, to be kept until it is made.
pub fn labels(names: ArgList, times: usize) -> Result<Vec<Vec<u8>>, CommandError> {
    let labels: Vec<Vec<u8>> = names.iter().map(|name| name.bytes().to_vec()).collect();
    let bytes: usize = labels.iter().map(Vec::len).sum();
    if bytes.saturating_mul(times) > MOST_LABEL_BYTES {
        return Err(CommandError::invalid(format_args!(
            "the names of keys would make up more than {} MiB of the reply, ask for fewer at once",
            MOST_LABEL_BYTES >> 20
        )));
    }
    Ok(labels)
}

const MOST_LABEL_BYTES: usize = 4 << 20;

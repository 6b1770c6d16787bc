//! Reading keys for a question of the cluster, in slices, from a timer.
//!
//! Each key is looked at in one turn: whether this server would serve it to a client, by a probe, and if so what is under it.
//! A server that is giving a slot away, or getting it, finds nothing or half without ever saying so; see
//! [`crate::server::cluster`]. One key that is not its own makes the whole answer worthless, and is its end.
//!
//! While a slot moves key by key, its owner would not serve a key that has gone ahead, and says so with the name of the node that
//! it is giving the slot to, by its own mark. That node reads such a key only while it is getting the slot from the owner who was
//! asked, by its own mark too.

use super::faults::{Fault, has};
use super::probe;
use crate::cluster::map::{Map, NodeId};
use crate::cluster::question::{Found, Gathered, Question, UnionPart};
use crate::cluster::slot;
use crate::cluster::wire::MOST_PAYLOAD;
use crate::server::error::CommandError;
use crate::server::timer::TimerContext;
use crate::sketch::partial::{Part, PartialUnion};
use crate::sketch::{Precision, Sketch};
use crate::storage::{self, Compression};
use std::time::Instant;

/// A sketch, or its bytes as another node has sent them.
#[derive(Clone)]
pub enum Loaded {
    /// From here.
    Sketch(Sketch),
    /// From there.
    Bytes(Vec<u8>),
}

impl Loaded {
    /// The sketch.
    pub fn into_sketch(self) -> Result<Sketch, CommandError> {
        match self {
            Loaded::Sketch(sketch) => Ok(sketch),
            Loaded::Bytes(bytes) => storage::decode(&bytes).map_err(|error| {
                CommandError::invalid(format_args!(
                    "a node has sent a sketch that cannot be read ({error}), load the same version of the module \
                     on all nodes"
                ))
            }),
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        match self {
            Loaded::Sketch(sketch) => encode(&sketch),
            Loaded::Bytes(bytes) => bytes,
        }
    }
}

fn encode(sketch: &Sketch) -> Vec<u8> {
    storage::encode(sketch, Compression::Zstd)
}

/// What has been read of some keys.
#[derive(Default)]
pub struct Collected {
    /// Under which epoch, at the lowest.
    pub epoch: u64,
    /// Of each key.
    pub found: Vec<Found>,
    /// The place of the first key that cannot be read, and the line of the error reply.
    pub failure: Option<(usize, String)>,
    /// Who may have keys that are gone.
    pub targets: Vec<NodeId>,
    /// Of the keys that are there and wanted themselves.
    pub values: Vec<Loaded>,
    /// What is left of each union, and the bits of the precision that it stands for; 0 for its own.
    pub unions: Vec<Vec<(u8, Loaded)>>,
}

impl Collected {
    /// The keys that are gone, by their places, and who may have them.
    pub fn gone(&self) -> Vec<(usize, NodeId)> {
        let all = self.found.iter().enumerate();
        all.filter_map(|(place, found)| match found {
            Found::Gone(target) => Some((place, *self.targets.get(usize::from(*target))?)),
            _ => None,
        })
        .collect()
    }

    /// The keys that are absent, by their places.
    pub fn absent(&self) -> Vec<usize> {
        let all = self.found.iter().enumerate();
        all.filter_map(|(place, found)| (*found == Found::Absent).then_some(place))
            .collect()
    }
}

impl From<Gathered> for Collected {
    fn from(gathered: Gathered) -> Collected {
        let part = |part: UnionPart| (part.stands_for, Loaded::Bytes(part.value));
        let unions = gathered.unions.into_iter();
        Collected {
            epoch: gathered.epoch,
            found: gathered.found,
            failure: gathered.failure,
            targets: gathered.targets,
            values: gathered.values.into_iter().map(Loaded::Bytes).collect(),
            unions: unions
                .map(|parts| parts.into_iter().map(part).collect())
                .collect(),
        }
    }
}

impl From<Collected> for Gathered {
    fn from(collected: Collected) -> Gathered {
        let part = |(stands_for, value): (u8, Loaded)| UnionPart {
            stands_for,
            value: value.into_bytes(),
        };
        let unions = collected.unions.into_iter();
        Gathered {
            epoch: collected.epoch,
            found: collected.found,
            failure: collected.failure,
            targets: collected.targets,
            values: collected
                .values
                .into_iter()
                .map(Loaded::into_bytes)
                .collect(),
            unions: unions
                .map(|parts| parts.into_iter().map(part).collect())
                .collect(),
        }
    }
}

/// A part of a union, as it travels.
pub fn part((stands_for, value): (u8, Loaded)) -> Result<Part, CommandError> {
    Ok(Part {
        stands_for: Precision::new(stands_for),
        sketch: value.into_sketch()?,
    })
}

/// Why the reading of keys ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A key, by its place, is not this node's.
    NotMine(usize),
    /// What is wanted is more than a payload may be.
    TooLarge,
    /// There is no such database.
    NoDatabase,
}

/// The map of this turn.
fn my_map<'m>(ctx: &TimerContext, map: &'m mut Option<Map>) -> &'m Map {
    map.get_or_insert_with(|| Map::parse(&ctx.cluster_nodes().unwrap_or_default()))
}

/// Keys that are being read.
pub struct Gather {
    question: Question,
    /// Whether values are wanted as bytes.
    travels: bool,
    bytes: usize,
    collected: Collected,
    unions: Vec<PartialUnion>,
}

impl Gather {
    /// For this question; of another node, if the answer travels.
    pub fn new(question: Question, travels: bool) -> Gather {
        Gather {
            collected: Collected {
                epoch: u64::MAX,
                found: Vec::with_capacity(question.keys.len()),
                ..Collected::default()
            },
            unions: vec![PartialUnion::default(); question.unions],
            question,
            travels,
            bytes: 0,
        }
    }

    /// What has been made of each union so far.
    pub fn unions(&mut self) -> &mut Vec<PartialUnion> {
        &mut self.unions
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.question.keys.len()
    }

    /// Goes on until this time; what it came to when it is over. The epoch is that of this turn, in which it cannot change;
    /// the lowest of all turns is what counts.
    pub fn work(
        &mut self,
        ctx: &TimerContext,
        until: Instant,
        epoch: u64,
    ) -> Option<Result<Collected, Ended>> {
        let database = match has(Fault::NoDatabase) {
            true => 0,
            false => self.question.database,
        };
        if !ctx.select(database) {
            return Some(Err(Ended::NoDatabase));
        }
        self.collected.epoch = self.collected.epoch.min(epoch);
        // Read once a turn, if at all: it cannot change meanwhile.
        let mut map = None;
        while self.collected.found.len() < self.question.keys.len() {
            if let Err(ended) = self.read_next(ctx, &mut map) {
                return Some(Err(ended));
            }
            if Instant::now() >= until {
                return None;
            }
        }
        let unions = match has(Fault::AttemptsMixed) {
            true => self.unions.clone(),
            false => std::mem::take(&mut self.unions),
        };
        for union in unions {
            let part = union.finish().ok().flatten().map(|part| {
                let stands_for = part
                    .stands_for
                    .map_or(0, |precision| precision.bits() as u8);
                (stands_for, self.loaded(part.sketch))
            });
            self.collected.unions.push(part.into_iter().collect());
        }
        if self.bytes > MOST_PAYLOAD {
            return Some(Err(Ended::TooLarge));
        }
        Some(Ok(std::mem::take(&mut self.collected)))
    }

    fn read_next(&mut self, ctx: &TimerContext, map: &mut Option<Map>) -> Result<(), Ended> {
        let place = self.collected.found.len();
        let key = &self.question.keys[place];
        if let Some(source) = self.question.source {
            if my_map(ctx, map).source(slot::of(&key.name)) != Some(source) {
                return Err(Ended::NotMine(place));
            }
        } else if !has(Fault::NoOwnerCheck) && !ctx.serves(probe::NAME, &key.name) {
            if has(Fault::HalfKept) {
                self.collected.found.push(Found::Absent);
                return Ok(());
            }
            let target = my_map(ctx, map).target(slot::of(&key.name));
            let is_here = ctx
                .copy::<Sketch>(key.name.as_slice().into())
                .map(|copy| copy.is_some());
            let (Some(target), Ok(false)) = (target, is_here) else {
                return Err(Ended::NotMine(place));
            };
            let gone = self.gone_to(target).ok_or(Ended::NotMine(place))?;
            self.collected.found.push(gone);
            return Ok(());
        }
        let uses = key.uses;
        let read = ctx.copy::<Sketch>(key.name.as_slice().into());
        let read = read.and_then(|copied| copied.map(|copied| copied.into_value()).transpose());
        let taken = read.and_then(|sketch| {
            let Some(sketch) = sketch else {
                return Ok(Found::Absent);
            };
            for union in uses.unions() {
                self.unions[union].add(&sketch)?;
            }
            if uses.wants_itself() {
                let value = self.loaded(sketch);
                self.collected.values.push(value);
            }
            Ok(Found::Present)
        });
        let found = taken.unwrap_or_else(|error| {
            let line = error.line().map(|line| line.to_string_lossy().into_owned());
            self.collected
                .failure
                .get_or_insert((place, line.unwrap_or_default()));
            Found::Failed
        });
        self.collected.found.push(found);
        if self.bytes > MOST_PAYLOAD {
            return Err(Ended::TooLarge);
        }
        Ok(())
    }

    /// A key that this node may have; `None` where too many do.
    fn gone_to(&mut self, target: NodeId) -> Option<Found> {
        let targets = &mut self.collected.targets;
        let known = targets.iter().position(|known| *known == target);
        let place = known.unwrap_or_else(|| {
            targets.push(target);
            targets.len() - 1
        });
        u8::try_from(place).ok().map(Found::Gone)
    }

    /// In the form in which it is wanted.
    fn loaded(&mut self, sketch: Sketch) -> Loaded {
        if !self.travels {
            return Loaded::Sketch(sketch);
        }
        let bytes = encode(&sketch);
        self.bytes += bytes.len();
        Loaded::Bytes(bytes)
    }
}

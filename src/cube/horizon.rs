//! Where time stands in a cube: which slices are open, which are due, and which are still kept. All of it follows
//! from the newest event, and changes only when that enters a new slice.

use super::calendar::Millis;
use super::schema::Schema;
use std::ops::Range;

/// The time of an event is older than everything that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate {
    /// The oldest instant that is.
    pub oldest: Millis,
}

/// What would become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would be counted, in time.
    InTime,
    /// It would be counted, late.
    Late,
    /// It would not.
    TooLate(TooLate),
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq)]
pub struct Horizon {
    /// The finest slice that the newest event lies in.
    pub newest: Range<Millis>,
    /// The one before it, which is open as well: neither one fast clock nor the first event of a new hour makes
    /// everybody else late.
    pub previous: Range<Millis>,
    /// For each tier, the instant up to which its slices are due: the beginning of the one that still has open
    /// slices in it or before it.
    pub due: Vec<Millis>,
    /// For each tier, the instant at which a slice must end, or before, to be gone.
    pub gone: Vec<Millis>,
}

impl Horizon {
    /// When this is the time of the newest event.
    pub fn at(schema: &Schema, newest: Millis) -> Horizon {
        let calendar = &schema.calendar;
        let finest = schema.tiers[0].slice;
        let newest = calendar.slice(finest, newest);
        let previous = calendar.slice(finest, newest.start.saturating_sub(1));
        let closed = previous.start;
        let due_of = |tier: usize| calendar.slice(schema.tiers[tier].slice, closed).start;
        let due: Vec<Millis> = (0..schema.tiers.len()).map(due_of).collect();
        let gone = |tier: usize| {
            let kept = calendar.minus(closed, schema.tiers[tier].retention);
            // What is made of this tier and is not due yet needs all that lies in it.
            let coarser = tier + 1..schema.tiers.len();
            let made_of_it = coarser.filter(|&coarser| schema.source(coarser) == Some(tier));
            made_of_it
                .map(|coarser| due[coarser])
                .fold(kept, Millis::min)
                .max(schema.history.floor(tier))
        };
        Horizon {
            gone: (0..schema.tiers.len()).map(gone).collect(),
            newest,
            previous,
            due,
        }
    }

    /// The instant up to which the finest slices are closed.
    pub fn closed(&self) -> Millis {
        self.previous.start
    }

    /// The oldest instant of which something can be kept.
    pub fn oldest(&self) -> Millis {
        self.gone.iter().copied().min().unwrap_or(self.closed())
    }

    /// The slices that an event of this time lies in and that are kept, each with its tier. Those that are not due yet
    /// are among them.
    pub fn kept_at(
        &self,
        schema: &Schema,
        at: Millis,
    ) -> impl Iterator<Item = (usize, Range<Millis>)> {
        let tiers = schema.tiers.iter().enumerate();
        let slices = tiers.map(move |(tier, declared)| {
            let slice = schema.calendar.slice(declared.slice, at);
            (tier, slice)
        });
        slices.filter(|(tier, slice)| slice.end > self.gone[*tier])
    }

    /// What would become of an event of this time, which is before the end of the newest slice.
    pub fn judge(&self, schema: &Schema, at: Millis) -> Verdict {
        if at >= self.closed() {
            Verdict::InTime
        } else if self.kept_at(schema, at).next().is_some() {
            Verdict::Late
        } else {
            Verdict::TooLate(TooLate {
                oldest: self.oldest(),
            })
        }
    }
}

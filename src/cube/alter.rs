//! A cube is changed while it is in use: something more is counted, slices are kept longer or less long, other numbers
//! of values stay apart.
//!
//! No slice is made again for it, so a change takes no longer for a large cube than for a small one. What is added
//! begins with the next slice after the newest event, and what exists stays as it is (see [`history`](super::history)).
//! All of it follows from the change and the events before, so it is the same wherever it is done again.

use super::body::Cube;
use super::calendar::Span;
use super::history::{Added, Addition, Cap};
use super::horizon::Horizon;
use super::numbers::Numbers;
use super::schema::{Dimension, Group, Place, Schema, SchemaError};
use std::sync::Arc;

/// What is to be changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// There is one more dimension.
    AddDimension(Dimension),
    /// There is one more group.
    AddGroup(Group),
    /// There is one more measure.
    AddMeasure(String),
    /// A tier keeps its slices for another time.
    Retention {
        /// Which tier, by the length of its slices.
        slice: Span,
        /// How long.
        retention: Span,
    },
    /// A dimension or a group keeps another number of values apart, in slices that are not due yet.
    Values {
        /// Its column.
        column: usize,
        /// How many.
        values: u32,
    },
}

/// Why it cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterError {
    /// No tier has slices of this length.
    NoTier(Span),
    /// The column has no values to keep apart.
    NoValues,
    /// No cube can be declared like this.
    Schema(SchemaError),
}

impl Cube {
    /// Changes it, or nothing of it; whether it is another one than before.
    pub fn alter(&mut self, change: Change) -> Result<bool, AlterError> {
        let mut schema = Schema::clone(&self.schema);
        let add = |schema: &mut Schema, what| {
            // While nothing has happened, everything begins with the first event.
            let since = self.horizon.as_ref().map(|horizon| horizon.newest.end);
            let addition = since.map(|since| Addition { what, since });
            schema.history.additions.extend(addition);
        };
        match change {
            Change::AddDimension(dimension) => {
                schema.dimensions.push(dimension);
                add(&mut schema, Added::Dimension);
            }
            Change::AddGroup(group) => {
                schema.groups.push(group);
                add(&mut schema, Added::Group);
            }
            Change::AddMeasure(measure) => {
                schema.measures.push(measure);
                add(&mut schema, Added::Measure);
            }
            Change::Retention { slice, retention } => {
                let tier = schema.tiers.iter().position(|tier| tier.slice == slice);
                let tier = tier.ok_or(AlterError::NoTier(slice))?;
                schema.tiers[tier].retention = retention;
            }
            Change::Values { column, values } => self.cap(&mut schema, column, values)?,
        }
        schema.check().map_err(AlterError::Schema)?;
        if let (Some(newest), Some(before)) = (self.newest, &self.horizon) {
            let mut horizon = Horizon::at(&schema, newest);
            // What was given up does not come back.
            let comes_back = |tier: &usize| horizon.gone[*tier] < before.gone[*tier];
            let tiers: Vec<usize> = (0..schema.tiers.len()).filter(comes_back).collect();
            for tier in tiers {
                let floors = &mut schema.history.floors;
                floors.resize(schema.tiers.len(), i64::MIN);
                floors[tier] = before.gone[tier];
                horizon.gone[tier] = before.gone[tier];
            }
            self.horizon = Some(horizon);
            self.numbers.extend(&schema);
        } else {
            self.numbers = Numbers::new(&schema, self.seed);
        }
        let is_other = schema != *self.schema;
        self.schema = Arc::new(schema);
        Ok(is_other)
    }

    /// Caps a column, but not in slices that are due.
    fn cap(&self, schema: &mut Schema, column: usize, values: u32) -> Result<(), AlterError> {
        let cap = match schema.place(column) {
            Place::Total => return Err(AlterError::NoValues),
            Place::Dimension(at) => &mut schema.dimensions[at].values,
            Place::Group(at) => &mut schema.groups[at].values,
        };
        let before = std::mem::replace(cap, values);
        if before == values {
            return Ok(());
        }
        if let Some(horizon) = &self.horizon {
            if self.jobs.is_empty() {
                schema.history.forget_caps(horizon.oldest());
            }
            schema.history.keep_cap(Cap {
                column,
                until: horizon.closed(),
                values: before,
            });
        }
        Ok(())
    }
}

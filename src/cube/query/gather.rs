//! The figures of a row from its cells: counters are added up, users united, and where a row is what several sets have
//! in common, that is solved for.
//!
//! It can stop after any cell and go on later, since a row may have a hundred thousand of them.

use super::super::cell::Union;
use super::super::question::{Figure, Metric};
use super::super::schema::OTHER;
use super::super::source::{Reader, Settled};
use super::super::users::Cell;
use super::cost::{Budget, Effort, ROW, SEEK};
use super::plan::{Factor, Needs, Segment};
use super::selection::Slot;
use crate::sketch::joint::{Joint, SetMask};
use crate::sketch::{Estimate, Method, Sketch};
use std::collections::HashMap;

/// What a row comes to.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Events.
    pub events: u64,
    /// Users; `None` where nobody asked.
    pub users: Option<Figure>,
    sums: Vec<f64>,
    /// Of the new users.
    new_variance: f64,
}

impl Tally {
    /// Of no cells, which would have so many sums.
    pub fn nothing(sums: usize) -> Tally {
        Tally {
            events: 0,
            users: None,
            sums: vec![0.0; sums],
            new_variance: 0.0,
        }
    }

    /// Takes the counters of a cell in, from a source whose new users have this weight at most.
    fn count(&mut self, cell: &Cell, weight: f64, needs: &Needs) {
        self.events = self.events.saturating_add(cell.events);
        for (at, sum) in self.sums.iter_mut().enumerate() {
            *sum += cell.sums.get(at);
        }
        if let Some(new) = needs.new {
            self.new_variance += (weight - 1.0).max(0.0) * cell.sums.get(new);
        }
    }

    /// A figure of the row; `None` where it has none.
    pub fn figure(&self, metric: Metric, needs: &Needs) -> Option<Figure> {
        // A measure that had not begun has no sum.
        let sum = |place: usize| self.sums.get(place).copied();
        let measure = |at: usize| needs.measures.get(at).copied().and_then(sum);
        match metric {
            Metric::Unique => self.users,
            Metric::Events => Some(Figure::Exact(self.events as f64)),
            Metric::New => needs.new.and_then(sum).map(|value| {
                Figure::Estimate(Estimate {
                    value,
                    variance: self.new_variance,
                    method: Method::Hip,
                })
            }),
            Metric::Returning => {
                let new = sum(needs.new?)?;
                let users = self.estimate()?;
                Some(Figure::Estimate(Estimate {
                    value: (users.value - new).max(0.0),
                    variance: users.variance + self.new_variance,
                    method: Method::Hip,
                }))
            }
            Metric::Sum(at) => measure(at).map(Figure::Exact),
            Metric::PerEvent(at) => {
                let sum = measure(at).filter(|_| self.events > 0)?;
                Some(Figure::Exact(sum / self.events as f64))
            }
            Metric::PerUser(at) => {
                let sum = measure(at)?;
                let users = self.estimate().filter(|users| users.value > 0.0)?;
                Some(Figure::Ratio { sum, users })
            }
        }
    }

    /// How many users there are, whichever way that was found.
    pub fn estimate(&self) -> Option<Estimate> {
        match self.users? {
            Figure::Estimate(users) | Figure::Common { users, .. } => Some(users),
            Figure::Exact(_) | Figure::Ratio { .. } => None,
        }
    }
}

/// The sources of a segment, ready to be read by number: for each factor, all of them.
pub struct Readers<'a> {
    factors: Vec<Vec<Reader<'a>>>,
    sums: usize,
}

impl<'a> Readers<'a> {
    /// Of this segment.
    pub fn new(pool: &'a [Settled], segment: &Segment) -> Readers<'a> {
        let of_factor = |sources: &Vec<u32>| {
            let sources = sources.iter();
            sources.map(|&at| pool[at as usize].reader()).collect()
        };
        Readers {
            factors: segment.sources.iter().map(of_factor).collect(),
            sums: segment.sums,
        }
    }

    /// Events in the cell `(other)` of the factor that has most of them there.
    pub fn other_events(&mut self) -> u64 {
        let of_factor = |sources: &mut Vec<Reader>| {
            let cells = sources
                .iter()
                .filter_map(|reader| reader.source().get(OTHER));
            cells.fold(0, |sum: u64, cell| sum.saturating_add(cell.events))
        };
        self.factors.iter_mut().map(of_factor).max().unwrap_or(0)
    }
}

/// See the head of this file. One after the other, rows are gathered in the same memory.
#[derive(Default)]
pub struct Gathering {
    union: Union,
    place: Option<Place>,
    /// Sets that are finished, for a row that is what several have in common.
    sets: Vec<Sketch>,
    /// Sets that belong to more than one row of the segment.
    kept: HashMap<(usize, Slot), Sketch>,
}

/// How far a row has come.
struct Place {
    tally: Tally,
    factor: usize,
    source: usize,
    /// Where the numbers go on in this source.
    number: Option<u32>,
    /// What came into the union.
    effort: Effort,
}

impl Gathering {
    /// Lets the sets go that belong to several rows: the next ones are of another segment.
    pub fn begin_segment(&mut self) {
        self.kept.clear();
    }

    /// Goes on with a row, given by its slot in each factor. `None` where the step is over first: the same row is to
    /// be asked for again.
    pub fn tally(
        &mut self,
        row: &[Slot],
        factors: &[Factor],
        needs: &Needs,
        readers: &mut Readers,
        budget: &mut Budget,
    ) -> Option<Tally> {
        let mut place = self.place.take().unwrap_or_else(|| {
            budget.spend(ROW);
            Place::of(row, factors, readers.sums, self)
        });
        while let Some(factor) = factors.get(place.factor) {
            let slot = row[place.factor];
            let several = factors.len() > 1;
            if several && let Some(known) = self.kept.get(&(place.factor, slot)) {
                self.sets.push(known.clone());
            } else {
                let readers = &mut readers.factors[place.factor];
                if !place.unite(slot, factor, needs, readers, &mut self.union, budget) {
                    self.place = Some(place);
                    return None;
                }
                if several {
                    let set = self.union.sketch(needs.hash);
                    if factor.repeats {
                        self.kept.insert((place.factor, slot), set.clone());
                    }
                    self.sets.push(set);
                }
            }
            place.enter(place.factor + 1, row, factors, &mut self.union);
        }
        let mut tally = place.tally;
        if factors.len() > 1 {
            budget.spend(needs.solution);
            tally.users = common(&std::mem::take(&mut self.sets), needs.confidence);
        } else if needs.users {
            if self.union.parts() > 1 {
                budget.spend(place.effort.estimating(factors[0].precision, 1.0));
            }
            tally.users = Some(Figure::Estimate(self.union.estimate()));
        }
        Some(tally)
    }

    /// The users of a row of one factor, as a sketch; `None` where the step is over first.
    pub fn sketch(
        &mut self,
        slot: Slot,
        factor: &Factor,
        needs: &Needs,
        readers: &mut Readers,
        budget: &mut Budget,
    ) -> Option<Sketch> {
        let union = self.union(slot, factor, needs, readers, budget)?;
        Some(union.sketch(needs.hash))
    }

    /// The union of the users of one slot of one factor; `None` where the step is over first.
    pub fn union(
        &mut self,
        slot: Slot,
        factor: &Factor,
        needs: &Needs,
        readers: &mut Readers,
        budget: &mut Budget,
    ) -> Option<&mut Union> {
        let factors = std::slice::from_ref(factor);
        let mut place = self
            .place
            .take()
            .unwrap_or_else(|| Place::of(&[slot], factors, readers.sums, self));
        let (readers, union) = (&mut readers.factors[0], &mut self.union);
        if place.unite(slot, factor, needs, readers, union, budget) {
            return Some(&mut self.union);
        }
        self.place = Some(place);
        None
    }
}

impl Place {
    /// At the beginning of a row.
    fn of(row: &[Slot], factors: &[Factor], sums: usize, of: &mut Gathering) -> Place {
        of.sets.clear();
        let mut place = Place {
            tally: Tally::nothing(sums),
            factor: 0,
            source: 0,
            number: None,
            effort: Effort::default(),
        };
        place.enter(0, row, factors, &mut of.union);
        place
    }

    /// Goes to the beginning of a factor.
    fn enter(&mut self, at: usize, row: &[Slot], factors: &[Factor], union: &mut Union) {
        self.factor = at;
        self.source = 0;
        if let Some(factor) = factors.get(at) {
            self.effort = Effort::default();
            self.number = factor.selection.first(row[at]);
            union.begin(factor.precision);
        }
    }

    /// Takes in the cells of a slot; whether there are no more.
    fn unite(
        &mut self,
        slot: Slot,
        factor: &Factor,
        needs: &Needs,
        readers: &mut [Reader],
        union: &mut Union,
        budget: &mut Budget,
    ) -> bool {
        while let Some(reader) = readers.get_mut(self.source) {
            while let Some(place) = self.number {
                if budget.is_spent() {
                    return false;
                }
                budget.spend(SEEK);
                if let Some(cell) = reader.seek(factor.selection.number(place)) {
                    self.tally.count(&cell, reader.source().weight(), needs);
                    if needs.users {
                        let effort = Effort::of(cell.users.content(), 1.0);
                        self.effort.add(effort);
                        budget.spend(effort.uniting());
                        union.add(cell.users);
                    }
                }
                self.number = factor.selection.after(place);
            }
            self.source += 1;
            self.number = factor.selection.first(slot);
        }
        true
    }
}

/// Who is in all of these sets.
fn common(sets: &[Sketch], confidence: f64) -> Option<Figure> {
    let sketches: Vec<&Sketch> = sets.iter().collect();
    // The sets of one cube are of one hash.
    let joint = Joint::solve(&sketches).ok()?;
    let common = joint.intersection(SetMask::first(sets.len()));
    let (lower, upper) = common.interval(confidence);
    let users = Estimate {
        value: common.value,
        // Nought has no sign.
        variance: common.variance + 0.0,
        // That nobody is in all of them is known where somebody is missing in one.
        method: match sets.iter().any(Sketch::is_empty) {
            true => Method::Exact,
            false => common.method,
        },
    };
    Some(Figure::Common {
        users,
        lower,
        upper,
    })
}

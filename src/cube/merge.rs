//! The cells of several columns become those of one: how a slice is sealed, how a coarser one is made of finer ones,
//! and how what came late joins what was there. The three differ in where their inputs come from, and not here.
//!
//! All inputs are walked side by side by ascending numbers. Of each number the events and sums are added up and the
//! users united; sketches of one precision lose nothing by that. Where only one input has the number, its cell is
//! taken over as it is, with its running estimate.
//!
//! A column that keeps only so many values apart is walked twice if it may have more. The first walk counts how many
//! values have how many events, of which the second one knows who stays: the heaviest, and of equally heavy ones
//! those of the lower numbers. All others join the cell [`OTHER`].
//!
//! Both walks go by steps, so that nobody waits for a large column. A step ends where its [`Budget`] does, and the
//! next one begins at the number after. What has been made after so many numbers depends on the inputs alone: whoever
//! stores a merge that is under way stores how far it got, and walks there again afterwards.

use super::cell::Union;
use super::column::{self, Builder, Column};
use super::open::OpenColumn;
use super::schema::OTHER;
use super::users::{Cell, Sums, Tokens, Users};
use crate::sketch::Precision;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much may be done before others get their turn: in cells, and in the [effort](Users::effort) of their users.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    cells: i64,
    effort: i64,
}

impl Budget {
    /// So much.
    pub fn new(cells: usize, effort: usize) -> Budget {
        Budget {
            cells: i64::try_from(cells).unwrap_or(i64::MAX),
            effort: i64::try_from(effort).unwrap_or(i64::MAX),
        }
    }

    /// Without end.
    pub fn unlimited() -> Budget {
        Budget::new(usize::MAX, usize::MAX)
    }

    /// Takes so much off.
    pub fn spend(&mut self, cells: usize, effort: usize) {
        self.cells -= cells as i64;
        self.effort -= effort as i64;
    }

    /// Takes at most so much of it out, for a piece of work that gives back what it leaves.
    pub fn take(&mut self, cells: usize, effort: usize) -> Budget {
        let mut part = Budget::new(cells, effort);
        part.cells = part.cells.min(self.cells);
        part.effort = part.effort.min(self.effort);
        self.cells -= part.cells;
        self.effort -= part.effort;
        part
    }

    /// Gives back what is left of a part. One that has spent more than it was takes that off.
    pub fn give_back(&mut self, part: Budget) {
        self.cells += part.cells;
        self.effort += part.effort;
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.cells <= 0 || self.effort <= 0
    }
}

/// A sealed column: the values that were kept apart, and the cell of all others if there are any.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The cells of numbers from 1 on.
    pub named: Arc<Column>,
    /// A column of one cell, [`OTHER`].
    pub other: Option<Arc<Column>>,
}

impl Sealed {
    /// How many cells there are.
    pub fn cells(&self) -> usize {
        self.named.len() + usize::from(self.other.is_some())
    }

    /// Bytes that both occupy.
    pub fn memory_bytes(&self) -> usize {
        let other = self.other.as_deref().map_or(0, Column::memory_bytes);
        size_of::<Sealed>() + self.named.memory_bytes() + other
    }

    /// Events of the cell [`OTHER`].
    pub fn other_events(&self) -> u64 {
        let other = self.other.as_deref().and_then(|column| column.get(OTHER));
        other.map_or(0, |cell| cell.events)
    }

    /// Both as inputs.
    pub fn inputs(&self) -> impl Iterator<Item = Input> {
        let both = [Some(&self.named), self.other.as_ref()];
        both.into_iter().flatten().cloned().map(Input::Sealed)
    }
}

/// One of the columns that are merged. A clone shares what is large.
#[derive(Clone, Debug)]
pub enum Input {
    /// Of a sealed slice.
    Sealed(Arc<Column>),
    /// Of a slice that was open, or of what came late.
    Open(OpenColumn),
}

impl Input {
    /// How many cells there are.
    pub fn cells(&self) -> usize {
        match self {
            Input::Sealed(column) => column.len(),
            Input::Open(column) => column.len(),
        }
    }

    /// Bytes that it occupies.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Input::Sealed(column) => column.memory_bytes(),
            Input::Open(column) => column.heap_bytes() + size_of::<OpenColumn>(),
        }
    }

    /// The cells from this number on, ascending.
    pub fn iter_from(&self, number: u32) -> Cells<'_> {
        match self {
            Input::Sealed(column) => Cells::Sealed(column.iter_from(number)),
            Input::Open(column) => Cells::Open(column, Some(number)),
        }
    }
}

/// The cells of an input, ascending.
pub enum Cells<'a> {
    /// Of a sealed column.
    Sealed(column::Iter<'a>),
    /// Of an open one, from a number on.
    Open(&'a OpenColumn, Option<u32>),
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        match self {
            Cells::Sealed(cells) => cells.next(),
            Cells::Open(column, from) => {
                let cell = column.next((*from)?)?;
                *from = cell.number.checked_add(1);
                Some(cell)
            }
        }
    }
}

/// All inputs side by side.
struct Walk<'a> {
    cells: Vec<Cells<'a>>,
    heads: Vec<Option<Cell<'a>>>,
    /// Those of the number that was reached.
    reached: Vec<Cell<'a>>,
}

impl<'a> Walk<'a> {
    fn from(number: u32, inputs: &'a [Input]) -> Walk<'a> {
        let mut cells: Vec<_> = inputs.iter().map(|input| input.iter_from(number)).collect();
        let heads = cells.iter_mut().map(Iterator::next).collect();
        Walk {
            cells,
            heads,
            reached: Vec::new(),
        }
    }

    /// The next number, and its cells.
    fn advance(&mut self) -> Option<(u32, &[Cell<'a>])> {
        let heads = self.heads.iter().flatten();
        let number = heads.map(|head| head.number).min()?;
        self.reached.clear();
        for (head, cells) in self.heads.iter_mut().zip(&mut self.cells) {
            if let Some(cell) = head.take_if(|cell| cell.number == number) {
                self.reached.push(cell);
                *head = cells.next();
            }
        }
        Some((number, &self.reached))
    }
}

/// Which values stay apart: those with more events than this, and so many with exactly as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    above: u64,
    ties: u64,
}

impl Cut {
    /// From how many values have how many events.
    fn new(histogram: &BTreeMap<u64, u64>, limit: u32) -> Option<Cut> {
        let mut left = u64::from(limit);
        for (&events, &values) in histogram.iter().rev() {
            if values > left {
                return Some(Cut {
                    above: events,
                    ties: left,
                });
            }
            left -= values;
        }
        None
    }

    /// Whether the next value stays, by ascending numbers.
    fn keeps(&mut self, events: u64) -> bool {
        let tie = events == self.above && self.ties > 0;
        self.ties -= u64::from(tie);
        events > self.above || tie
    }
}

/// A sum of cells but for the users.
#[derive(Clone, Debug)]
struct Total {
    events: u64,
    sums: Vec<f64>,
}

impl Total {
    fn new(sums: usize) -> Total {
        Total {
            events: 0,
            sums: vec![0.0; sums],
        }
    }

    fn clear(&mut self) {
        self.events = 0;
        self.sums.fill(0.0);
    }

    fn add(&mut self, cell: &Cell) {
        self.events = self.events.saturating_add(cell.events);
        if !matches!(cell.sums, Sums::Zero) {
            for (at, sum) in self.sums.iter_mut().enumerate() {
                *sum += cell.sums.get(at);
            }
        }
    }

    fn cell<'a>(&'a self, number: u32, users: Users<'a>) -> Cell<'a> {
        Cell {
            number,
            events: self.events,
            sums: Sums::Numbers(&self.sums),
            users,
        }
    }
}

/// What the merged column is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Sums of each cell.
    pub sums: usize,
    /// Of the cells; those of a lower precision keep theirs.
    pub precision: Precision,
    /// The most values that stay apart.
    pub limit: Option<u32>,
    /// Of tokens: with fewer than all, users are packed.
    pub index_bits: u32,
}

#[derive(Clone, Debug)]
enum Phase {
    /// How many values have how many events.
    Counting(BTreeMap<u64, u64>),
    /// With the cut, if there is any.
    Merging(Option<Cut>),
    Done,
}

/// A column on its way; see the head of this file.
#[derive(Clone, Debug)]
pub struct Merge {
    inputs: Vec<Input>,
    shape: Shape,
    phase: Phase,
    /// From which number on it goes on.
    next: u32,
    builder: Builder,
    union: Union,
    total: Total,
    others: Option<Total>,
    others_union: Union,
}

impl Merge {
    /// Of these columns.
    pub fn new(inputs: Vec<Input>, shape: Shape) -> Merge {
        let may_exceed = Merge::may_exceed(&inputs, shape.limit);
        Merge {
            inputs,
            shape,
            phase: match may_exceed {
                true => Phase::Counting(BTreeMap::new()),
                false => Phase::Merging(None),
            },
            next: 0,
            builder: Builder::of_tokens(shape.sums, shape.index_bits),
            union: Union::new(),
            total: Total::new(shape.sums),
            others: None,
            others_union: Union::new(),
        }
    }

    /// Whether these columns may have more values than stay apart.
    pub fn may_exceed(inputs: &[Input], limit: Option<u32>) -> bool {
        let most: usize = inputs.iter().map(Input::cells).sum();
        limit.is_some_and(|limit| most > limit as usize)
    }

    /// Goes on until it is done or the budget is spent, at least by one number. `steps` counts the numbers, and each
    /// number that stays apart is told. Whether it is done.
    pub fn run(
        &mut self,
        budget: &mut Budget,
        most_steps: u64,
        steps: &mut u64,
        mut stays: impl FnMut(u32),
    ) -> bool {
        let Merge {
            inputs,
            shape,
            phase,
            next,
            builder,
            union,
            total,
            others,
            others_union,
        } = self;
        while !matches!(phase, Phase::Done) {
            let mut walk = Walk::from(*next, inputs);
            loop {
                if *steps >= most_steps || budget.is_spent() {
                    return false;
                }
                let Some((number, cells)) = walk.advance() else {
                    break;
                };
                *steps += 1;
                // The last number there is, u32::MAX, is never given out.
                *next = number + 1;
                total.clear();
                cells.iter().for_each(|cell| total.add(cell));
                let cut = match phase {
                    Phase::Counting(histogram) => {
                        if number != OTHER {
                            *histogram.entry(total.events).or_default() += 1;
                        }
                        budget.spend(cells.len(), 0);
                        continue;
                    }
                    Phase::Merging(cut) => cut,
                    Phase::Done => break,
                };
                let effort = cells.iter().map(|cell| cell.users.effort()).sum();
                budget.spend(cells.len(), effort);
                if number != OTHER && cut.as_mut().is_none_or(|cut| cut.keeps(total.events)) {
                    let users = united(union, cells, shape);
                    if cells.len() > 1 {
                        budget.spend(0, users.effort_to_make());
                    }
                    builder.push(total.cell(number, users));
                    stays(number);
                } else {
                    let others = others.get_or_insert_with(|| {
                        others_union.begin(shape.precision);
                        Total::new(shape.sums)
                    });
                    others.add(&total.cell(number, Users::NOBODY));
                    cells.iter().for_each(|cell| others_union.add(cell.users));
                }
            }
            *next = 0;
            let limit = shape.limit.unwrap_or(u32::MAX);
            *phase = match phase {
                Phase::Counting(histogram) => Phase::Merging(Cut::new(histogram, limit)),
                Phase::Merging(_) | Phase::Done => Phase::Done,
            };
        }
        true
    }

    /// The column, of a merge that is done.
    pub fn finish(mut self) -> Sealed {
        let other = self.others.map(|others| {
            let Shape {
                sums, index_bits, ..
            } = self.shape;
            let mut builder = Builder::of_tokens(sums, index_bits);
            let users = self.others_union.to_users_of(index_bits);
            builder.push(others.cell(OTHER, users));
            Arc::new(builder.finish())
        });
        Sealed {
            named: Arc::new(self.builder.finish()),
            other,
        }
    }

    /// Bytes of what it has made so far.
    pub fn made_bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// All of it at once.
    pub fn whole(inputs: Vec<Input>, shape: Shape) -> Sealed {
        let mut merge = Merge::new(inputs, shape);
        merge.run(&mut Budget::unlimited(), u64::MAX, &mut 0, |_| {});
        merge.finish()
    }
}

/// The users of all these cells.
fn united<'a>(union: &'a mut Union, cells: &[Cell<'a>], shape: &Shape) -> Users<'a> {
    if let [only] = cells {
        let as_it_is = match only.users {
            Users::Registers { registers, .. } => registers.precision() <= Some(shape.precision),
            Users::Tokens(tokens @ (Tokens::Bytes(_) | Tokens::Packed { .. })) => {
                tokens.index_bits() == shape.index_bits
                    && tokens.len() < shape.precision.max_tokens()
            }
            // Not in order.
            Users::Tokens(_) => false,
        };
        if as_it_is {
            return only.users;
        }
    }
    union.begin(shape.precision);
    cells.iter().for_each(|cell| union.add(cell.users));
    union.to_users_of(shape.index_bits)
}

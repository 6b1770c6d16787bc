//! What is made of sets that are compared: a row of figures for each value, solution by solution.
//!
//! A [`SetQuery`] makes sets and a [`Solver`] makes figures of them. Each of its steps is one joint solution, or the
//! intervals of one line, and nothing else is done in that step: these are what cannot be divided.

use super::super::calendar::Millis;
use super::super::question::{Answer, Level, Row, Unanswerable};
use super::sets::{Found, Operands, SetQuery};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Makes figures of sets.
pub trait Solver {
    /// What a row says.
    type Figures;

    /// Makes something of sets that are compared; whether there is nothing more to be made of these.
    fn go_on(&mut self, operands: &Operands) -> Result<bool, Unanswerable>;

    /// Ends the row that has these counters.
    fn end(&mut self, counters: &Row) -> Self::Figures;
}

/// What was found out by comparing sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings<F> {
    /// The borders that were used.
    pub range: Range<Millis>,
    /// Whether one column has answered, or sets of users that stand aside were in it.
    pub level: Level,
    /// Events whose values share the cell `(other)`, as in [`Answer::other_events`].
    pub other_events: u64,
    /// In the order of the values' bytes.
    pub rows: Vec<Finding<F>>,
}

/// A row of [`Findings`].
#[derive(Clone, Debug, PartialEq)]
pub struct Finding<F> {
    /// The value, where a dimension was asked by.
    pub value: Option<Arc<[u8]>>,
    /// Whether events that belong here may be in `(other)`.
    pub at_least: bool,
    /// What it says.
    pub figures: F,
}

/// See the head of this file.
pub struct Analysis<S: Solver> {
    query: SetQuery,
    solver: S,
    /// The rows that there are, which come first.
    answer: Option<Answer>,
    operands: Option<Operands>,
    rows: Vec<Finding<S::Figures>>,
}

impl<S: Solver> Analysis<S> {
    /// Of these sets.
    pub fn new(query: SetQuery, solver: S) -> Analysis<S> {
        Analysis {
            query,
            solver,
            answer: None,
            operands: None,
            rows: Vec::new(),
        }
    }

    /// About how long all steps take together.
    pub fn expected(&self) -> Duration {
        self.query.expected()
    }

    /// Bytes that live on until it is finished.
    pub fn bytes(&self) -> usize {
        self.query.bytes()
    }

    /// Works for about a third of a millisecond, or makes one joint solution or a line of figures; `None` where it is not
    /// finished.
    pub fn step(&mut self) -> Option<Result<Findings<S::Figures>, Unanswerable>> {
        if let Some(operands) = &self.operands {
            return match self.solver.go_on(operands) {
                Err(why) => Some(Err(why)),
                Ok(is_done) => {
                    if is_done {
                        self.operands = None;
                    }
                    None
                }
            };
        }
        match self.query.step()? {
            Err(why) => Some(Err(why)),
            Ok(Found::Rows(answer)) => {
                self.answer = Some(answer);
                None
            }
            Ok(Found::Operands(operands)) => {
                self.end_rows(operands.row);
                self.operands = Some(operands);
                None
            }
            Ok(Found::Nothing) => {
                self.end_rows(usize::MAX);
                let rows = std::mem::take(&mut self.rows);
                self.answer.take().map(|answer| {
                    Ok(Findings {
                        range: answer.range,
                        level: answer.level,
                        other_events: answer.other_events,
                        rows,
                    })
                })
            }
        }
    }

    /// Ends all rows before this one.
    fn end_rows(&mut self, before: usize) {
        let counters = self.answer.iter().flat_map(|answer| &answer.rows);
        for row in counters.take(before).skip(self.rows.len()) {
            self.rows.push(Finding {
                value: row.values.first().cloned(),
                at_least: row.at_least,
                figures: self.solver.end(row),
            });
        }
    }
}

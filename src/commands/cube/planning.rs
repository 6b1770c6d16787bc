//! Questions about many slices, which take long already to plan.
//!
//! A plan says which slices each bucket and each set is made of, and finds the sources of all of them. That takes a
//! microsecond or two for each, which is nothing for some hundred slices and more than a command may take for some
//! thousand. It takes as long for each bucket or period, and a fraction of it for each slice that would be there had
//! something happened. Then another thread plans, from a copy of the cube: it shares everything with the cube but the lists of
//! slices, and whichever of the two is changed first copies the page that it changes.

use crate::cube::Cube;
use crate::cube::calendar::{Millis, Span};
use crate::cube::question::Time;
use crate::server::answers::{LONGEST_IN_PLACE, is_short};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::reply::Outcome;
use crate::server::workers::Work;
use std::ops::ControlFlow;
use std::time::Duration;

/// To plan for a slice.
const OF_A_SLICE: Duration = Duration::from_micros(2);

/// Slices without events that take as long to plan for as one with some.
const PLACES_OF_A_SLICE: usize = 4;

/// Bytes of a copy for each slice.
const BYTES_OF_A_SLICE: usize = 256;

/// Slices for which a question is planned where it is asked.
pub const FEW: usize = 500;

/// What a question is worked on with once it is planned: about how long that takes, the bytes that it keeps alive, and it.
pub type Planned<W> = (Duration, usize, W);

/// Work that is to be planned.
enum Stage<W> {
    Unplanned(Box<dyn FnOnce() -> Result<Planned<W>, CommandError> + Send>),
    Planned(W),
    Over,
}

impl<W: Work> Work for Stage<W> {
    fn step(&mut self) -> ControlFlow<Outcome> {
        if let Stage::Planned(work) = self {
            return work.step();
        }
        // Nobody goes on with what has failed to be planned.
        if let Stage::Unplanned(plan) = std::mem::replace(self, Stage::Over) {
            match plan() {
                Ok((_, _, work)) => *self = Stage::Planned(work),
                Err(error) => return ControlFlow::Break(Err(error)),
            }
        }
        ControlFlow::Continue(())
    }
}

/// The slices that a question about this time may be made of, of all time where it is left out, and the buckets or periods
/// of a length; those without events count for less.
pub fn slices(cube: &Cube, time: Option<&Time>, length: Option<Span>) -> usize {
    let (all, range) = match time {
        None => (Millis::MIN..Millis::MAX, cube.kept().unwrap_or(0..0)),
        Some(Time::Between(range) | Time::UpTo(range)) => (range.clone(), range.clone()),
    };
    let [places, stretches] = cube.places_in(&range, length);
    cube.slices_in(all) + stretches + places / PLACES_OF_A_SLICE
}

/// About how long it takes to plan for so many slices.
pub fn expected(slices: usize) -> Duration {
    OF_A_SLICE * u32::try_from(slices).unwrap_or(u32::MAX)
}

/// Why a write that would read a cube for so long is refused.
pub fn too_long(expected: Duration) -> CommandError {
    CommandError::invalid(format_args!(
        "the union may take {} ms, and a write cannot wait, ask for a shorter range or fewer values",
        expected.as_millis()
    ))
}

/// What is to be planned for so many slices: here, or by another thread from a copy of the cube.
pub enum Plan<W: Work> {
    /// Planned.
    Here(Planned<W>),
    /// To be planned.
    Elsewhere(
        usize,
        Box<dyn FnOnce() -> Result<Planned<W>, CommandError> + Send>,
    ),
}

/// Plans, or has it planned.
pub fn plan<W: Work>(
    ctx: &Context,
    cube: &Cube,
    slices: usize,
    plan: impl FnOnce(&Cube) -> Result<Planned<W>, CommandError> + Send + 'static,
) -> Result<Plan<W>, CommandError> {
    let is_long = !is_short(expected(slices));
    if is_long || slices > FEW && ctx.may_wait() {
        let cube = cube.clone();
        return Ok(Plan::Elsewhere(slices, Box::new(move || plan(&cube))));
    }
    plan(cube).map(Plan::Here)
}

impl<W: Work + 'static> Plan<W> {
    /// Answers, when it is worked out.
    pub fn answer(self, ctx: &mut Context) -> Outcome {
        match self {
            Plan::Here((expected, bytes, work)) => ctx.answer(expected, bytes, work),
            Plan::Elsewhere(slices, plan) => {
                // Long by itself, however short what follows may be.
                let expected = expected(slices).max(2 * LONGEST_IN_PLACE);
                ctx.answer(expected, slices * BYTES_OF_A_SLICE, Stage::Unplanned(plan))
            }
        }
    }
}

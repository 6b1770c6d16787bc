//! The union of the sketches under some keys: in place where they are few and it is quick, and otherwise
//! of copies. These share registers and tokens with the values under the keys, so making them costs next to
//! nothing, and the union can be made by another thread.

use super::asked::{Asked, Prepared};
use crate::commands::statistics::estimated;
use crate::server::answers::{OneStep, is_short};
use crate::server::args::{Arg, ArgList};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::key::Copied;
use crate::server::reply::{Outcome, Reply};
use crate::sketch::{Estimate, Sketch};
use std::collections::HashSet;
use std::time::Duration;

/// The operands of a union. Missing keys hold no elements and are left out.
pub struct Operands(Vec<Copied<Sketch>>);

/// To read a PF key's string as a sketch: 7 µs where nothing else is going on (`cargo bench -p benches --bench formats`).
const READ_STRING: Duration = Duration::from_micros(15);

/// Bytes of strings that one command copies: more than a thousand PF keys of the largest size.
const MOST_STRING_BYTES: usize = 16 << 20;

impl Operands {
    /// What is under these keys now. A sketch that is named twice costs next to nothing; a string is copied
    /// once.
    pub fn of_keys<'a>(
        ctx: &Context,
        names: impl IntoIterator<Item = Arg<'a>>,
    ) -> Result<Operands, CommandError> {
        let (mut operands, mut strings, mut string_bytes) = (Vec::new(), HashSet::new(), 0);
        for name in names {
            let Some(copied) = ctx.copy(name.into())? else {
                continue;
            };
            if let Copied::String { bytes, .. } = &copied {
                if !strings.insert(name.bytes()) {
                    continue;
                }
                string_bytes += bytes.len();
            }
            if string_bytes > MOST_STRING_BYTES {
                return Err(CommandError::invalid(format_args!(
                    "the PF keys named here come to more than {} MiB, merge some into a sketch with \
                     HLL.MERGE first",
                    MOST_STRING_BYTES >> 20
                )));
            }
            operands.push(copied);
        }
        Ok(Operands(operands))
    }

    /// These sketches.
    pub fn of_sketches(sketches: Vec<Sketch>) -> Operands {
        Operands(sketches.into_iter().map(Copied::Value).collect())
    }

    fn sketches(&self) -> impl Iterator<Item = &Sketch> {
        self.0.iter().filter_map(|operand| match operand {
            Copied::Value(sketch) => Some(sketch),
            Copied::String { .. } => None,
        })
    }

    fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter_map(|operand| match operand {
            Copied::Value(_) => None,
            Copied::String { bytes, .. } => Some(&**bytes),
        })
    }

    /// About how long the union takes.
    pub fn expected(&self) -> Duration {
        let strings = u32::try_from(self.strings().count()).unwrap_or(u32::MAX);
        Sketch::union_cost(self.sketches()) + READ_STRING * strings
    }

    /// Bytes that the copies take.
    pub fn bytes(&self) -> usize {
        let sketches = self.sketches().map(Sketch::clone_bytes);
        sketches.chain(self.strings().map(<[u8]>::len)).sum()
    }

    /// All of them as sketches.
    pub fn into_sketches(self) -> Result<Vec<Sketch>, CommandError> {
        self.0.into_iter().map(Copied::into_value).collect()
    }

    /// Their union; `None` of none.
    pub fn unite(self) -> Result<Option<Sketch>, CommandError> {
        let sketches = self.into_sketches()?;
        Ok(Sketch::union(&sketches)?.map(|union| union.into_owned()))
    }
}

/// How many keys are read where they are, a PF key among them at a cost of [`READ_STRING`].
const FEW: usize = 64;

/// Answers with what is made of the count of the union of these keys.
pub fn answer(
    ctx: &mut Context,
    names: ArgList,
    reply: impl FnOnce(Estimate) -> Reply + Send + 'static,
) -> Outcome {
    if names.len() <= FEW {
        let keys = names.iter().map(|name| ctx.read::<Sketch>(name.into()));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let sketches = || keys.iter().filter_map(|key| key.value());
        if is_short(Sketch::union_cost(sketches())) {
            return Ok(reply(estimate(Sketch::union(sketches())?.as_deref())));
        }
    }
    ask(names, reply).answer_here(ctx)
}

/// Asks for the same.
pub fn ask<'a>(
    names: ArgList<'a>,
    reply: impl FnOnce(Estimate) -> Reply + Send + 'static,
) -> Asked<'a> {
    Asked {
        sets: Vec::new(),
        unions: vec![names.iter().collect()],
        answer: Box::new(move |_, mut unions| {
            let operands = unions.pop().ok_or(CommandError::Internal)?;
            Ok(Prepared {
                expected: operands.expected(),
                bytes: operands.bytes(),
                work: Box::new(OneStep::new(move || {
                    Ok(reply(estimate(operands.unite()?.as_ref())))
                })),
            })
        }),
    }
}

fn estimate(union: Option<&Sketch>) -> Estimate {
    estimated(union.map_or(Estimate::from_tokens(0), Sketch::estimate))
}

//! How long an answer is going to take, for whoever must not wait for it and can have it made elsewhere.
//!
//! ```text
//!   slices that are due and not made        their cells and bytes
//!   selected numbers                        where conditions need a table
//!   surveyed cells, and passes over rows    where rows are values
//!   gathered rows, for each segment         cells looked for, users unpacked and united, one estimate each
//!   solutions                               of what several sets have in common
//!   names compared                          to put rows in order
//!   rows written                            with their figures, for each segment
//! ```
//!
//! What is in the cells is not known before they are read, only how many there are, and how many tokens and registers all of
//! them have. How
//! many rows have to be looked at to find the first ones by their users depends on how alike they are: it is taken for
//! a few times as many as are wanted, and whoever gives an answer a limit should count the steps.

use super::super::question::{Direction, Gaps, Metric, Order};
use super::super::source::Source;
use super::compare::MOST_PAIRS;
use super::cost::{self, Effort};
use super::plan::{Bucket, Factor, Plan, Segment};
use super::selection::Selection;
use std::time::Duration;

/// Rows that are looked at for each that is wanted, where the first by users are.
const LOOKED_AT: f64 = 4.0;

/// All steps of an answer together. The sources are those of the plan.
pub fn answer(plan: &Plan, sources: &[Source]) -> Duration {
    let mut nanoseconds: f64 = sources.iter().map(making).sum();
    let mut rows = 1.0;
    for (factor, positions) in plan.factors.iter().zip(&plan.whole.sources) {
        let lengths = positions
            .iter()
            .map(|&at| sources[at as usize].len() as f64);
        let cells: f64 = lengths.sum();
        let numbers = factor.selection.numbers(&factor.all) as f64;
        if let Selection::Table(_) = factor.selection {
            nanoseconds += numbers * cost::SELECT;
        }
        if !factor.by.is_empty() {
            rows *= cells.min(numbers);
            nanoseconds += match factor.selection {
                Selection::Named(_) => numbers * positions.len() as f64 * cost::SEEK,
                Selection::Each | Selection::Table(_) => cells * cost::SCAN,
            };
        }
    }
    let wanted = plan
        .limit
        .map_or(f64::INFINITY, |limit| limit as f64 + plan.offset as f64);
    let chosen = rows.min(wanted);
    // How many rows are written down.
    let mut written = chosen;
    let looked_at = match plan.order {
        _ if plan.factors.len() > 1 => rows,
        Some(Order {
            metric: Metric::Unique,
            direction: Direction::Descending,
        }) => rows.min(LOOKED_AT * wanted),
        Some(Order {
            metric: Metric::Unique | Metric::Returning | Metric::PerUser(_),
            ..
        }) => rows,
        _ => chosen,
    };
    match &plan.buckets {
        None => nanoseconds += gathering(plan, &plan.whole, sources, looked_at),
        Some(buckets) => {
            if looked_at > chosen || plan.needs_figures_to_choose() {
                nanoseconds += gathering(plan, &plan.whole, sources, looked_at);
            }
            for segment in buckets.iter().filter_map(|bucket| bucket.segment.as_ref()) {
                nanoseconds += gathering(plan, segment, sources, chosen);
            }
            let of_bucket = |bucket: &Bucket| match (&bucket.segment, plan.gaps) {
                (_, Gaps::Filled) => chosen,
                (Some(segment), Gaps::Left) => chosen.min(cells(plan, segment, sources)),
                (None, Gaps::Left) => 0.0,
            };
            written = buckets.iter().map(of_bucket).sum();
        }
    }
    if let Some(compared) = &plan.compared {
        let segments = compared.segments.iter().flatten();
        nanoseconds += segments
            .map(|segment| gathering(plan, segment, sources, chosen))
            .sum::<f64>();
        let pairs = chosen * compared.segments.len() as f64;
        nanoseconds += pairs.min(MOST_PAIRS as f64) * plan.needs.pair;
    }
    nanoseconds += rows * cost::PASS + chosen * (chosen + 1.0).log2() * cost::COMPARE;
    let figures = plan.metrics.len();
    let estimated = plan.metrics.iter().filter(|metric| {
        let of_users = matches!(metric, Metric::Unique | Metric::Returning | Metric::New);
        of_users || matches!(metric, Metric::PerUser(_))
    });
    let intervals = estimated.count();
    nanoseconds += written * cost::write_row(figures, intervals);
    if plan.compared.is_some() {
        // The other side's figures, and by how much they differ.
        nanoseconds += written * cost::write_row(figures, figures);
    }
    Duration::from_nanos(nanoseconds as u64)
}

/// How many rows may have cells in a segment, of those that are one value or pair of values.
fn cells(plan: &Plan, segment: &Segment, sources: &[Source]) -> f64 {
    let factors = plan.factors.iter().zip(&segment.sources);
    let with_rows = factors.filter(|(factor, _)| !factor.by.is_empty());
    let cells = with_rows.map(|(_, positions)| {
        let lengths = positions.iter().map(|&at| sources[at as usize].len());
        lengths.sum::<usize>() as f64
    });
    cells.product()
}

/// To make the cells of a source, where that is still to be done.
pub fn making(source: &Source) -> f64 {
    if !source.is_pending() {
        return 0.0;
    }
    source.len() as f64 * cost::MAKE_CELL + source.bytes() as f64 * cost::MAKE_BYTE
}

/// To gather so many rows of a segment.
fn gathering(plan: &Plan, segment: &Segment, sources: &[Source], rows: f64) -> f64 {
    let factors = plan.factors.iter().zip(&segment.sources);
    let of_factor = |(factor, positions): (&Factor, &Vec<u32>)| {
        // A factor that no row is asked by is the same set for all of them.
        let rows = if factor.by.is_empty() { 1.0 } else { rows };
        let (nanoseconds, united) = uniting(factor, positions, sources, rows, plan.needs.users);
        let cells_of_a_row = match factor.selection {
            Selection::Named(_) if factor.by.is_empty() => factor.selection.numbers(&factor.all),
            Selection::Named(_) | Selection::Each => 1,
            Selection::Table(_) => usize::MAX,
        };
        // A cell by itself has its estimate.
        match plan.factors.len() == 1 && cells_of_a_row.saturating_mul(positions.len()) <= 1 {
            true => nanoseconds,
            false => nanoseconds + united.estimating(factor.precision, rows),
        }
    };
    let all: f64 = factors.map(of_factor).sum();
    all + rows * plan.needs.solution
}

/// To find the cells of so many rows of a factor in these sources, and to unite their users if they are wanted; and how
/// much these are.
pub fn uniting(
    factor: &Factor,
    positions: &[u32],
    sources: &[Source],
    rows: f64,
    users: bool,
) -> (f64, Effort) {
    let numbers = match factor.by.is_empty() {
        true => factor.selection.numbers(&factor.all) as f64,
        false => 1.0,
    };
    let (mut nanoseconds, mut united) = (rows * cost::ROW, Effort::default());
    for source in positions.iter().map(|&at| &sources[at as usize]) {
        let cells = source.len() as f64;
        let looked_for = rows * numbers;
        let found = looked_for.min(cells) / cells.max(1.0);
        nanoseconds += looked_for * cost::SEEK;
        if users {
            united.add(Effort::of(source.content(), found));
        }
    }
    (nanoseconds + united.uniting(), united)
}

//! Which slices answer for a stretch of time.
//!
//! # What it is for
//!
//! The same time is kept in slices of several lengths, its *tiers*: for a while in hours, longer in days, still longer
//! in weeks and months. Uniting three months gives what uniting their two thousand hours gives, for less. A
//! [`Cover`] is a list of slices, one after the other without gaps, in which time is never told twice, and which takes
//! the coarsest slices that fit.
//!
//! # What may be taken
//!
//! Slices of a tier are *kept* from some time on; those before are gone. Slices of coarser tiers are made from finer
//! ones when their time is over, so they can be taken up to the time that is *due*, and only the finest tier goes on
//! from there. So each tier has one stretch of time within which all its slices may be taken:
//!
//! ```text
//!                                                        due
//!   months  |=====|=====|=====|=====|=====|=====|         :
//!   days                             |-|-|-|-|-|-|-|-|-|-|:
//!   hours                                         ::::::::::::::: and on
//!           before this nothing is kept                          time -->
//! ```
//!
//! It is the grid that is covered, whether something happened in a slice or not.
//!
//! # Borders that move
//!
//! A stretch of time may begin or end inside a slice whose finer slices are gone. Then that border cannot be had, and
//! moves to the nearer border of the slice, to the earlier one of two that are equally near. For instance,
//! where hours are kept only from 14:00 on, the time from midnight to 16:00 is no sum of slices, though each of its
//! borders is one of a slice: hours do not go back to midnight, and the day ends later. The end moves to the end of
//! the day.
//!
//! Where lengths do not nest, like weeks and months, a border lies in slices of both, and the nearer border of
//! the one may not go together with what the other end needs: there may be no way by whole slices from the beginning
//! of a month to the end of a week. So for every tier the nearer border of its slice is a *candidate*, and of all
//! pairs of candidates that whole slices connect the one is taken that moves least. Both borders are candidates for
//! themselves if they are borders of slices, so nothing moves without need. Where a tier's slices begin to be kept a
//! little after the border, that is a candidate as well, if it is at least as near as the others.
//!
//! What no tier has cannot be answered at any price. Then, and only then, the range is *cut* to where some tier begins
//! or ends, by as little as possible.

use super::calendar::{Calendar, Millis, Span};
use std::ops::Range;

/// What a tier still has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// The length of its slices.
    pub slice: Span,
    /// A slice is kept if it ends after this instant.
    pub from: Millis,
}

/// A slice of a cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The position of its tier, the finest being 0.
    pub tier: usize,
    /// Its first instant.
    pub start: Millis,
    /// The first instant after it.
    pub end: Millis,
}

/// Slices that together are a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Cover {
    /// Where it begins.
    pub from: Millis,
    /// Where it ends, exclusive. A cover without slices ends where it begins.
    pub to: Millis,
    /// In ascending order: each begins where the one before ends.
    pub pieces: Vec<Piece>,
}

impl Cover {
    /// Whether its borders are those that were asked for.
    pub fn is_exact(&self, range: &Range<Millis>) -> bool {
        self.from == range.start && self.to == range.end
    }
}

/// The slices that answer for a range; see the head of this file.
///
/// Tiers come from the finest to the coarsest, and slices of the finest one fill all others. Slices of the coarser
/// ones may be taken if they end at `due` or before.
///
/// There may be as many pieces as the finest tier has slices in the range from where it is kept: a caller does not ask
/// far beyond the newest event. A range that ends before it begins is taken for the empty one at its start.
pub fn cover(calendar: &Calendar, tiers: &[Kept], due: Millis, range: Range<Millis>) -> Cover {
    let grid = Grid::new(calendar, tiers, due);
    let starts = grid.candidates(range.start);
    let ends = grid.candidates(range.end.max(range.start));
    let mut pairs: Vec<_> = starts
        .iter()
        .flat_map(|start| ends.iter().map(move |end| (start, end)))
        .filter(|(start, end)| start.at <= end.at)
        .map(|(start, end)| {
            let cut = start.cut.saturating_add(end.cut);
            let moved = start.moved.saturating_add(end.moved);
            (cut, moved, start.at, end.at)
        })
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut pieces = vec![];
    let connected = pairs
        .into_iter()
        .find(|&(_, _, from, to)| grid.fill(grid.tiers.len(), from, to, &mut pieces));
    let (from, to) = connected.map_or((range.start, range.start), |(_, _, from, to)| (from, to));
    Cover { from, to, pieces }
}

/// From when on there are slices that may be taken, of any tier; `None` where there are none. For the rest see [`cover`].
pub fn oldest(calendar: &Calendar, tiers: &[Kept], due: Millis) -> Option<Millis> {
    let grid = Grid::new(calendar, tiers, due);
    grid.tiers.iter().map(|tier| tier.time.start).min()
}

/// A tier, and the time whose slices may be taken: from the beginning of a slice to the end of one, not empty.
struct Tier {
    position: usize,
    slice: Span,
    time: Range<Millis>,
}

/// Where a border of a range may go.
struct Candidate {
    at: Millis,
    /// By how much, if it stays with the slices that it lies in.
    moved: u64,
    /// By how much, if it leaves them.
    cut: u64,
}

/// All slices that may be taken.
struct Grid<'c> {
    calendar: &'c Calendar,
    /// From the finest to the coarsest.
    tiers: Vec<Tier>,
}

impl Grid<'_> {
    fn new<'c>(calendar: &'c Calendar, kept: &[Kept], due: Millis) -> Grid<'c> {
        let tier = |(position, kept): (usize, &Kept)| {
            let start = calendar.slice(kept.slice, kept.from).start;
            let end = match position {
                0 => Millis::MAX,
                _ => calendar.slice(kept.slice, due).start,
            };
            let slice = kept.slice;
            let time = start..end;
            (!time.is_empty()).then_some(Tier {
                position,
                slice,
                time,
            })
        };
        Grid {
            calendar,
            tiers: kept.iter().enumerate().filter_map(tier).collect(),
        }
    }

    /// Where a border may go, one place for each tier.
    fn candidates(&self, border: Millis) -> Vec<Candidate> {
        let lies_in = |tier: &Tier| tier.time.start <= border && border <= tier.time.end;
        let (around, elsewhere): (Vec<&Tier>, Vec<&Tier>) =
            self.tiers.iter().partition(|tier| lies_in(tier));
        let mut candidates: Vec<Candidate> = around
            .into_iter()
            .map(|tier| {
                let slice = self.calendar.slice(tier.slice, border);
                let (back, on) = (border.abs_diff(slice.start), border.abs_diff(slice.end));
                let (at, moved) = if back <= on {
                    (slice.start, back)
                } else {
                    (slice.end, on)
                };
                Candidate { at, moved, cut: 0 }
            })
            .collect();
        let near = candidates.iter().map(|candidate| candidate.moved).min();
        candidates.extend(elsewhere.into_iter().map(|tier| {
            let at = border.clamp(tier.time.start, tier.time.end);
            let distance = border.abs_diff(at);
            let (moved, cut) = if near.is_some_and(|near| distance <= near) {
                (distance, 0)
            } else {
                (0, distance)
            };
            Candidate { at, moved, cut }
        }));
        candidates
    }

    /// Appends the slices of the finest so many tiers that lead from one instant to another, the coarsest that fit.
    /// Where there are none it appends nothing and answers false.
    ///
    /// Slices of the coarsest tier are one run, from its first border that finer slices reach to its last one that
    /// they go on from. What lies before and after is filled by finer tiers in the same way. If there is any way that
    /// takes slices of that tier, there is one of this form, since the whole run may be taken.
    fn fill(&self, tiers: usize, from: Millis, to: Millis, pieces: &mut Vec<Piece>) -> bool {
        if from == to {
            return true;
        }
        let tiers = &self.tiers[..tiers];
        let Some((coarsest, finer)) = tiers.split_last() else {
            return false;
        };
        // This decides nearly all that cannot be filled, before anything is tried.
        let begins = tiers.iter().any(|tier| self.begins(tier, from));
        let ends = tiers.iter().any(|tier| self.ends(tier, to));
        if !(begins && ends) {
            return false;
        }
        let finer = finer.len();
        let before = pieces.len();
        let limits = self.run(coarsest, from..to);
        let mut start = limits.start;
        while start < limits.end && !self.fill(finer, from, start, pieces) {
            start = self.calendar.slice(coarsest.slice, start).end;
        }
        if start < limits.end {
            let mut end = limits.end;
            let mut rest = vec![];
            while end > start && !self.fill(finer, end, to, &mut rest) {
                end = self.calendar.slice(coarsest.slice, end - 1).start;
            }
            if end > start {
                self.take(coarsest, start..end, pieces);
                pieces.append(&mut rest);
                return true;
            }
            pieces.truncate(before);
        }
        self.fill(finer, from, to, pieces)
    }

    /// Whether a slice of this tier begins here.
    fn begins(&self, tier: &Tier, at: Millis) -> bool {
        tier.time.contains(&at) && self.is_border(tier, at)
    }

    /// Whether a slice of this tier ends here.
    fn ends(&self, tier: &Tier, at: Millis) -> bool {
        tier.time.start < at && at <= tier.time.end && self.is_border(tier, at)
    }

    fn is_border(&self, tier: &Tier, at: Millis) -> bool {
        self.calendar.slice(tier.slice, at).start == at
    }

    /// From the first to the last border of a tier within a range. Empty, or the wrong way round, where no slice of it
    /// fits.
    fn run(&self, tier: &Tier, range: Range<Millis>) -> Range<Millis> {
        let start = range.start.max(tier.time.start);
        let first = self.calendar.slice(tier.slice, start);
        let end = range.end.min(tier.time.end);
        let last = self.calendar.slice(tier.slice, end);
        if first.start == start {
            start..last.start
        } else {
            first.end..last.start
        }
    }

    /// Appends the slices of a tier from one of its borders to another.
    fn take(&self, tier: &Tier, run: Range<Millis>, pieces: &mut Vec<Piece>) {
        let mut start = run.start;
        while start < run.end {
            let end = self.calendar.slice(tier.slice, start).end;
            pieces.push(Piece {
                tier: tier.position,
                start,
                end,
            });
            start = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::{WeekStart, Zone};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    /// The beginning of the 15th of March 2025 in UTC, a Saturday.
    const MIDNIGHT: Millis = 1_741_996_800_000;

    fn span(text: &str) -> Span {
        Span::parse(text.as_bytes()).unwrap()
    }

    fn calendar(zone: &str) -> Calendar {
        Calendar {
            zone: Zone::named(zone).unwrap(),
            week_start: WeekStart::Monday,
        }
    }

    fn tiers(kept: &[(&str, Millis)]) -> Vec<Kept> {
        let tier = |&(slice, from)| Kept {
            slice: span(slice),
            from,
        };
        kept.iter().map(tier).collect()
    }

    /// The slices that may be taken, tier by tier, found by walking, up to some time after the end of all.
    fn usable(
        calendar: &Calendar,
        tiers: &[Kept],
        due: Millis,
        window: &Range<Millis>,
    ) -> Vec<Vec<Piece>> {
        let of_tier = |(tier, kept): (usize, &Kept)| {
            let mut at = window.start;
            let mut slices = vec![];
            while at < window.end {
                let slice = calendar.slice(kept.slice, at);
                at = slice.end;
                if slice.end > kept.from && (tier == 0 || slice.end <= due) {
                    slices.push(Piece {
                        tier,
                        start: slice.start,
                        end: slice.end,
                    });
                }
            }
            slices
        };
        tiers.iter().enumerate().map(of_tier).collect()
    }

    /// Where slices lead from an instant.
    fn reached(slices: &[Vec<Piece>], from: Millis) -> BTreeSet<Millis> {
        let mut all: Vec<Piece> = slices.concat();
        all.sort_by_key(|slice| slice.start);
        let mut reached = BTreeSet::from([from]);
        for slice in all {
            if reached.contains(&slice.start) {
                reached.insert(slice.end);
            }
        }
        reached
    }

    /// Where a border may go: how far it is cut, how far it moves, and to where.
    fn places(slices: &[Vec<Piece>], border: Millis) -> Vec<(u64, u64, Millis)> {
        let tiers = || slices.iter().filter(|tier| !tier.is_empty());
        let nearer = |tier: &Vec<Piece>| {
            let holds = |slice: &&Piece| slice.start <= border && border <= slice.end;
            let borders = tier.iter().filter(holds).flat_map(|s| [s.start, s.end]);
            borders
                .map(|at| (0, border.abs_diff(at), at))
                .min_by_key(|&(_, moved, at)| (moved, at))
        };
        let near = tiers()
            .filter_map(nearer)
            .map(|(_, moved, _)| moved)
            .min()
            .unwrap_or(0);
        let place = |tier: &Vec<Piece>| {
            nearer(tier).unwrap_or_else(|| {
                let (first, last) = (tier[0].start, tier[tier.len() - 1].end);
                let at = if border < first { first } else { last };
                match border.abs_diff(at) {
                    distance if distance <= near => (0, distance, at),
                    distance => (distance, 0, at),
                }
            })
        };
        tiers().map(place).collect()
    }

    #[derive(Clone, Debug)]
    struct Case {
        zone: &'static str,
        tiers: Vec<Kept>,
        due: Millis,
        range: Range<Millis>,
        window: Range<Millis>,
    }

    /// Tiers, and over how much time to try them.
    const LADDERS: [(&[&str], i64); 7] = [
        (&["1h"], 4 * DAY),
        (&["5m", "1h", "1d"], 6 * DAY),
        (&["1h", "1d", "1w", "1mo"], 120 * DAY),
        (&["1d", "1w", "1mo"], 500 * DAY),
        (&["1d", "1mo", "1y"], 1800 * DAY),
        (&["1d", "2d", "3d", "1w"], 80 * DAY),
        (&["1d", "1w", "1mo", "1q", "1y"], 1800 * DAY),
    ];

    fn cases() -> impl Strategy<Value = Case> {
        let zones = prop::sample::select(vec!["UTC", "Europe/Berlin", "Pacific/Apia"]);
        // A place in the time that is tried, and the tier whose border it is moved back to.
        let instants = || (0.0..1.0f64, prop::option::of(any::<prop::sample::Index>()));
        let all = prop::collection::vec(instants(), 3 + 5);
        // The skipped day of Samoa lies within.
        let starts = prop_oneof![Just(1_310_000_000_000i64), 0i64..4_000_000_000_000];
        (
            zones,
            prop::sample::select(&LADDERS[..]),
            starts,
            all,
            any::<bool>(),
        )
            .prop_map(|(zone, (ladder, length), start, instants, ascending)| {
                let known = calendar(zone);
                let mut instants = instants.into_iter().map(|(place, tier)| {
                    let at = start + (place * length as f64) as i64;
                    let border_of = |tier: prop::sample::Index| {
                        let slice = span(ladder[tier.index(ladder.len())]);
                        known.slice(slice, at).start
                    };
                    tier.map_or(at, border_of)
                });
                let mut next = || instants.next().unwrap();
                let (a, b, due) = (next(), next(), next());
                let mut from: Vec<Millis> = ladder.iter().map(|_| next()).collect();
                if ascending {
                    // As it is where finer slices are kept for a shorter time.
                    from.sort_by_key(|&from| std::cmp::Reverse(from));
                }
                let kept = ladder.iter().zip(from);
                let kept: Vec<_> = kept.map(|(&slice, from)| (slice, from)).collect();
                Case {
                    zone,
                    tiers: tiers(&kept),
                    due,
                    range: a.min(b)..a.max(b),
                    window: start - length..start + length + 2 * DAY,
                }
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn pieces_are_usable_slices_that_fill_the_cover_the_coarsest_that_fit(case in cases()) {
            let known = calendar(case.zone);
            let slices = usable(&known, &case.tiers, case.due, &case.window);
            let found = cover(&known, &case.tiers, case.due, case.range.clone());
            let mut at = found.from;
            for piece in &found.pieces {
                prop_assert_eq!(piece.start, at);
                prop_assert!(slices[piece.tier].contains(piece));
                at = piece.end;
            }
            prop_assert_eq!(at, found.to);
            for coarser in slices.concat() {
                let inside = |p: &&Piece| coarser.start <= p.start && p.end <= coarser.end;
                let parts: Vec<_> = found.pieces.iter().filter(inside).collect();
                let sum: Millis = parts.iter().map(|p| p.end - p.start).sum();
                let is_filled_by_finer = sum == coarser.end - coarser.start
                    && parts.iter().all(|p| p.tier < coarser.tier);
                prop_assert!(!is_filled_by_finer, "{:?} of {:?}", coarser, found);
            }
        }

        #[test]
        fn borders_are_the_best_of_all_that_whole_slices_connect(case in cases()) {
            let known = calendar(case.zone);
            let slices = usable(&known, &case.tiers, case.due, &case.window);
            let found = cover(&known, &case.tiers, case.due, case.range.clone());
            let mut best = None;
            for (start_cut, start_moved, from) in places(&slices, case.range.start) {
                let reached = reached(&slices, from);
                for (end_cut, end_moved, to) in places(&slices, case.range.end) {
                    if reached.contains(&to) {
                        let pair = (start_cut + end_cut, start_moved + end_moved, from, to);
                        best = Some(best.map_or(pair, |best| pair.min(best)));
                    }
                }
            }
            let (cut, _, from, to) = best.unwrap();
            prop_assert_eq!((found.from, found.to), (from, to));
            if cut == 0 {
                for (asked, used) in [(case.range.start, from), (case.range.end, to)] {
                    let around = slices.concat().into_iter();
                    let around = around.filter(|s| s.start <= asked && asked <= s.end);
                    let longest = around.map(|s| s.end.abs_diff(s.start)).max().unwrap();
                    prop_assert!(asked.abs_diff(used) <= longest / 2);
                }
            }
        }

        #[test]
        fn borders_move_only_if_no_whole_slices_connect_them(case in cases()) {
            let known = calendar(case.zone);
            let slices = usable(&known, &case.tiers, case.due, &case.window);
            let found = cover(&known, &case.tiers, case.due, case.range.clone());
            let can_be_had = reached(&slices, case.range.start).contains(&case.range.end);
            if case.range.start < case.range.end {
                prop_assert_eq!(found.is_exact(&case.range), can_be_had);
            }
        }

        #[test]
        fn a_cover_covers_itself(case in cases()) {
            let known = calendar(case.zone);
            let found = cover(&known, &case.tiers, case.due, case.range);
            let again = cover(&known, &case.tiers, case.due, found.from..found.to);
            prop_assert_eq!(again, found);
        }
    }

    /// As they are where nothing else is declared, at 10:40 of that day.
    fn default_tiers() -> (Vec<Kept>, Millis) {
        let known = calendar("UTC");
        let now = MIDNIGHT + 10 * HOUR + 40 * MINUTE;
        let kept = [("1h", "48h"), ("1d", "90d"), ("1w", "53w"), ("1mo", "36mo")];
        let kept = kept.map(|(slice, retention)| (slice, known.minus(now, span(retention))));
        (tiers(&kept), known.slice(span("1h"), now).start - HOUR)
    }

    fn lengths(found: &Cover, tiers: &[Kept]) -> Vec<(usize, String)> {
        let runs = found.pieces.chunk_by(|a, b| a.tier == b.tier);
        runs.map(|run| (run.len(), tiers[run[0].tier].slice.to_string()))
            .collect()
    }

    fn named(lengths: &[(usize, &str)]) -> Vec<(usize, String)> {
        lengths.iter().map(|&(n, s)| (n, s.to_owned())).collect()
    }

    #[test]
    fn a_range_up_to_the_present_is_months_then_weeks_then_days_then_hours() {
        let (tiers, due) = default_tiers();
        let known = calendar("UTC");
        let january = MIDNIGHT - 73 * DAY;
        let range = january..MIDNIGHT + 11 * HOUR;
        let found = cover(&known, &tiers, due, range.clone());
        assert!(found.is_exact(&range));
        // March began with a Saturday; from Monday, the third, to the ninth is a week.
        assert_eq!(
            lengths(&found, &tiers),
            named(&[(2, "1mo"), (2, "1d"), (1, "1w"), (5, "1d"), (11, "1h")])
        );
    }

    #[test]
    fn an_end_in_a_day_without_its_first_hours_moves_to_the_nearer_end_of_the_day() {
        let known = calendar("UTC");
        let kept = tiers(&[("1h", MIDNIGHT + 14 * HOUR), ("1d", MIDNIGHT - 9 * DAY)]);
        let due = MIDNIGHT + 3 * DAY;
        let ending = |end| {
            let found = cover(&known, &kept, due, MIDNIGHT..end);
            (found.from - MIDNIGHT, found.to - MIDNIGHT)
        };
        assert_eq!(ending(MIDNIGHT + 16 * HOUR), (0, DAY));
        // The other days do not change this.
        let found = cover(&known, &kept, due, MIDNIGHT - 2 * DAY..MIDNIGHT + 16 * HOUR);
        assert_eq!(found.to, MIDNIGHT + DAY);
        assert_eq!(found.pieces.len(), 3);
        // From the middle on there is nothing to move.
        let range = MIDNIGHT + 14 * HOUR..MIDNIGHT + 16 * HOUR;
        assert!(cover(&known, &kept, due, range.clone()).is_exact(&range));
        // Where hours begin is nearer than where the day ends.
        let range = MIDNIGHT + 13 * HOUR + 30 * MINUTE..MIDNIGHT + 16 * HOUR;
        let found = cover(&known, &kept, due, range);
        assert_eq!(found.from, MIDNIGHT + 14 * HOUR);
        assert_eq!(found.to, MIDNIGHT + 16 * HOUR);
    }

    #[test]
    fn at_a_tie_a_border_moves_back() {
        let known = calendar("UTC");
        let kept = tiers(&[("1h", MIDNIGHT)]);
        let range = MIDNIGHT + 30 * MINUTE..MIDNIGHT + 3 * HOUR + 30 * MINUTE;
        let found = cover(&known, &kept, MIDNIGHT, range.clone());
        assert_eq!(
            found.from..found.to,
            MIDNIGHT..MIDNIGHT + 3 * HOUR,
            "{found:?}"
        );
        assert!(!found.is_exact(&range));
    }

    #[test]
    fn borders_that_fall_together_leave_nothing() {
        let known = calendar("UTC");
        let kept = tiers(&[("1h", MIDNIGHT)]);
        let found = cover(&known, &kept, MIDNIGHT, MIDNIGHT + 1..MIDNIGHT + 9);
        assert_eq!((found.from, found.to), (MIDNIGHT, MIDNIGHT));
        assert_eq!(found.pieces, []);
    }

    #[test]
    fn time_before_everything_kept_is_cut_off() {
        let (tiers, due) = default_tiers();
        let known = calendar("UTC");
        let found = cover(&known, &tiers, due, i64::MIN..MIDNIGHT);
        // The month of the day three years ago begins with March 2022.
        assert_eq!(found.from, MIDNIGHT - 1110 * DAY);
        assert_eq!(found.to, MIDNIGHT);
        let found = cover(&known, &tiers, due, i64::MIN..0);
        assert_eq!(found.from, found.to);
        assert_eq!(found.pieces, []);
    }

    #[test]
    fn a_hole_cuts_off_the_smaller_part() {
        let known = calendar("UTC");
        let kept = tiers(&[("1h", MIDNIGHT), ("1d", MIDNIGHT - 40 * DAY)]);
        let due = MIDNIGHT - 10 * DAY;
        let found = cover(&known, &kept, due, MIDNIGHT - 12 * DAY..MIDNIGHT + 5 * DAY);
        assert_eq!(found.from..found.to, MIDNIGHT..MIDNIGHT + 5 * DAY);
        let found = cover(&known, &kept, due, MIDNIGHT - 40 * DAY..MIDNIGHT + HOUR);
        assert_eq!(found.from..found.to, MIDNIGHT - 40 * DAY..due);
    }

    #[test]
    fn weeks_and_months_are_not_mixed_where_days_are_gone() {
        let known = calendar("UTC");
        let long_ago = MIDNIGHT - 400 * DAY;
        let kept = tiers(&[("1d", MIDNIGHT), ("1w", long_ago), ("1mo", long_ago)]);
        // The beginning of 2025, a Wednesday, to the 15th, another one.
        let new_year = MIDNIGHT - 73 * DAY;
        let found = cover(&known, &kept, MIDNIGHT, new_year..new_year + 14 * DAY);
        assert_eq!(
            found.from..found.to,
            new_year - 2 * DAY..new_year + 12 * DAY
        );
        assert_eq!(lengths(&found, &kept), named(&[(2, "1w")]));
        let found = cover(&known, &kept, MIDNIGHT, new_year..new_year + 31 * DAY);
        assert_eq!(lengths(&found, &kept), named(&[(1, "1mo")]));
    }

    #[test]
    fn a_coarser_slice_is_taken_when_it_is_due() {
        let known = calendar("UTC");
        let kept = tiers(&[("1h", MIDNIGHT - DAY), ("1d", MIDNIGHT - DAY)]);
        let range = MIDNIGHT..MIDNIGHT + DAY;
        let pieces = |due| cover(&known, &kept, due, range.clone()).pieces.len();
        assert_eq!(pieces(MIDNIGHT + DAY - 1), 24);
        assert_eq!(pieces(MIDNIGHT + DAY), 1);
    }

    #[test]
    fn without_tiers_or_time_there_is_nothing() {
        let known = calendar("UTC");
        let found = cover(&known, &[], 0, 5..9);
        assert_eq!((found.from, found.to, found.pieces.len()), (5, 5, 0));
        let kept = tiers(&[("1h", 0)]);
        let reversed = Range {
            start: MIDNIGHT,
            end: MIDNIGHT - DAY,
        };
        let found = cover(&known, &kept, 0, reversed);
        assert_eq!((found.from, found.to), (MIDNIGHT, MIDNIGHT));
        assert_eq!(found.pieces, []);
        for at in [i64::MIN, i64::MAX] {
            for due in [i64::MIN, i64::MAX] {
                assert_eq!(cover(&known, &kept, due, at..at).pieces, []);
            }
        }
    }
}

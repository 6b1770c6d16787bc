//! Funnels, campaigns, retention and lifecycles against a naive twin, which makes every set from the events.
//!
//! Where sets are small they are counted, and the figures must be those of the sets themselves. Where they are not, both
//! have the same registers, and the figures must be those that the registers give.

use super::*;
use crate::cube::query::analysis::{Analysis, Findings, Solver};
use crate::cube::query::cohorts::{
    Cohort, Followed, Lifecycle, LifecycleQuery, LifecycleQuestion, RetentionQuery,
    RetentionQuestion, States,
};
use crate::cube::query::funnels::{CampaignQuery, FunnelQuery, StepsQuestion};
use crate::sketch::analytics::{Campaign, FunnelStep, Money, Retained};
use crate::sketch::joint::Segment;

fn finish<S: Solver>(mut analysis: Analysis<S>) -> Result<Findings<S::Figures>, Unanswerable> {
    loop {
        if let Some(found) = analysis.step() {
            return found;
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// The twin's sets
// ---------------------------------------------------------------------------------------------------------

/// The events of a kind, in the row of a value.
#[derive(Clone, Copy)]
struct Kind<'a> {
    conditions: &'a [Condition],
    by: Option<(usize, &'a [u8])>,
}

impl Kind<'_> {
    /// The dimensions of one column, and those that stand aside.
    fn sides(&self) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut all: BTreeSet<usize> = self.conditions.iter().map(|own| own.dimension).collect();
        all.extend(self.by.map(|by| by.0));
        let declared = |some: &BTreeSet<usize>| {
            some.len() < 2 || [[0, 1].into(), [0, 1, 2].into()].contains(some)
        };
        let sorted = |some: &BTreeSet<usize>| some.iter().copied().collect();
        if declared(&all) {
            return Some((sorted(&all), vec![]));
        }
        let rest: BTreeSet<usize> = all.iter().copied().filter(|&own| own != 2).collect();
        (all.contains(&2) && declared(&rest)).then(|| (sorted(&rest), vec![2]))
    }

    /// Who had such events in these slices, as far as these dimensions tell.
    fn set(&self, model: &Model, dimensions: &[usize], pieces: &[Piece]) -> Sketch {
        let own = |dimension: usize| dimensions.contains(&dimension);
        let by = self.by.filter(|by| own(by.0));
        let conditions = self.conditions.iter().filter(|it| own(it.dimension));
        let question = Question {
            conditions: conditions.cloned().collect(),
            by: by.iter().map(|by| by.0).collect(),
            ..question()
        };
        let twin = Twin {
            model,
            question: &question,
            columns: vec![],
            level: Level::Event,
            metrics: vec![],
        };
        let values: Vec<Vec<u8>> = by.iter().map(|by| by.1.to_vec()).collect();
        let found = twin.naive(dimensions, pieces).rows.remove(&values);
        found.unwrap_or_default().sketch(twin.precision(dimensions))
    }

    /// Who had such events, and those who stand aside.
    fn sets(&self, model: &Model, pieces: &[Piece], hull: &[Piece]) -> Parts {
        let (own, aside) = self.sides().unwrap();
        let aside = aside.iter().map(|&dimension| {
            let mut conditions = self.conditions.iter();
            let condition = conditions.find(|it| it.dimension == dimension);
            (condition.cloned(), self.set(model, &[dimension], hull))
        });
        (self.set(model, &own, pieces), aside.collect())
    }
}

/// A set of events, and the sets of users that stand aside, with what these must meet.
type Parts = (Sketch, Vec<(Option<Condition>, Sketch)>);

/// Sets in the order in which they are compared, each once; for each its own mask, and that of all it stands for.
type Comparison = (Vec<Sketch>, Vec<[SetMask; 2]>);

fn compared(sets: &[Parts]) -> Comparison {
    let mut sketches: Vec<Sketch> = vec![];
    let mut masks = vec![];
    let mut aside_at: Vec<(&Option<Condition>, usize)> = vec![];
    for (own, aside) in sets {
        sketches.push(own.clone());
        let own = SetMask::single(sketches.len() - 1);
        let mut all = own;
        if let [(condition, aside)] = &aside[..] {
            // There is one for each condition, the same for all who have it.
            let known = aside_at.iter().find(|known| known.0 == condition);
            let at = known.map(|known| known.1).unwrap_or_else(|| {
                sketches.push(aside.clone());
                aside_at.push((condition, sketches.len() - 1));
                sketches.len() - 1
            });
            all = all | SetMask::single(at);
        }
        masks.push([own, all]);
    }
    (sketches, masks)
}

fn solved(sketches: &[Sketch]) -> Joint {
    Joint::solve(&sketches.iter().collect::<Vec<&Sketch>>()).unwrap()
}

/// The users of a sketch that counts.
fn users(sketch: &Sketch) -> Option<BTreeSet<Token>> {
    Some(sketch.tokens()?.as_slice().iter().copied().collect())
}

/// Who is in a set of each of these, if all are counted.
fn exact(sketches: &[Sketch], masks: &[[SetMask; 2]]) -> Option<Vec<BTreeSet<Token>>> {
    let counted: Vec<_> = sketches.iter().map(users).collect::<Option<_>>()?;
    let of_mask = |mask: &[SetMask; 2]| {
        let members = (0..counted.len()).filter(|&at| mask[1].contains(at));
        let members = members.map(|at| counted[at].clone());
        members.reduce(|a, b| &a & &b).unwrap()
    };
    Some(masks.iter().map(of_mask).collect())
}

/// The rows that there are, with their counters.
fn counted(model: &Model, asked: Question) -> Answer {
    let mut answer = twin(model, &asked).unwrap();
    answer
        .rows
        .retain(|row| row.values.iter().all(|value| **value != *OTHER_NAME));
    answer
}

// ---------------------------------------------------------------------------------------------------------
// Funnels and campaigns
// ---------------------------------------------------------------------------------------------------------

fn condition(dimension: usize, values: &[usize]) -> Condition {
    let all = VALUES[dimension];
    let values = values
        .iter()
        .map(|&at| all[at % all.len()].as_bytes().to_vec());
    Condition {
        dimension,
        test: Test::In,
        values: values.collect(),
    }
}

fn any_time() -> impl Strategy<Value = Option<Time>> {
    let between = (0..70 * HOUR, 1..30 * HOUR)
        .prop_map(|(from, length)| Time::Between(BEGIN + from..BEGIN + from + length));
    prop::option::of(between)
}

/// Steps of the first or second dimension, with anything else.
fn any_steps() -> impl Strategy<Value = StepsQuestion> {
    let by = prop_oneof![Just(None), Just(Some(0)), Just(Some(1)), Just(Some(2))];
    let steps = prop::collection::vec(0usize..6, 2..5);
    let more = prop::collection::btree_map(0usize..3, prop::collection::vec(0usize..6, 1..4), 0..2);
    let asked = (any_time(), 0usize..2, steps, by, more);
    asked.prop_map(|(time, dimension, steps, by, more)| StepsQuestion {
        time,
        dimension,
        steps: condition(dimension, &steps).values,
        conditions: more
            .iter()
            .filter(|(own, _)| **own != dimension)
            .map(|(&own, values)| Condition {
                test: if values.len() > 2 {
                    Test::NotIn
                } else {
                    Test::In
                },
                ..condition(own, values)
            })
            .collect(),
        by: by.filter(|&by| by != dimension),
        confidence: 0.9,
    })
}

fn with_step(question: &StepsQuestion, values: &[Vec<u8>]) -> Vec<Condition> {
    let mut conditions = question.conditions.clone();
    conditions.push(Condition {
        dimension: question.dimension,
        test: Test::In,
        values: values.to_vec(),
    });
    conditions
}

/// The sets of the steps in each row; `None` where no group answers.
fn sets_of_steps(
    model: &Model,
    question: &StepsQuestion,
    sums: &[Metric],
) -> Option<(Answer, Vec<Comparison>)> {
    let nobody: &[u8] = b"";
    let all = with_step(question, &question.steps);
    let sides = Kind {
        conditions: &all,
        by: question.by.map(|by| (by, nobody)),
    };
    let (_, aside) = sides.sides()?;
    let mut metrics = sums.to_vec();
    metrics.push(match aside.is_empty() {
        true => Metric::Events,
        false => Metric::Unique,
    });
    let answer = counted(
        model,
        Question {
            time: question.time.clone(),
            conditions: all.clone(),
            by: question.by.into_iter().collect(),
            metrics,
            confidence: question.confidence,
            ..super::question()
        },
    );
    let pieces = match answer.range.is_empty() {
        true => vec![],
        false => model.cover(answer.range.clone()).pieces,
    };
    let rows = answer.rows.iter().map(|row| {
        let by = question.by.map(|by| (by, &*row.values[0]));
        let mut seen: Vec<(&Vec<u8>, Parts)> = vec![];
        for step in &question.steps {
            if !seen.iter().any(|own| own.0 == step) {
                let conditions = with_step(question, std::slice::from_ref(step));
                let kind = Kind {
                    conditions: &conditions,
                    by,
                };
                seen.push((step, kind.sets(model, &pieces, &pieces)));
            }
        }
        let sets: Vec<_> = seen.iter().map(|own| own.1.clone()).collect();
        let (sketches, masks) = compared(&sets);
        let steps = question.steps.iter();
        let place = |step| masks[seen.iter().position(|own| own.0 == step).unwrap()];
        (sketches, steps.map(place).collect())
    });
    let rows = rows.collect();
    Some((answer, rows))
}

/// Whether anything is known of the time that a row is of: what is counted is its last figure.
fn is_known(row: &Row) -> bool {
    row.figures.last().is_some_and(Option::is_some)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_funnel_is_that_of_the_sets(
        model in prop_oneof![any_model(), any_model().prop_map(counting)],
        question in any_steps(),
    ) {
        let found = FunnelQuery::plan(&model, &question).and_then(finish);
        let Some((answer, rows)) = sets_of_steps(&model, &question, &[]) else {
            prop_assert!(matches!(found, Err(Unanswerable::NoGroup(_))));
            return Ok(());
        };
        let found = found.unwrap();
        prop_assert_eq!(&found.range, &answer.range);
        prop_assert_eq!(found.level, answer.level);
        prop_assert_eq!(found.other_events, answer.other_events);
        prop_assert_eq!(found.rows.len(), rows.len());
        for ((finding, row), (sketches, masks)) in found.rows.iter().zip(&answer.rows).zip(&rows) {
            prop_assert_eq!(finding.value.as_ref(), row.values.first());
            prop_assert_eq!(finding.at_least, row.at_least);
            let joint = solved(sketches);
            let all: Vec<SetMask> = masks.iter().map(|mask| mask[1]).collect();
            let steps = (0..all.len()).map(|step| FunnelStep::of(&joint, &all, step, 0.9));
            if !is_known(row) {
                prop_assert_eq!(&finding.figures, &[]);
                continue;
            }
            prop_assert_eq!(&finding.figures, &steps.collect::<Vec<_>>());
            if let Some(sets) = exact(sketches, masks) {
                let mut reached = sets[0].clone();
                for (step, set) in finding.figures.iter().zip(&sets) {
                    reached = &reached & set;
                    prop_assert_eq!(step.users.value, reached.len() as f64);
                    prop_assert_eq!(step.uniques.value, set.len() as f64);
                }
            }
        }
    }

    #[test]
    fn a_campaign_is_that_of_the_sets(
        model in prop_oneof![any_model(), any_model().prop_map(counting)],
        mut question in any_steps(),
        cost in prop::option::of(0usize..2),
        revenue in prop::option::of(0usize..2),
    ) {
        question.steps.resize(3, b"f".to_vec());
        let sums: Vec<Metric> = cost.into_iter().chain(revenue).map(Metric::Sum).collect();
        let found = CampaignQuery::plan(&model, &question, cost, revenue).and_then(finish);
        let expected = sets_of_steps(&model, &question, &[]);
        let Some((plain, rows)) = expected else {
            prop_assert!(matches!(found, Err(Unanswerable::NoGroup(_))));
            return Ok(());
        };
        let of_events = plain.level == Level::Event;
        let answer = match of_events {
            true => sets_of_steps(&model, &question, &sums).unwrap().0,
            false => plain.clone(),
        };
        let found = found.unwrap();
        prop_assert_eq!(found.rows.len(), rows.len());
        for ((finding, row), (sketches, masks)) in found.rows.iter().zip(&answer.rows).zip(&rows) {
            if !is_known(row) {
                prop_assert_eq!(finding.figures, None);
                continue;
            }
            let sum = |at: usize| match row.figures[at] {
                Some(Figure::Exact(sum)) => sum,
                ref other => panic!("{other:?} is no sum"),
            };
            // Of intersected sets of users no sum is known.
            let money = Money {
                cost: cost.filter(|_| of_events).map(|_| sum(0)).filter(|&cost| cost >= 0.0),
                revenue: revenue.filter(|_| of_events).map(|_| sum(sums.len() - 1)),
            };
            let own = |at: usize| {
                let mut places = 0..sketches.len();
                &sketches[places.find(|&place| masks[at][0].contains(place)).unwrap()]
            };
            let expected = match plain.level {
                Level::Event => Campaign::of([own(0), own(1), own(2)], money, 0.9).unwrap(),
                Level::Users => {
                    let joint = solved(sketches);
                    let sets = [0, 1, 2].map(|at| Segment::all(masks[at][1]));
                    let rate = |part: usize, of: usize| joint.ratio(sets[part], sets[of]);
                    Campaign {
                        uniques: sets.map(|set| joint.estimate(set).bounded(0.9)),
                        ctr: rate(1, 0).map(|rate| rate.bounded(0.9)),
                        conversion_rate: rate(2, 1).map(|rate| rate.bounded(0.9)),
                        money,
                    }
                }
            };
            prop_assert_eq!(finding.figures, Some(expected));
            if let Some(sets) = exact(sketches, masks) {
                let counts = expected.uniques.map(|count| count.value);
                prop_assert_eq!(counts, [0, 1, 2].map(|at| sets[at].len() as f64));
                let clicked = (&sets[0] & &sets[1]).len() as f64 / sets[0].len() as f64;
                prop_assert_eq!(expected.ctr.map(|rate| rate.value), Some(clicked).filter(|rate| rate.is_finite()));
            }
        }
    }
}

/// The same events where every set is counted.
fn counting(model: Model) -> Model {
    Model::new(model.events, model.hours_from, [12, 12, 12])
}

// ---------------------------------------------------------------------------------------------------------
// Retention and lifecycle
// ---------------------------------------------------------------------------------------------------------

/// A period of the twin: where it begins, and its slices if it is kept whole.
struct Stretch {
    begin: Millis,
    pieces: Option<Vec<Piece>>,
}

fn stretch(model: &Model, begin: Millis, length: Millis) -> Stretch {
    let newest = model.kept().map_or(Millis::MIN, |kept| kept.end);
    let so_far = begin..(begin + length).min(newest);
    let cover = (!so_far.is_empty()).then(|| model.cover(so_far.clone()));
    let cover = cover.filter(|cover| cover.is_exact(&so_far));
    Stretch {
        begin,
        pieces: cover.map(|cover| cover.pieces),
    }
}

/// From the period before those that the time touches, and so many more.
fn stretches(model: &Model, time: Option<&Time>, length: Millis, more: usize) -> Vec<Stretch> {
    let kept = model.kept().unwrap_or(0..0);
    let asked = match time {
        Some(Time::Between(range)) => range.start.max(kept.start)..range.end.min(kept.end),
        _ => kept,
    };
    if asked.is_empty() {
        return vec![];
    }
    let first = asked.start.div_euclid(length) - 1;
    let last = (asked.end - 1).div_euclid(length) + more as Millis;
    let all = first..=last;
    all.map(|at| stretch(model, at * length, length)).collect()
}

/// What is kept before an instant, and from when on.
fn kept_before(model: &Model, until: Millis, length: Millis) -> (Vec<Piece>, Millis) {
    let all = model.cover(Millis::MIN..until);
    if all.to == until && !all.pieces.is_empty() {
        return (all.pieces, all.from);
    }
    let (mut pieces, mut from) = (vec![], until);
    while let Some(mut before) = stretch(model, from - length, length).pieces {
        before.extend(pieces);
        (pieces, from) = (before, from - length);
    }
    (pieces, from)
}

/// For each period what is kept before it: that of the one before with it, where both are known.
fn earlier(
    model: &Model,
    periods: &[Stretch],
    length: Millis,
    from: usize,
) -> Vec<(Vec<Piece>, Millis)> {
    let mut all: Vec<(Vec<Piece>, Millis)> = vec![];
    for (at, period) in periods.iter().enumerate() {
        let chained =
            at > from && periods[at - 1].pieces.is_some() && is_chained(periods, at - 1, from);
        let before = match chained {
            true => {
                let (mut pieces, start) = all[at - 1].clone();
                pieces.extend(periods[at - 1].pieces.clone().unwrap());
                (pieces, start)
            }
            false => kept_before(model, period.begin, length),
        };
        all.push(before);
    }
    all
}

/// Whether what is before this period was asked for.
fn is_chained(periods: &[Stretch], at: usize, from: usize) -> bool {
    let known = |at: usize| periods[at].pieces.is_some();
    known(at) && at >= from && (from == 0 || known(at - 1))
}

fn hull(periods: &[Stretch], length: Millis, model: &Model) -> Option<Range<Millis>> {
    let mut known = periods.iter().filter(|period| period.pieces.is_some());
    let first = known.next()?;
    let last = known.next_back().unwrap_or(first);
    let newest = model.kept().unwrap().end;
    Some(first.begin..(last.begin + length).min(newest))
}

fn without(all: SetMask, none: SetMask) -> Segment {
    Segment {
        all,
        none,
        ..Segment::default()
    }
}

fn any_condition() -> impl Strategy<Value = Vec<Condition>> {
    let condition = (0usize..3, prop::collection::vec(0usize..6, 1..3))
        .prop_map(|(dimension, values)| condition(dimension, &values));
    prop::collection::vec(condition, 0..2)
}

fn any_unit() -> impl Strategy<Value = (Span, Millis)> {
    prop_oneof![
        Just((Span::Days(1), DAY)),
        Just((Span::Millis(HOUR), HOUR)),
        Just((Span::Millis(6 * HOUR), 6 * HOUR)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn retention_is_that_of_the_sets(
        model in prop_oneof![any_model(), any_model().prop_map(counting)],
        time in any_time(),
        (every, length) in any_unit(),
        periods in 1usize..5,
        cohort in any_condition(),
        returned in prop_oneof![any_condition(), Just(vec![])],
        by in prop_oneof![2 => Just(None), 1 => (0usize..3).prop_map(Some)],
    ) {
        let question = RetentionQuestion {
            time: time.clone(),
            every,
            periods,
            cohort: cohort.clone(),
            returned: returned.clone(),
            by,
            confidence: 0.9,
        };
        let found = RetentionQuery::plan(&model, &question).and_then(finish);
        let nobody: &[u8] = b"";
        let sides = [&cohort, &returned].map(|conditions| {
            let by = by.map(|by| (by, nobody));
            Kind { conditions, by }.sides()
        });
        if sides.contains(&None) {
            prop_assert!(matches!(found, Err(Unanswerable::NoGroup(_))));
            return Ok(());
        }
        let found = found.unwrap();
        let all = stretches(&model, time.as_ref(), length, periods - 1);
        let number = all.len().saturating_sub(periods);
        let cohorts = all.get(1..=number).unwrap_or(&[]);
        let range = hull(cohorts, length, &model);
        let metric = match &sides[0] {
            Some((_, aside)) if !aside.is_empty() => Metric::Unique,
            _ => Metric::Events,
        };
        let answer = counted(&model, Question {
            time: range.map(Time::Between).or(time),
            conditions: cohort.clone(),
            by: by.into_iter().collect(),
            metrics: vec![metric],
            confidence: 0.9,
            ..super::question()
        });
        prop_assert_eq!(&found.range, &answer.range);
        prop_assert_eq!(found.rows.len(), answer.rows.len());
        let before = earlier(&model, &all, length, 1);
        // Everything that any set is of, for those who stand aside.
        let mut used: Vec<Range<Millis>> = vec![];
        for at in 1..=number {
            if all[at].pieces.is_some() && all[at - 1].pieces.is_some() {
                used.push(before[at].1..all[at].begin);
            }
            for period in &all[at..at + periods] {
                if let Some(pieces) = &period.pieces
                    && all[at].pieces.is_some()
                    && (period.begin == all[at].begin || all[at - 1].pieces.is_some())
                {
                    used.push(pieces[0].start..pieces[pieces.len() - 1].end);
                }
            }
        }
        let from = used.iter().map(|range| range.start).min();
        let to = used.iter().map(|range| range.end).max();
        let hull = from.zip(to).map_or(vec![], |(from, to)| model.cover(from..to).pieces);
        for (finding, row) in found.rows.iter().zip(&answer.rows) {
            let by = by.map(|by| (by, &*row.values[0]));
            let own = Kind { conditions: &cohort, by };
            let back = Kind { conditions: &returned, by };
            let mut expected = vec![];
            for at in 1..=number {
                let Some(pieces) = &all[at].pieces else {
                    continue;
                };
                let is_known = all[at - 1].pieces.is_some();
                let sets = || vec![
                    own.sets(&model, &before[at].0, &hull),
                    own.sets(&model, pieces, &hull),
                ];
                let size = is_known.then(|| {
                    let (sketches, masks) = compared(&sets());
                    let size = solved(&sketches).estimate(without(masks[1][1], masks[0][0]));
                    if let Some(sets) = exact(&sketches, &masks) {
                        assert_eq!(size.value, (&sets[1] - &sets[0]).len() as f64);
                    }
                    size.bounded(0.9)
                });
                let followed = all[at..at + periods].iter().map(|period| {
                    let there = period.pieces.as_ref().filter(|_| is_known);
                    let retained = there.map(|there| {
                        let mut sets = sets();
                        let same = cohort == returned && period.begin == all[at].begin;
                        if !same {
                            sets.push(back.sets(&model, there, &hull));
                        }
                        let (sketches, masks) = compared(&sets);
                        let (cohort, there) = (masks[1][1], masks[masks.len() - 1][1]);
                        let joint = solved(&sketches);
                        let rate = joint.ratio(Segment::all(there), without(cohort, masks[0][0]));
                        let users = joint.estimate(without(cohort | there, masks[0][0]));
                        if let Some(sets) = exact(&sketches, &masks) {
                            let true_users = &(&sets[1] & &sets[sets.len() - 1]) - &sets[0];
                            assert_eq!(users.value, true_users.len() as f64);
                        }
                        Retained {
                            users: users.bounded(0.9),
                            rate: rate.map(|rate| rate.bounded(0.9)),
                        }
                    });
                    Followed { begin: period.begin, retained }
                });
                expected.push(Cohort {
                    begin: all[at].begin,
                    earlier_from: is_known.then_some(before[at].1),
                    size,
                    periods: followed.collect(),
                });
            }
            prop_assert_eq!(finding.figures.len(), expected.len());
            for (figures, expected) in finding.figures.iter().zip(&expected) {
                prop_assert_eq!(figures, expected);
            }
        }
    }

    #[test]
    fn a_lifecycle_is_that_of_the_sets(
        model in prop_oneof![any_model(), any_model().prop_map(counting)],
        time in any_time(),
        (every, length) in any_unit(),
        conditions in any_condition(),
    ) {
        let question = LifecycleQuestion {
            time: time.clone(),
            every,
            conditions: conditions.clone(),
            confidence: 0.9,
        };
        let found = LifecycleQuery::plan(&model, &question).and_then(finish).unwrap();
        let all = stretches(&model, time.as_ref(), length, 0);
        let before = earlier(&model, &all, length, 0);
        let kind = Kind { conditions: &conditions, by: None };
        let mut expected = vec![];
        for at in 1..all.len() {
            let Some(pieces) = &all[at].pieces else {
                continue;
            };
            let states = all[at - 1].pieces.as_ref().map(|previous| {
                let pieces = [&before[at - 1].0, previous, pieces];
                let sketches = pieces.map(|pieces| kind.sets(&model, pieces, &[]).0);
                let joint = solved(&sketches);
                let [e, p, t] = [0, 1, 2].map(SetMask::single);
                let count = |all, none| joint.estimate(without(all, none)).bounded(0.9);
                let states = States {
                    first_in_kept: count(t, e | p),
                    retained: count(t | p, SetMask::NONE),
                    resurrected: count(t | e, p),
                    dormant: count(p, t),
                };
                let sets = exact(&sketches, &[e, p, t].map(|mask| [mask, mask]));
                if let Some([e, p, t]) = sets.as_deref() {
                    let counts = [&(t - e) - p, t & p, &(t & e) - p, p - t];
                    let found = [states.first_in_kept, states.retained, states.resurrected, states.dormant];
                    for (found, counted) in found.iter().zip(counts) {
                        assert_eq!(found.value, counted.len() as f64);
                    }
                }
                states
            });
            expected.push(Lifecycle {
                begin: all[at].begin,
                earlier_from: states.map(|_| before[at - 1].1),
                states,
            });
        }
        prop_assert_eq!(found.rows[0].figures.len(), expected.len());
        for (figures, expected) in found.rows[0].figures.iter().zip(&expected) {
            prop_assert_eq!(figures, expected);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------
// Refusals and steps
// ---------------------------------------------------------------------------------------------------------

#[test]
fn more_sets_than_can_be_compared_are_refused() {
    let model = eventful();
    let steps: Vec<Vec<u8>> = (0..8u8).map(|step| vec![b'a' + step]).collect();
    let mut question = StepsQuestion {
        time: None,
        dimension: 0,
        steps,
        conditions: vec![],
        by: None,
        confidence: 0.9,
    };
    let funnel = |question: &StepsQuestion| FunnelQuery::plan(&model, question).and_then(finish);
    assert_eq!(funnel(&question).unwrap().rows[0].figures.len(), 8);
    // Who has a value of the third dimension is a set more.
    question.conditions = vec![condition(2, &[0])];
    assert_eq!(funnel(&question).err(), Some(Unanswerable::TooManySets(9)));
    question.steps.pop();
    assert_eq!(funnel(&question).unwrap().level, Level::Users);
    question.by = Some(1);
    assert_eq!(funnel(&question).unwrap().level, Level::Event);
    question.by = Some(7);
    assert_eq!(
        funnel(&question).err(),
        Some(Unanswerable::NoGroup(vec![0, 2, 7]))
    );
}

fn daily() -> RetentionQuestion {
    RetentionQuestion {
        time: None,
        every: Span::Days(1),
        periods: 3,
        cohort: vec![],
        returned: vec![],
        by: None,
        confidence: 0.9,
    }
}

#[test]
fn periods_that_no_tier_can_cut_and_too_many_cells_are_refused() {
    let model = eventful();
    let retention =
        |question: RetentionQuestion| RetentionQuery::plan(&model, &question).and_then(finish);
    for every in [Span::Millis(HOUR / 2), Span::Millis(DAY)] {
        let refused = retention(RetentionQuestion { every, ..daily() });
        assert_eq!(refused.err(), Some(Unanswerable::Bucket(every)));
    }
    let days = retention(daily()).unwrap().rows;
    assert_eq!(days[0].figures.len(), 3);
    let refused = retention(RetentionQuestion {
        periods: 3_334,
        ..daily()
    });
    assert_eq!(refused.err(), Some(Unanswerable::TooManyRows(10_002)));
    let empty = Model::new(vec![], BEGIN, [8, 6, 6]);
    let nothing = RetentionQuery::plan(&empty, &daily())
        .and_then(finish)
        .unwrap();
    assert_eq!(nothing.rows[0].figures, []);
}

/// Thirty users who come again and again from the first day on: a new one in each of the first thirty hours.
#[test]
fn the_first_kept_period_says_nothing_and_the_next_ones_do() {
    let model = eventful();
    let found = RetentionQuery::plan(&model, &daily())
        .and_then(finish)
        .unwrap();
    let cohorts = &found.rows[0].figures;
    assert_eq!((cohorts[0].earlier_from, cohorts[0].size), (None, None));
    assert!(
        cohorts[0]
            .periods
            .iter()
            .all(|followed| followed.retained.is_none())
    );
    assert_eq!(cohorts[1].earlier_from, Some(BEGIN));
    assert_eq!(cohorts[1].size.unwrap().value, 6.0);
    let users = cohorts[1]
        .periods
        .iter()
        .map(|followed| followed.retained.map(|it| it.users.value));
    assert_eq!(users.collect::<Vec<_>>(), [Some(6.0), Some(6.0), None]);
    assert_eq!(cohorts[2].size.unwrap().value, 0.0);
    assert_eq!(cohorts[2].periods[0].retained.unwrap().rate, None);
}

#[test]
fn each_solution_is_a_step_of_its_own() {
    let hours = many(50, 40);
    let question = RetentionQuestion {
        every: Span::Millis(HOUR),
        periods: 5,
        ..daily()
    };
    let mut analysis = RetentionQuery::plan(&hours, &question).unwrap();
    let steps = std::iter::repeat_with(|| analysis.step()).take_while(Option::is_none);
    let steps = steps.count();
    // The first hour says nothing; of the others the last four are followed as long as there are hours.
    let solutions = 39 + 39 * 5 - (1 + 2 + 3 + 4);
    assert!(steps >= solutions, "{steps}");
    assert!(analysis.expected() > Duration::from_millis(1));
}

//! Synthetic events of a shop: the same ones for every program that measures cubes, and for what they are held against.
//!
//! 14,000 events an hour come from 200,000 users. Five dimensions have 2, 10, 50, 200 and 1,000 values; there may be a
//! dimension of 100,000 pages and one of four steps besides. Who comes and what they do follows Zipf's law: the k-th of
//! the users has a weight of k^-0.8, the k-th value of a dimension one of 1/k. A seed decides everything, and each
//! field has a stream of random numbers of its own, so that pages more or less change nothing else.

use std::fmt::Write as _;

/// A Monday at midnight, UTC, long enough ago that no event is ahead of a server's clock. Unix milliseconds.
pub const START: i64 = 1_736_121_600_000;

/// In milliseconds.
pub const HOUR: i64 = 3_600_000;

const DAY: i64 = 24 * HOUR;
const AN_HOUR: i64 = 14_000;
const USERS: usize = 200_000;

/// Names of dimensions and how many values they have.
const DIMENSIONS: [(&str, usize); 5] = [
    ("device", 2),
    ("channel", 10),
    ("country", 50),
    ("campaign", 200),
    ("category", 1_000),
];
const PAGES: usize = 100_000;

/// What visitors do, and how many in a hundred events are of that kind.
const STEPS: [(&str, f64); 4] = [
    ("view", 70.0),
    ("cart", 20.0),
    ("checkout", 7.0),
    ("buy", 3.0),
];

/// Those that every event has, the page and the step.
pub const MOST_DIMENSIONS: usize = DIMENSIONS.len() + 2;

/// In which order events come, by their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other.
    Time,
    /// A year that is filled in at random.
    Backfill,
    /// One after the other, with forty days between the first half and the second.
    Silence,
}

/// Which events.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many there are.
    pub events: u64,
    /// See [`Order`].
    pub order: Order,
    /// Whether they have a page.
    pub pages: bool,
    /// Whether they have a step.
    pub steps: bool,
    /// Of all random numbers.
    pub seed: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When, Unix milliseconds.
    pub at: i64,
    /// To whom.
    pub user: u32,
    /// The number of the value in each dimension.
    pub values: [u32; MOST_DIMENSIONS],
}

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

/// Random numbers of given weights, in constant time: the alias method (Walker 1977, the table as in Vose 1991).
struct Weighted {
    random: Random,
    /// For each number the chance, of 2^32, that it stays, and the one that takes its place.
    table: Vec<(u32, u32)>,
}

impl Weighted {
    fn new(seed: u64, field: u64, weights: &[f64]) -> Weighted {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut table = vec![(u32::MAX, 0); weights.len()];
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..shares.len()).partition(|&i| shares[i] < 1.0);
        while let (Some(&giver), Some(taker)) = (rich.last(), poor.pop()) {
            table[taker] = ((shares[taker] * 2f64.powi(32)) as u32, giver as u32);
            shares[giver] -= 1.0 - shares[taker];
            if shares[giver] < 1.0 {
                rich.pop();
                poor.push(giver);
            }
        }
        Weighted {
            random: Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ (field << 56)),
            table,
        }
    }

    fn zipf(seed: u64, field: u64, count: usize, exponent: f64) -> Weighted {
        let weights: Vec<f64> = (1..=count).map(|k| (k as f64).powf(-exponent)).collect();
        Weighted::new(seed, field, &weights)
    }

    fn next(&mut self) -> u32 {
        let drawn = self.random.next();
        let place = ((drawn >> 32) * self.table.len() as u64) >> 32;
        let (stays, other) = self.table[place as usize];
        if drawn as u32 <= stays {
            place as u32
        } else {
            other
        }
    }
}

/// A dimension, and the texts of its values by their numbers.
pub struct Dimension {
    /// As the cube has it.
    pub name: &'static str,
    /// As events have them.
    pub values: Vec<String>,
    numbers: Weighted,
}

/// Draws one event after the other.
pub struct Stream {
    /// Of every event, in the order of its values.
    pub dimensions: Vec<Dimension>,
    plan: Plan,
    users: Weighted,
    times: Random,
    drawn: u64,
}

impl Stream {
    /// From the first event on.
    pub fn new(plan: Plan) -> Stream {
        let mut field = 0;
        let mut dimension =
            |name, numbers: fn(u64, u64, usize) -> Weighted, values: Vec<String>| {
                field += 1;
                let numbers = numbers(plan.seed, field, values.len());
                Dimension {
                    name,
                    values,
                    numbers,
                }
            };
        let numbered = |prefix: &str, count| (0..count).map(|i| format!("{prefix}{i}")).collect();
        let frequent_first = |seed, field, count| Weighted::zipf(seed, field, count, 1.0);
        let mut dimensions: Vec<Dimension> = DIMENSIONS
            .iter()
            .map(|&(name, count)| dimension(name, frequent_first, numbered("value-", count)))
            .collect();
        // Both are always made, so that the one does not depend on the other.
        let page = dimension("page", frequent_first, numbered("/page/", PAGES));
        let steps = |seed, field, _| Weighted::new(seed, field, &STEPS.map(|step| step.1));
        let step = dimension("step", steps, STEPS.map(|step| step.0.to_string()).to_vec());
        dimensions.extend(plan.pages.then_some(page));
        dimensions.extend(plan.steps.then_some(step));
        Stream {
            dimensions,
            plan,
            users: Weighted::zipf(plan.seed, 0, USERS, 0.8),
            times: Random(!plan.seed),
            drawn: 0,
        }
    }

    /// The next event. They go on beyond those of the plan, which only decides where the silence is.
    pub fn draw(&mut self) -> Event {
        let number = self.drawn as i64;
        let in_order = START + number * HOUR / AN_HOUR;
        let at = match self.plan.order {
            Order::Time => in_order,
            Order::Backfill => START + (self.times.next() % (365 * DAY) as u64) as i64,
            Order::Silence if self.drawn < self.plan.events / 2 => in_order,
            Order::Silence => in_order + 40 * DAY,
        };
        self.drawn += 1;
        let mut values = [0; MOST_DIMENSIONS];
        for (value, dimension) in values.iter_mut().zip(&mut self.dimensions) {
            *value = dimension.numbers.next();
        }
        Event {
            at,
            user: self.users.next(),
            values,
        }
    }
}

/// What a user is called.
pub fn name_user(user: u32, name: &mut String) {
    name.clear();
    write!(name, "user:{user}").expect("a string takes everything");
}

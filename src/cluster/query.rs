//! The asker's side of one question to the whole cluster: who is asked for what, and whether it may be believed.
//!
//! While slots move, the obvious way (ask each slot's owner, put the answers together) gives wrong answers, silently. What
//! makes an answer right here:
//!
//! 1. The node that is asked finds out for each key whether it would serve it to a client *in the turn in which it reads it*,
//!    and says under which epoch it owned its slots then. One key that is not its own, and its whole answer is dropped.
//! 2. When all answers are there, the asker looks at its map once more. An answer is dropped if one of its keys is not that
//!    node's any more, or if it was made under a lower epoch than the map has for that node: in between the slot was
//!    somebody else's, and the key may have had another life there.
//! 3. What was dropped is dropped whole, and its keys are asked for again: values of two attempts never meet for one key.
//!
//! So every key is read once, by a node that owned it then and owns it still, with no owner in between that the asker's map
//! knows of.
//!
//! A slot that moves key by key has its keys at two nodes meanwhile. Its owner says of a key that it has not got: *gone*, and to
//! whom it is giving the slot. That node is asked next, and reads the key if it is getting the slot from that owner. If it has
//! not got the key either, the owner is asked once more, since keys may have gone back meanwhile; gone a second time, there is
//! no such key. (A slot that went there, back, and there again between the three answers could hide one; nobody moves slots so.)
//! What an owner was asked and what follows from it are one *family*: it is dropped as one, and judged by the owner's slots.

use super::exchange::Time;
use super::map::{Map, NodeId};

/// Milliseconds until keys are asked for again that a node would not serve, or that nobody owned.
pub const ASK_AGAIN_AFTER: Time = 20;

/// Milliseconds between two looks at the map while an answer is awaited.
pub const LOOK_EVERY: Time = 100;

/// Why a question is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A node that was asked has not answered.
    Silent(NodeId),
    /// The slot of a key, by its place, is on its way or has just moved.
    Moving(usize),
    /// Nobody owns the slot of a key, by its place.
    Unserved(usize),
    /// A node has too much to do.
    Busy(NodeId),
}

/// A node is to be asked for some keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which node.
    pub node: NodeId,
    /// The number of the attempt, which its answer has to bear.
    pub attempt: u32,
    /// The keys, by their places.
    pub keys: Vec<usize>,
    /// The owner of the keys, if the node is not: it is getting their slots.
    pub source: Option<NodeId>,
}

impl Order {
    /// Whose the keys are to be.
    fn owner(&self) -> NodeId {
        self.source.unwrap_or(self.node)
    }
}

/// What follows from an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// An owner is asked: keys that are gone are asked for elsewhere.
    First,
    /// Where they went is asked: keys that are not there are asked for once more.
    Elsewhere,
    /// The owner is asked again: that is the end of it.
    Last,
}

struct Ask<T> {
    order: Order,
    step: Step,
    /// The attempt that began its family.
    family: u32,
    asked: Time,
    /// Under which epoch it was made, and what it is.
    answer: Option<(u64, T)>,
}

/// What a node has answered, as far as it matters here.
pub enum Reply<T> {
    /// All keys were its own, under this epoch. Some it has not got: those that are gone, by their places in the order, with the
    /// node that may have them, or those that are absent.
    Whole {
        /// See above.
        epoch: u64,
        /// See above.
        gone: Vec<(usize, NodeId)>,
        /// See above.
        absent: Vec<usize>,
        /// What it has read.
        answer: T,
    },
    /// This key, by its place in the order, was not.
    NotMine(usize),
    /// It has too much to do.
    Busy,
}

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Answers are missing.
    Waiting,
    /// All are there and hold.
    Done,
}

/// A question that is being asked. `T` is what nodes answer.
pub struct Query<T> {
    /// Of each key.
    slots: Vec<u16>,
    /// Keys that nobody is being asked for.
    unasked: Vec<usize>,
    ask_at: Time,
    look_at: Time,
    obstacle: Option<Obstacle>,
    asks: Vec<Ask<T>>,
    /// Orders that follow from answers, and have not been given out.
    next: Vec<(Order, Step, u32)>,
    attempts: u32,
}

impl<T> Query<T> {
    /// For keys of these slots.
    pub fn new(now: Time, slots: Vec<u16>) -> Query<T> {
        Query {
            unasked: (0..slots.len()).collect(),
            slots,
            ask_at: now,
            look_at: now + LOOK_EVERY,
            obstacle: None,
            asks: Vec::new(),
            next: Vec::new(),
            attempts: 0,
        }
    }

    /// When there is something to do, though nothing arrives.
    pub fn wake(&self) -> Time {
        if !self.next.is_empty() {
            0
        } else if self.unasked.is_empty() {
            self.look_at
        } else {
            self.ask_at.min(self.look_at)
        }
    }

    /// How many times nodes were asked.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whom to ask now, by this map.
    pub fn ask(&mut self, now: Time, map: &Map) -> Vec<Order> {
        let mut orders = Vec::new();
        for (order, step, family) in std::mem::take(&mut self.next) {
            self.begin(now, order.clone(), step, family);
            orders.push(order);
        }
        if self.ask_at > now || self.unasked.is_empty() {
            return orders;
        }
        let mut first: Vec<Order> = Vec::new();
        let mut left = Vec::new();
        for key in std::mem::take(&mut self.unasked) {
            let Some(owner) = map.owner(self.slots[key]) else {
                self.obstacle = Some(Obstacle::Unserved(key));
                left.push(key);
                continue;
            };
            match first.iter_mut().find(|order| order.node == owner.id) {
                Some(order) => order.keys.push(key),
                None => first.push(Order {
                    node: owner.id,
                    attempt: self.new_attempt(),
                    keys: vec![key],
                    source: None,
                }),
            }
        }
        self.unasked = left;
        self.ask_at = now + ASK_AGAIN_AFTER;
        for order in &first {
            self.begin(now, order.clone(), Step::First, order.attempt);
        }
        orders.extend(first);
        orders
    }

    fn new_attempt(&mut self) -> u32 {
        self.attempts += 1;
        self.attempts - 1
    }

    fn begin(&mut self, now: Time, order: Order, step: Step, family: u32) {
        self.asks.push(Ask {
            order,
            step,
            family,
            asked: now,
            answer: None,
        });
    }

    /// The order of this number, if it is this node's and is waited for.
    pub fn order(&self, node: &NodeId, attempt: u32) -> Option<&Order> {
        let ask = self.asks.iter().find(|ask| ask.order.attempt == attempt)?;
        (ask.order.node == *node && ask.answer.is_none()).then_some(&ask.order)
    }

    /// Takes the answer to an order in. Nothing happens if it is not waited for. Orders that need no answer any more are told.
    pub fn answered(
        &mut self,
        now: Time,
        node: &NodeId,
        attempt: u32,
        reply: Reply<T>,
    ) -> Vec<Order> {
        let its = |ask: &Ask<T>| ask.order.attempt == attempt && ask.order.node == *node;
        let Some(place) = self.asks.iter().position(its) else {
            return Vec::new();
        };
        let mut dropped = Vec::new();
        match reply {
            Reply::Whole {
                epoch,
                gone,
                absent,
                answer,
            } => {
                if let Some(key) = self.gone_elsewhere(place, &gone) {
                    dropped = self.drop_family(now, place, Some(Obstacle::Moving(key)));
                } else if self.asks[place].answer.is_none() {
                    self.asks[place].answer = Some((epoch, answer));
                    self.follow(place, &gone, &absent);
                }
            }
            Reply::NotMine(key) => {
                let order = &self.asks[place].order;
                let key = order.keys.get(key).or(order.keys.first());
                let obstacle = key.map(|&key| Obstacle::Moving(key));
                dropped = self.drop_family(now, place, obstacle);
            }
            Reply::Busy => {
                dropped = self.drop_family(now, place, Some(Obstacle::Busy(*node)));
            }
        }
        dropped.retain(|order| order.attempt != attempt);
        dropped
    }

    /// A key that its owner, asked once more, has given to another node than the one that has not got it.
    fn gone_elsewhere(&self, place: usize, gone: &[(usize, NodeId)]) -> Option<usize> {
        let ask = &self.asks[place];
        if ask.step != Step::Last {
            return None;
        }
        let has_been_asked = |key: usize, target: &NodeId| {
            self.asks.iter().any(|other| {
                other.family == ask.family
                    && other.step == Step::Elsewhere
                    && other.order.node == *target
                    && other.order.keys.contains(&key)
            })
        };
        gone.iter().find_map(|(place, target)| {
            let key = *ask.order.keys.get(*place)?;
            (!has_been_asked(key, target)).then_some(key)
        })
    }

    /// Asks for keys where else they may be.
    fn follow(&mut self, place: usize, gone: &[(usize, NodeId)], absent: &[usize]) {
        let Ask {
            order,
            step,
            family,
            ..
        } = &self.asks[place];
        let (step, family, owner) = (*step, *family, order.owner());
        let key = |place: &usize| order.keys.get(*place).copied();
        let mut orders: Vec<Order> = Vec::new();
        match step {
            Step::First => {
                for (place, target) in gone {
                    let Some(key) = key(place) else { continue };
                    match orders.iter_mut().find(|order| order.node == *target) {
                        Some(order) => order.keys.push(key),
                        None => orders.push(Order {
                            node: *target,
                            attempt: 0,
                            keys: vec![key],
                            source: Some(owner),
                        }),
                    }
                }
            }
            Step::Elsewhere if !absent.is_empty() => orders.push(Order {
                node: owner,
                attempt: 0,
                keys: absent.iter().filter_map(key).collect(),
                source: None,
            }),
            Step::Elsewhere | Step::Last => {}
        }
        let next = match step {
            Step::First => Step::Elsewhere,
            Step::Elsewhere | Step::Last => Step::Last,
        };
        for mut order in orders {
            order.attempt = self.new_attempt();
            self.next.push((order, next, family));
        }
    }

    /// Drops what an owner was asked and all that followed from it, and will ask for its keys again. Those of its orders that have
    /// not been answered are told.
    fn drop_family(&mut self, now: Time, place: usize, obstacle: Option<Obstacle>) -> Vec<Order> {
        let family = self.asks[place].family;
        let mut open = Vec::new();
        for ask in std::mem::take(&mut self.asks) {
            if ask.family != family {
                self.asks.push(ask);
                continue;
            }
            if ask.step == Step::First {
                self.unasked.extend(&ask.order.keys);
            }
            if ask.answer.is_none() {
                open.push(ask.order);
            }
        }
        self.next.retain(|(_, _, its)| *its != family);
        self.obstacle = obstacle;
        self.ask_at = now + ASK_AGAIN_AFTER;
        open
    }

    /// Looks at the map while answers are missing: whoever is asked for a key that is not its own any more, and has not
    /// answered, need not. These are to be told.
    pub fn look(&mut self, now: Time, map: &Map) -> Vec<Order> {
        if self.look_at > now {
            return Vec::new();
        }
        self.look_at = now + LOOK_EVERY;
        let mut dropped = Vec::new();
        while let Some((place, key)) = self.asks.iter().enumerate().find_map(|(place, ask)| {
            let lost = self.lost_key(ask, map).filter(|_| ask.answer.is_none());
            lost.map(|key| (place, key))
        }) {
            dropped.extend(self.drop_family(now, place, Some(Obstacle::Moving(key))));
        }
        dropped
    }

    /// A key of an order that is not its owner's by this map.
    fn lost_key(&self, ask: &Ask<T>, map: &Map) -> Option<usize> {
        let is_lost = |key: &&usize| {
            map.owner(self.slots[**key])
                .is_none_or(|owner| owner.id != ask.order.owner())
        };
        ask.order.keys.iter().find(is_lost).copied()
    }

    /// Whether every key has an answer, though it may not hold.
    pub fn is_answered(&self) -> bool {
        self.unasked.is_empty()
            && self.next.is_empty()
            && self.asks.iter().all(|ask| ask.answer.is_some())
    }

    /// Judges the answers by this map, once all are there, and drops those that do not hold.
    /// What was asked of a node that is only getting the slots is judged by their owner.
    pub fn judge(&mut self, now: Time, map: &Map) -> Progress {
        if !self.is_answered() {
            return Progress::Waiting;
        }
        while let Some((place, key)) = self.asks.iter().enumerate().find_map(|(place, ask)| {
            let known = map.node(&ask.order.node).map(|node| node.epoch);
            let made_under = ask.answer.as_ref().map(|(epoch, _)| *epoch);
            let is_older =
                ask.order.source.is_none() && known.is_none_or(|known| made_under < Some(known));
            let lost = self.lost_key(ask, map);
            let suspect = lost.or(ask.order.keys.first().copied().filter(|_| is_older));
            suspect.map(|key| (place, key))
        }) {
            self.drop_family(now, place, Some(Obstacle::Moving(key)));
        }
        if self.unasked.is_empty() {
            Progress::Done
        } else {
            Progress::Waiting
        }
    }

    /// Orders that have not been answered.
    pub fn open_orders(&self) -> impl Iterator<Item = &Order> {
        let open = self.asks.iter().filter(|ask| ask.answer.is_none());
        open.map(|ask| &ask.order)
    }

    /// What is in the way of an answer: a node that has had time to answer and has not, or else what was last.
    pub fn obstacle(&self, now: Time) -> Option<Obstacle> {
        let open = || self.asks.iter().filter(|ask| ask.answer.is_none());
        let silent = open().find(|ask| ask.asked + LOOK_EVERY <= now);
        let is_silent = |ask: &Ask<T>| Obstacle::Silent(ask.order.node);
        let silent = silent.map(is_silent);
        silent.or(self.obstacle).or(open().next().map(is_silent))
    }

    /// The answers and the keys of each (a key that was gone has several, of which one at most has its value); only when [`Query::judge`] has said that it is done.
    pub fn into_answers(self) -> Vec<(Vec<usize>, T)> {
        let answers = self.asks.into_iter();
        answers
            .filter_map(|ask| Some((ask.order.keys, ask.answer?.1)))
            .collect()
    }
}

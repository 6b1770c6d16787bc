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
}

struct Ask<T> {
    order: Order,
    asked: Time,
    /// Under which epoch it was made, and what it is.
    answer: Option<(u64, T)>,
}

/// What a node has answered, as far as it matters here.
pub enum Reply<T> {
    /// All keys were its own, under this epoch.
    Whole(u64, T),
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
            attempts: 0,
        }
    }

    /// When there is something to do, though nothing arrives.
    pub fn wake(&self) -> Time {
        if self.unasked.is_empty() {
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
        if self.ask_at > now || self.unasked.is_empty() {
            return Vec::new();
        }
        let mut orders: Vec<Order> = Vec::new();
        let mut left = Vec::new();
        for key in std::mem::take(&mut self.unasked) {
            let Some(owner) = map.owner(self.slots[key]) else {
                self.obstacle = Some(Obstacle::Unserved(key));
                left.push(key);
                continue;
            };
            match orders.iter_mut().find(|order| order.node == owner.id) {
                Some(order) => order.keys.push(key),
                None => {
                    orders.push(Order {
                        node: owner.id,
                        attempt: self.attempts,
                        keys: vec![key],
                    });
                    self.attempts += 1;
                }
            }
        }
        self.unasked = left;
        self.ask_at = now + ASK_AGAIN_AFTER;
        let asks = orders.iter().map(|order| Ask {
            order: order.clone(),
            asked: now,
            answer: None,
        });
        self.asks.extend(asks);
        orders
    }

    /// The order of this number, if it is this node's and is waited for.
    pub fn order(&self, node: &NodeId, attempt: u32) -> Option<&Order> {
        let ask = self.asks.iter().find(|ask| ask.order.attempt == attempt)?;
        (ask.order.node == *node && ask.answer.is_none()).then_some(&ask.order)
    }

    /// Takes the answer to an order in. Nothing happens if it is not waited for.
    pub fn answered(&mut self, now: Time, node: &NodeId, attempt: u32, reply: Reply<T>) {
        let its = |ask: &Ask<T>| ask.order.attempt == attempt && ask.order.node == *node;
        let Some(place) = self.asks.iter().position(its) else {
            return;
        };
        let ask = &mut self.asks[place];
        match reply {
            Reply::Whole(epoch, answer) => {
                if ask.answer.is_none() {
                    ask.answer = Some((epoch, answer));
                }
            }
            Reply::NotMine(key) => {
                let key = ask.order.keys.get(key).or(ask.order.keys.first());
                let obstacle = key.map(|&key| Obstacle::Moving(key));
                self.drop_ask(now, place, obstacle);
            }
            Reply::Busy => {
                self.drop_ask(now, place, Some(Obstacle::Busy(*node)));
            }
        }
    }

    /// Drops what a node was asked and has answered, and will ask for its keys again.
    fn drop_ask(&mut self, now: Time, place: usize, obstacle: Option<Obstacle>) -> Order {
        let order = self.asks.swap_remove(place).order;
        self.unasked.extend(&order.keys);
        self.obstacle = obstacle;
        self.ask_at = now + ASK_AGAIN_AFTER;
        order
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
            dropped.push(self.drop_ask(now, place, Some(Obstacle::Moving(key))));
        }
        dropped
    }

    /// A key of an order that is not that node's by this map.
    fn lost_key(&self, ask: &Ask<T>, map: &Map) -> Option<usize> {
        let is_lost = |key: &&usize| {
            map.owner(self.slots[**key])
                .is_none_or(|owner| owner.id != ask.order.node)
        };
        ask.order.keys.iter().find(is_lost).copied()
    }

    /// Whether every key has an answer, though it may not hold.
    pub fn is_answered(&self) -> bool {
        self.unasked.is_empty() && self.asks.iter().all(|ask| ask.answer.is_some())
    }

    /// Judges the answers by this map, once all are there, and drops those that do not hold.
    pub fn judge(&mut self, now: Time, map: &Map) -> Progress {
        if !self.is_answered() {
            return Progress::Waiting;
        }
        while let Some((place, key)) = self.asks.iter().enumerate().find_map(|(place, ask)| {
            let known = map.node(&ask.order.node).map(|node| node.epoch);
            let made_under = ask.answer.as_ref().map(|(epoch, _)| *epoch);
            let is_older = known.is_none_or(|known| made_under < Some(known));
            let lost = self.lost_key(ask, map);
            let suspect = lost.or(ask.order.keys.first().copied().filter(|_| is_older));
            suspect.map(|key| (place, key))
        }) {
            self.drop_ask(now, place, Some(Obstacle::Moving(key)));
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

    /// The answers and the keys of each; only when [`Query::judge`] has said that it is done.
    pub fn into_answers(self) -> Vec<(Vec<usize>, T)> {
        let answers = self.asks.into_iter();
        answers
            .filter_map(|ask| Some((ask.order.keys, ask.answer?.1)))
            .collect()
    }
}

//! Clusters of the pure protocol over networks made of lists: messages are lost, repeated, delayed, overtaken and forged,
//! nodes restart, slots move while they are asked for. Every case prints its seed when it fails (proptest keeps it).

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_hll::cluster::exchange::{Admission, Cookies, Event, Exchange, Time, WINDOW};
use redis_hll::cluster::map::{Map, NodeId};
use redis_hll::cluster::query::{Order, Progress, Query, Reply};
use redis_hll::cluster::question::{Answer, Gathered};
use redis_hll::cluster::slot;
use redis_hll::cluster::wire::{self, Direction, Envelope, Message, RequestId};
use std::collections::{BTreeMap, BTreeSet};

fn name(number: usize) -> NodeId {
    NodeId::new(&[b'a' + number as u8; NodeId::BYTES]).unwrap()
}

fn number(name: &NodeId) -> usize {
    usize::from(name.bytes()[0] - b'a')
}

/// How bad the network is, in percent.
#[derive(Clone, Copy, Debug)]
struct Weather {
    lost: u32,
    repeated: u32,
    longest_delay: Time,
    forged: u32,
}

fn weather() -> impl Strategy<Value = Weather> {
    (0..40u32, 0..30u32, 0..400u64, 0..30u32).prop_map(|(lost, repeated, longest_delay, forged)| {
        Weather {
            lost,
            repeated,
            longest_delay,
            forged,
        }
    })
}

/// A node: its end of the exchange and what has come of it.
struct Node {
    cookies: Cookies,
    exchange: Exchange,
    /// Questions that were raised, in this life.
    raised: BTreeSet<(NodeId, RequestId)>,
    /// Answers that came, by question.
    answers: BTreeMap<RequestId, Vec<u8>>,
}

impl Node {
    fn new() -> Node {
        let cookies = Cookies::new();
        Node {
            exchange: Exchange::new(cookies.clone(), 1),
            cookies,
            raised: BTreeSet::new(),
            answers: BTreeMap::new(),
        }
    }
}

struct Network {
    now: Time,
    nodes: Vec<Node>,
    weather: Weather,
    rng: StdRng,
    /// When, to whom, from whom, what.
    flying: Vec<(Time, usize, NodeId, Vec<u8>)>,
    /// Most bytes of parts that were sent at once without acknowledgement.
    most_under_way: usize,
}

impl Network {
    fn new(nodes: usize, weather: Weather, seed: u64) -> Network {
        Network {
            now: 1_000,
            nodes: (0..nodes).map(|_| Node::new()).collect(),
            weather,
            rng: StdRng::seed_from_u64(seed),
            flying: Vec::new(),
            most_under_way: 0,
        }
    }

    fn percent(&mut self, chance: u32) -> bool {
        self.rng.random_ratio(chance, 100)
    }

    /// Puts what the nodes send on its way, and answers what was raised by turning it round.
    fn collect(&mut self) {
        for from in 0..self.nodes.len() {
            while let Some(event) = self.nodes[from].exchange.take_event() {
                match event {
                    Event::Question {
                        from: asker,
                        id,
                        payload,
                    } => {
                        let is_first = self.nodes[from].raised.insert((asker, id));
                        assert!(is_first, "a question was raised twice");
                        let answer = turned_round(&payload);
                        self.nodes[from]
                            .exchange
                            .answer(self.now, asker, id, &answer);
                    }
                    Event::Answer { id, payload, .. } => {
                        let before = self.nodes[from].answers.insert(id, payload);
                        assert!(before.is_none(), "an answer came twice");
                    }
                    Event::Cancelled { .. } => {}
                }
            }
            for (to, message) in self.nodes[from].exchange.take_messages() {
                assert!(message.len() <= wire::MOST_MESSAGE);
                let under_way = self.nodes[from].exchange.under_way(&to);
                self.most_under_way = self.most_under_way.max(under_way);
                for _ in 0..1 + u32::from(self.percent(self.weather.repeated)) {
                    if self.percent(self.weather.lost) {
                        continue;
                    }
                    let delay = self.rng.random_range(0..=self.weather.longest_delay);
                    let arrival = self.now + delay;
                    self.flying
                        .push((arrival, number(&to), name(from), message.clone()));
                }
                if self.percent(self.weather.forged) {
                    self.forge(from, number(&to), &message);
                }
            }
        }
    }

    /// Somebody who knows names, and has seen nothing of what went between others.
    fn forge(&mut self, from: usize, to: usize, like: &[u8]) {
        let mut message = like.to_vec();
        if let Ok((_, parsed)) = wire::decode(like) {
            let envelope = Envelope {
                cookie: self.rng.random(),
                fingerprint: 1,
            };
            let mut forged = parsed.clone();
            if let Message::Hello(hello) = &mut forged {
                hello.cookie = self.rng.random();
                hello.incarnation = self.rng.random();
            }
            message = wire::encode(envelope, &forged);
            if !matches!(parsed, Message::Hello(_)) {
                let admission = self.nodes[to].cookies.admit(&name(from), &message);
                assert_eq!(admission, Admission::Stranger);
            }
        }
        if self.rng.random() {
            let at = self.rng.random_range(0..message.len());
            message[at] ^= 1;
        }
        self.flying.push((self.now, to, name(from), message));
    }

    /// All nodes introduce themselves to all others, as they do every second while they have not met.
    fn meet(&mut self) {
        for _ in 0..20 {
            for from in 0..self.nodes.len() {
                for to in (0..self.nodes.len()).filter(|&to| to != from) {
                    let exchange = &mut self.nodes[from].exchange;
                    if !exchange.has_met(&name(to)) {
                        exchange.greet(self.now, name(to));
                    }
                }
            }
            let until = self.now + 1_000;
            self.run(until);
            self.now = until;
        }
    }

    /// Until nothing is left to do, or this time.
    fn run(&mut self, until: Time) {
        loop {
            self.collect();
            let arrivals = self.flying.iter().map(|flying| flying.0);
            let wakes = self.nodes.iter().filter_map(|node| node.exchange.wake());
            let Some(next) = arrivals.chain(wakes).min() else {
                return;
            };
            self.now = self.now.max(next);
            if self.now > until {
                return;
            }
            let now = self.now;
            let (due, later) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|flying| flying.0 <= now);
            self.flying = later;
            for (_, to, from, message) in due {
                self.nodes[to].exchange.receive(now, from, &message);
            }
            for node in &mut self.nodes {
                node.exchange.advance(now);
            }
        }
    }
}

fn turned_round(payload: &[u8]) -> Answer {
    let mut value = payload.to_vec();
    value.reverse();
    Answer::Gathered(Gathered {
        values: vec![value],
        ..Gathered::default()
    })
}

fn id(request: u64) -> RequestId {
    RequestId {
        request,
        attempt: 0,
    }
}

/// Some questions: who asks whom, and how many bytes.
fn questions(nodes: usize) -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    let bytes = prop_oneof![
        0..100usize,
        0..200_000usize,
        Just(wire::MOST_BODY),
        Just(900_000)
    ];
    prop::collection::vec((0..nodes, 1..nodes, bytes), 1..12).prop_map(move |questions| {
        let other = |(from, by, bytes)| (from, (from + by) % nodes, bytes);
        questions.into_iter().map(other).collect()
    })
}

fn payload(request: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + request) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the network does, every question is raised once and answered once, with what was asked, and never are more
    /// than WINDOW bytes under way to a node.
    #[test]
    fn every_question_is_answered_once(weather in weather(), questions in questions(3), have_met: bool, seed: u64) {
        let mut network = Network::new(3, weather, seed);
        if have_met {
            network.meet();
        }
        for (request, &(from, to, bytes)) in questions.iter().enumerate() {
            let payload = payload(request, bytes);
            network.nodes[from].exchange.ask(network.now, name(to), id(request as u64), payload);
        }
        network.run(300_000);
        for (request, &(from, _, bytes)) in questions.iter().enumerate() {
            let found = network.nodes[from].answers.get(&id(request as u64));
            let expected = turned_round(&payload(request, bytes)).encode();
            prop_assert!(found == Some(&expected), "question {request} has no answer");
        }
        prop_assert!(network.most_under_way <= WINDOW, "{} bytes", network.most_under_way);
        // A delay makes parts come again, and so do losses, and that nobody may acknowledge anything before both have met; nothing
        // else does.
        if have_met && weather.lost == 0 && weather.longest_delay < 50 {
            let repeated: u64 = network.nodes.iter().map(|node| node.exchange.counts().repeated).sum();
            prop_assert_eq!(repeated, 0);
        }
    }

    /// A node that restarts is asked again, and whoever restarts is not troubled by what it asked before.
    #[test]
    fn a_node_that_restarts_is_asked_again(weather in weather(), at in 0..900u64, seed: u64) {
        let mut network = Network::new(2, Weather { longest_delay: weather.longest_delay.min(60), ..weather }, seed);
        network.nodes[0].exchange.ask(network.now, name(1), id(7), payload(7, 400_000));
        network.nodes[1].exchange.ask(network.now, name(0), id(8), payload(8, 100));
        network.run(1_000 + at);
        network.nodes[1] = Node::new();
        // It looks after its acquaintances.
        let now = network.now;
        for round in 0..60 {
            if !network.nodes[1].exchange.has_met(&name(0)) {
                network.nodes[1].exchange.greet(now + round * 1_000, name(0));
            }
            network.run(now + round * 1_000);
        }
        let expected = turned_round(&payload(7, 400_000)).encode();
        prop_assert!(network.nodes[0].answers.get(&id(7)) == Some(&expected));
        prop_assert!(network.nodes[1].answers.is_empty());
    }

    /// What was cancelled keeps nobody busy, and its answer does not come.
    #[test]
    fn a_cancelled_question_is_forgotten(weather in weather(), after in 0..500u64, seed: u64) {
        let mut network = Network::new(2, weather, seed);
        network.nodes[0].exchange.ask(network.now, name(1), id(3), payload(3, 300_000));
        network.run(1_000 + after);
        let was_answered = network.nodes[0].answers.contains_key(&id(3));
        let now = network.now;
        network.nodes[0].exchange.cancel(now, name(1), id(3));
        network.run(now + 30_000);
        prop_assert_eq!(network.nodes[0].answers.contains_key(&id(3)), was_answered);
        prop_assert_eq!(network.nodes[0].exchange.under_way(&name(1)), 0);
    }

    /// Any bytes under anybody's name change nothing for those who know each other.
    #[test]
    fn nonsense_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), seed: u64) {
        let calm = Weather { lost: 0, repeated: 0, longest_delay: 0, forged: 0 };
        let mut network = Network::new(2, calm, seed);
        network.nodes[0].exchange.greet(1_000, name(1));
        network.run(2_000);
        let now = network.now + 1_000;
        network.nodes[1].exchange.receive(now, name(0), &bytes);
        prop_assert_eq!(network.nodes[1].exchange.counts().refused, 1);
        network.nodes[0].exchange.ask(now, name(1), id(1), vec![1, 2]);
        network.run(now + 1_000);
        prop_assert!(network.nodes[0].answers.contains_key(&id(1)));
    }
}

/// Who has not been given the cookie is not believed in anything: not an answer, not an acknowledgement, not a restart.
#[test]
fn who_only_knows_a_name_is_not_believed() {
    let calm = Weather {
        lost: 0,
        repeated: 0,
        longest_delay: 0,
        forged: 0,
    };
    let mut network = Network::new(2, calm, 1);
    network.nodes[0].exchange.greet(1_000, name(1));
    network.run(2_000);
    // Node 1 is silent from here on; somebody speaks under its name.
    let now = network.now + 1_000;
    network.nodes[0].exchange.ask(now, name(1), id(5), vec![1]);
    assert_eq!(network.nodes[0].exchange.take_messages().len(), 1);
    let part = Message::Part {
        id: id(5),
        direction: Direction::Answer,
        part: 0,
        whole: 1,
        body: &[9],
    };
    let acknowledgement = Message::Acknowledge {
        id: id(5),
        direction: Direction::Question,
        part: 0,
    };
    let question = Message::Part {
        id: id(6),
        direction: Direction::Question,
        part: 0,
        whole: 1,
        body: &[9],
    };
    for message in [part, acknowledgement, question, Message::Cancel(id(5))] {
        let forged = wire::encode(
            Envelope {
                cookie: 77,
                fingerprint: 1,
            },
            &message,
        );
        network.nodes[0].exchange.receive(now, name(1), &forged);
        assert_eq!(network.nodes[0].exchange.take_event(), None);
    }
    let hello = wire::Hello {
        incarnation: 1,
        cookie: 2,
        versions: (9, 9),
        wants_cookie: true,
    };
    let forged = wire::encode(
        Envelope {
            cookie: 77,
            fingerprint: 99,
        },
        &Message::Hello(hello),
    );
    network.nodes[0].exchange.receive(now, name(1), &forged);
    assert_eq!(network.nodes[0].exchange.unsuitable(&name(1)), None);
    // What was sent in return goes to the real node; the question is still open, and under way.
    assert!(network.nodes[0].exchange.under_way(&name(1)) > 0);
    assert_eq!(network.nodes[0].exchange.counts().refused, 4);
    network.run(now + 5_000);
    assert!(network.nodes[0].answers.contains_key(&id(5)));
}

/// However many messages come, a node says who it is at most ten times a second.
#[test]
fn strangers_are_answered_sparingly() {
    let mut node = Exchange::new(Cookies::new(), 1);
    let forged = wire::encode(
        Envelope {
            cookie: 5,
            fingerprint: 1,
        },
        &Message::Cancel(id(1)),
    );
    let mut sent = 0;
    for now in 1_000..3_000 {
        node.receive(now, name(1), &forged);
        sent += node.take_messages().len();
    }
    assert!((19..=21).contains(&sent), "{sent}");
}

#[test]
fn nodes_of_another_seed_or_version_are_known_as_such() {
    let calm = Weather {
        lost: 0,
        repeated: 0,
        longest_delay: 0,
        forged: 0,
    };
    let mut network = Network::new(2, calm, 1);
    let cookies = Cookies::new();
    network.nodes[1].exchange = Exchange::new(cookies, 2);
    network.nodes[0]
        .exchange
        .ask(1_000, name(1), id(1), vec![1]);
    network.run(3_000);
    let unsuitable = network.nodes[0].exchange.unsuitable(&name(1));
    assert_eq!(
        unsuitable,
        Some(redis_hll::cluster::exchange::Unsuitable::Seed)
    );
    assert!(network.nodes[0].answers.is_empty() && network.nodes[1].raised.is_empty());
}

/// More questions of one node than may be worked on are answered at once, with "busy".
#[test]
fn a_node_that_asks_too_much_is_told_so() {
    let (a, b) = (Cookies::new(), Cookies::new());
    let (mut asker, mut owner) = (Exchange::new(a, 1), Exchange::new(b, 1));
    for request in 0..80 {
        asker.ask(1_000, name(1), id(request), vec![0; 10]);
    }
    let mut raised = 0;
    for now in 1_000..2_000 {
        for (_, message) in asker.take_messages() {
            owner.receive(now, name(0), &message);
        }
        for (_, message) in owner.take_messages() {
            asker.receive(now, name(1), &message);
        }
        asker.advance(now);
        owner.advance(now);
        while let Some(Event::Question { .. }) = owner.take_event() {
            raised += 1;
        }
    }
    assert_eq!((raised, owner.counts().busy), (64, 16));
    let mut busy = 0;
    while let Some(Event::Answer { payload, .. }) = asker.take_event() {
        assert_eq!(Answer::decode(&payload), Some(Answer::Busy));
        busy += 1;
    }
    assert_eq!(busy, 16);
}

// ---------------------------------------------------------------------------------------------------------
// Slots that move
// ---------------------------------------------------------------------------------------------------------

/// What is wrong with the asker or the owner, to see that the oracle finds it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The owner reads whatever it has.
    NoOwnerCheck,
    /// The asker believes what it was told.
    NoEndCheck,
}

/// Who owns what under which epoch, as somebody knows it.
#[derive(Clone)]
struct View {
    epochs: Vec<u64>,
    owners: Vec<usize>,
}

impl View {
    fn learn(&mut self, slot: usize, owner: usize, epoch: u64) {
        self.owners[slot] = owner;
        self.epochs[owner] = epoch;
    }

    fn map(&self) -> Map {
        let mut text = String::new();
        for (node, epoch) in self.epochs.iter().enumerate() {
            let id = name(node);
            text += &format!("{id} 127.0.0.1:{node}@1{node} master - 0 0 {epoch} connected");
            for (slot, &owner) in self.owners.iter().enumerate() {
                if owner == node {
                    text += &format!(" {slot}");
                }
            }
            text += "\n";
        }
        Map::parse(&text)
    }
}

const SLOTS_USED: usize = 6;
const NODES: usize = 3;

/// Keys, one in each slot, that are written all the time, while slots move with them.
///
/// A slot that is *moved* is known to be by both its owners at once, and to the asker at some time later. A slot that is
/// *taken over* is not known to be by its old owner, which was away: it goes on reading what it has, until it hears; the
/// asker knows. Old owners keep or forget what they had.
struct World {
    rng: StdRng,
    truth: View,
    of_nodes: Vec<View>,
    of_asker: View,
    /// For each node: what it has of each key.
    stored: Vec<BTreeMap<usize, u64>>,
    /// Slots that move key by key: to which node, and whether their key has gone there. Both nodes know.
    on_its_way: BTreeMap<usize, (usize, bool)>,
    /// Slots whose way was given up while this question is asked, and their keys brought back: they do not set out again so soon.
    given_up: BTreeSet<usize>,
    /// How often each key was written.
    written: [u64; SLOTS_USED],
}

impl World {
    fn new(seed: u64) -> World {
        let truth = View {
            epochs: (1..=NODES as u64).collect(),
            owners: (0..SLOTS_USED).map(|slot| slot % NODES).collect(),
        };
        let has = |node| {
            (0..SLOTS_USED)
                .filter(move |slot| slot % NODES == node)
                .map(|key| (key, 0))
                .collect()
        };
        World {
            rng: StdRng::seed_from_u64(seed),
            of_nodes: vec![truth.clone(); NODES],
            of_asker: truth.clone(),
            truth,
            stored: (0..NODES).map(has).collect(),
            on_its_way: BTreeMap::new(),
            given_up: BTreeSet::new(),
            written: [0; SLOTS_USED],
        }
    }

    fn write(&mut self) {
        let key = self.rng.random_range(0..SLOTS_USED);
        self.written[key] += 1;
        let node = match self.on_its_way.get(&key) {
            Some((to, true)) => *to,
            _ => self.truth.owners[key],
        };
        self.stored[node].insert(key, self.written[key]);
    }

    /// A slot that is on its way goes on: it is begun, its key goes there, and all is over; or it is given up, and the key brought
    /// back.
    fn go_on(&mut self) {
        let slot = self.rng.random_range(0..SLOTS_USED);
        let from = self.truth.owners[slot];
        match self.on_its_way.get(&slot).copied() {
            None => {
                let to = self.rng.random_range(0..NODES);
                // Both know whose it is; and there is no old key in the way.
                let is_known = |node: usize| self.of_nodes[node].owners[slot] == from;
                let is_new = !self.given_up.contains(&slot);
                if is_new && to != from && is_known(from) && is_known(to) {
                    self.stored[to].remove(&slot);
                    self.on_its_way.insert(slot, (to, false));
                }
            }
            Some((to, is_there)) => match (is_there, self.rng.random_range(0..4)) {
                (false, 0) => {
                    let value = self.stored[from].remove(&slot).unwrap();
                    self.stored[to].insert(slot, value);
                    self.on_its_way.insert(slot, (to, true));
                }
                (true, 1) => {
                    self.on_its_way.remove(&slot);
                    let epoch = self.truth.epochs.iter().max().unwrap() + 1;
                    self.truth.learn(slot, to, epoch);
                    self.of_nodes[to].learn(slot, to, epoch);
                    self.of_nodes[from].learn(slot, to, epoch);
                }
                (_, 2) => {
                    self.on_its_way.remove(&slot);
                    self.given_up.insert(slot);
                    if let Some(value) = self.stored[to].remove(&slot).filter(|_| is_there) {
                        self.stored[from].insert(slot, value);
                    }
                }
                _ => {}
            },
        }
    }

    fn move_slot(&mut self) {
        let slot = self.rng.random_range(0..SLOTS_USED);
        let (from, to) = (self.truth.owners[slot], self.rng.random_range(0..NODES));
        if from == to || self.on_its_way.contains_key(&slot) {
            return;
        }
        if self.rng.random() {
            self.stored[from].remove(&slot);
        }
        self.stored[to].insert(slot, self.written[slot]);
        let epoch = self.truth.epochs.iter().max().unwrap() + 1;
        self.truth.learn(slot, to, epoch);
        self.of_nodes[to].learn(slot, to, epoch);
        if self.rng.random() {
            self.of_nodes[from].learn(slot, to, epoch);
        } else {
            self.of_asker.learn(slot, to, epoch);
        }
    }

    fn gossip(&mut self) {
        match self.rng.random_range(0..=NODES) {
            NODES => self.of_asker = self.truth.clone(),
            node => self.of_nodes[node] = self.truth.clone(),
        }
    }

    fn read(&self, order: &Order, fault: Fault) -> Reply<Vec<Option<u64>>> {
        let (node, keys) = (number(&order.node), &order.keys);
        let view = &self.of_nodes[node];
        let is_foreign = |&key: &usize| match order.source {
            None => view.owners[key] != node,
            Some(source) => {
                let way = self.on_its_way.get(&key);
                way.is_none_or(|(to, _)| *to != node) || self.truth.owners[key] != number(&source)
            }
        };
        let foreign = keys.iter().position(is_foreign);
        if let Some(place) = foreign.filter(|_| fault != Fault::NoOwnerCheck) {
            return Reply::NotMine(place);
        }
        let values: Vec<_> = keys
            .iter()
            .map(|key| self.stored[node].get(key).copied())
            .collect();
        let (mut gone, mut absent) = (Vec::new(), Vec::new());
        for (place, key) in keys.iter().enumerate() {
            if values[place].is_some() {
                continue;
            }
            match self.on_its_way.get(key) {
                Some((to, _)) if view.owners[*key] == node => gone.push((place, name(*to))),
                _ => absent.push(place),
            }
        }
        Reply::Whole {
            epoch: view.epochs[node],
            gone,
            absent,
            answer: values,
        }
    }
}

/// Asks for all keys again and again. Every value in an answer must be one that the key had between question and answer.
/// How many were not, and how many answers came.
fn run_world(seed: u64, fault: Fault) -> (usize, usize) {
    let mut world = World::new(seed);
    let (mut wrong, mut answered) = (0, 0);
    let mut now = 1_000;
    for _ in 0..40 {
        let began = world.written;
        world.given_up.clear();
        let mut query = Query::new(now, (0..SLOTS_USED as u16).collect());
        let mut open: Vec<Order> = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..600 {
            now += world.rng.random_range(0..8);
            match world.rng.random_range(0..20) {
                0..7 => world.write(),
                7..8 => world.move_slot(),
                8..10 => world.gossip(),
                10..12 => world.go_on(),
                12..16 if !open.is_empty() => {
                    let order = open.swap_remove(world.rng.random_range(0..open.len()));
                    let reply = world.read(&order, fault);
                    answers.push((order.node, order.attempt, reply));
                }
                _ if !answers.is_empty() => {
                    let (node, attempt, reply) = answers.swap_remove(0);
                    query.answered(now, &node, attempt, reply);
                }
                _ => {}
            }
            let map = world.of_asker.map();
            query.look(now, &map);
            let is_done = match fault {
                Fault::NoEndCheck => query.is_answered(),
                _ => query.judge(now, &map) == Progress::Done,
            };
            if is_done {
                answered += 1;
                // Each key has been read, and once.
                let mut found = [const { Vec::new() }; SLOTS_USED];
                for (keys, values) in query.into_answers() {
                    for (key, value) in keys.into_iter().zip(values) {
                        found[key].extend(value);
                    }
                }
                for (key, values) in found.iter().enumerate() {
                    let possible = match values[..] {
                        [value] => (began[key]..=world.written[key]).contains(&value),
                        _ => false,
                    };
                    wrong += usize::from(!possible);
                }
                break;
            }
            open.extend(query.ask(now, &map));
        }
    }
    (wrong, answered)
}

#[test]
fn no_answer_is_wrong_while_slots_move() {
    let mut answered = 0;
    for seed in 0..40 {
        let (wrong, came) = run_world(seed, Fault::None);
        assert_eq!(wrong, 0, "seed {seed}");
        answered += came;
    }
    assert!(
        answered > 800,
        "{answered} answers are too few to show anything"
    );
}

#[test]
fn the_oracle_finds_a_missing_check() {
    for fault in [Fault::NoOwnerCheck, Fault::NoEndCheck] {
        let wrong: usize = (0..40).map(|seed| run_world(seed, fault).0).sum();
        assert!(wrong > 0, "{fault:?}");
    }
}

#[test]
fn slots_of_keys_are_within_bounds() {
    for key in 0..1_000u32 {
        assert!(usize::from(slot::of(&key.to_le_bytes())) < slot::SLOTS);
    }
}

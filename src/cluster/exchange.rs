//! Questions and answers between nodes over messages that may be lost, repeated, delayed or forged.
//!
//! An [`Exchange`] is one node's end. Nothing here sends, waits or looks at a clock: messages go in with the time, and what
//! is to be sent, and what has come of it, is fetched. So all of it runs in tests over a network made of lists.
//!
//! **Who is heard.** Nodes give each other cookies ([`super::wire`]). A HELLO that carries the cookie we gave its sender is
//! *proven*: it comes from whoever receives what we send to that node. Only a proven one is believed; any other makes us
//! send ours, with the cookie it offers, which goes to the real node. Two nodes that meet need three:
//!
//! ```text
//!   A                                                   B
//!     HELLO  cookie 0       "use a when writing to me"  ->    not proven: answer, to the real A
//!     <-  "use b when writing to me"  cookie a  HELLO         proven to A: it keeps b
//!     HELLO  cookie b       "use a when writing to me"  ->    proven to B: it keeps a
//! ```
//!
//! A node that has restarted has another incarnation: what it was asked is sent again, and what it asked is forgotten.
//!
//! **What arrives.** A payload is cut into parts, each acknowledged when it is there. One that is not is sent again after 150,
//! 300 and 600 ms, and then every 600 ms, until it is or nobody wants it any more. To a node from which nothing has been
//! heard since, only one part is sent again at a time: what the server keeps for a node that has stopped stays small.
//!
//! **How much is under way.** At most [`WINDOW`] bytes to a node that have not been acknowledged, questions and answers
//! together, in turns. A cluster bus carries the heartbeat too: who floods it gets nodes declared dead.
//!
//! **Once.** A question that has been raised is not raised again, however often its parts come; an answer counts if it comes
//! from the node that was asked, and once.

use super::map::NodeId;
use super::question::Answer;
use super::wire::{
    self, Direction, Envelope, Hello, MOST_PAYLOAD, Message, RequestId, VERSIONS, part_range, parts,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Milliseconds, from any beginning.
pub type Time = u64;

/// Bytes to one node that may be without acknowledgement.
pub const WINDOW: usize = 256 << 10;

/// Milliseconds until a part is sent again, and again, and from then on.
const AGAIN_AFTER: [Time; 3] = [150, 300, 600];

/// The shortest time between two HELLOs to one node.
const HELLO_PAUSE: Time = 100;

/// Questions of one node, and of all, that may be worked on; the next one is answered with "busy".
const MOST_OF_A_NODE: usize = 64;
const MOST_OF_ALL: usize = 256;

/// Bytes of payloads that are arriving, and of answers that are leaving.
const MOST_ARRIVING: usize = 64 << 20;
const MOST_LEAVING: usize = 64 << 20;

/// A question of which no part has come for so long is forgotten, and that one was raised; so are answers to a node from
/// which nothing has been heard for so long.
const FORGET_AFTER: Time = 30_000;

/// Which cookie each node is given. One for each node and start, which nobody can guess who has not been told.
#[derive(Clone)]
pub struct Cookies(RandomState);

impl Cookies {
    /// From the system's source of random numbers.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Cookies {
        Cookies(RandomState::new())
    }

    /// A node's. Never 0, which is for "none".
    pub fn of(&self, node: &NodeId) -> u64 {
        self.0.hash_one(node).max(1)
    }

    /// Another number that nobody can guess.
    pub fn number(&self, of: &str) -> u64 {
        self.0.hash_one(of)
    }

    /// Whether what somebody under a node's name has sent is worth a closer look.
    pub fn admit(&self, from: &NodeId, message: &[u8]) -> Admission {
        match wire::decode(message) {
            Ok((_, Message::Hello(_))) => Admission::Heard,
            Ok((envelope, _)) if envelope.cookie == self.of(from) => Admission::Heard,
            Ok(_) => Admission::Stranger,
            Err(_) => Admission::Nonsense,
        }
    }
}

/// What is to be done with a message; see [`Cookies::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It goes to [`Exchange::receive`].
    Heard,
    /// Its sender has not the node's cookie, or one from before a restart: [`Exchange::meet_stranger`].
    Stranger,
    /// It is no message.
    Nonsense,
}

/// What has come of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node asks. To be answered, unless it is cancelled.
    Question {
        /// Who.
        from: NodeId,
        /// Under which name.
        id: RequestId,
        /// What.
        payload: Vec<u8>,
    },
    /// A node has answered.
    Answer {
        /// Who.
        from: NodeId,
        /// What was asked under this name.
        id: RequestId,
        /// What.
        payload: Vec<u8>,
    },
    /// A node wants no answer any more.
    Cancelled {
        /// Who.
        from: NodeId,
        /// What it asked under this name.
        id: RequestId,
    },
}

/// Why a node that is there cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// It speaks these versions.
    Versions(u8, u8),
    /// It hashes elements with another seed.
    Seed,
}

/// What has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Parts that were sent again.
    pub repeated: u64,
    /// Messages that were not heard: damaged, of another version or without the right cookie.
    pub refused: u64,
    /// Questions answered with "busy".
    pub busy: u64,
}

enum PartState {
    Waiting,
    Flying { sent: Time, due: Time, tries: usize },
    Arrived,
}

/// A payload on its way out.
struct Transfer {
    id: RequestId,
    direction: Direction,
    payload: Arc<[u8]>,
    parts: Vec<PartState>,
    /// How many have arrived.
    arrived: usize,
    /// The parts before this one are not waiting.
    first_waiting: usize,
    /// When it began, or a part of it was last acknowledged.
    touched: Time,
}

impl Transfer {
    fn new(now: Time, id: RequestId, direction: Direction, payload: Arc<[u8]>) -> Transfer {
        let number = parts(payload.len());
        Transfer {
            id,
            direction,
            payload,
            parts: (0..number).map(|_| PartState::Waiting).collect(),
            arrived: 0,
            first_waiting: 0,
            touched: now,
        }
    }

    fn part_bytes(&self, part: usize) -> usize {
        part_range(self.payload.len(), part).len() + wire::HEAD
    }

    fn message(&self, part: usize) -> Message<'_> {
        Message::Part {
            id: self.id,
            direction: self.direction,
            part: part as u32,
            whole: self.payload.len() as u32,
            body: &self.payload[part_range(self.payload.len(), part)],
        }
    }

    /// Bytes without acknowledgement.
    fn flying(&self) -> usize {
        let flying = |part: &usize| matches!(self.parts[*part], PartState::Flying { .. });
        (0..self.parts.len())
            .filter(flying)
            .map(|part| self.part_bytes(part))
            .sum()
    }
}

/// A payload on its way in.
struct Assembly {
    whole: usize,
    parts: Vec<Option<Vec<u8>>>,
    missing: usize,
    touched: Time,
}

impl Assembly {
    fn new(now: Time, whole: usize) -> Assembly {
        Assembly {
            whole,
            parts: vec![None; parts(whole)],
            missing: parts(whole),
            touched: now,
        }
    }

    /// Takes a part in; the payload if that was the last one.
    fn take(&mut self, now: Time, part: usize, body: &[u8]) -> Option<Vec<u8>> {
        let place = self.parts.get_mut(part)?;
        if place.is_none() {
            *place = Some(body.to_vec());
            self.missing -= 1;
            self.touched = now;
        }
        (self.missing == 0).then(|| self.parts.iter().flatten().flatten().copied().collect())
    }
}

/// A question to a node that has not been answered.
struct Expected {
    payload: Arc<[u8]>,
    assembly: Option<Assembly>,
}

#[derive(Default)]
struct Peer {
    /// What is to stand in messages to it, once it is proven.
    cookie: Option<u64>,
    incarnation: u64,
    unsuitable: Option<Unsuitable>,
    /// What an unproven HELLO has offered; good for one answer.
    offered: Option<u64>,
    /// Whether it may have restarted: an unproven HELLO has come, and no proven one since.
    is_doubted: bool,
    hello_sent: Option<Time>,
    hello_due: Option<Time>,
    hello_tries: usize,
    /// When something with the right cookie last came from it.
    heard: Time,
    transfers: VecDeque<Transfer>,
    /// Bytes of them without acknowledgement.
    flying: usize,
    /// Its questions that are arriving.
    arriving: BTreeMap<RequestId, Assembly>,
    /// Its questions that are being worked on.
    open: BTreeSet<RequestId>,
    /// Its questions that have arrived or were cancelled, and until when that is remembered.
    known: BTreeMap<RequestId, Time>,
    /// Ours to it.
    expected: BTreeMap<RequestId, Expected>,
}

impl Peer {
    fn hello_at(&mut self, time: Time) {
        let earliest = self.hello_sent.map_or(0, |sent| sent + HELLO_PAUSE);
        let time = time.max(earliest);
        self.hello_due = Some(self.hello_due.map_or(time, |due| due.min(time)));
    }

    fn drop_transfers(&mut self, which: impl Fn(&Transfer) -> bool) {
        let flying = &mut self.flying;
        self.transfers.retain(|transfer| {
            let goes = which(transfer);
            if goes {
                *flying -= transfer.flying();
            }
            !goes
        });
    }
}

/// One node's end of all exchanges.
pub struct Exchange {
    cookies: Cookies,
    incarnation: u64,
    fingerprint: u32,
    peers: BTreeMap<NodeId, Peer>,
    out: Vec<(NodeId, Vec<u8>)>,
    events: VecDeque<Event>,
    counts: Counts,
    /// Bytes of all assemblies.
    arriving: usize,
    /// Bytes of all answers among the transfers.
    leaving: usize,
}

impl Exchange {
    /// Of a node that has just started and hashes with a seed of this fingerprint.
    pub fn new(cookies: Cookies, fingerprint: u32) -> Exchange {
        Exchange {
            incarnation: cookies.number("incarnation"),
            cookies,
            fingerprint,
            peers: BTreeMap::new(),
            out: Vec::new(),
            events: VecDeque::new(),
            counts: Counts::default(),
            arriving: 0,
            leaving: 0,
        }
    }

    /// What is to be sent, in this order.
    pub fn take_messages(&mut self) -> Vec<(NodeId, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    /// What has happened, the oldest first.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Why this node cannot be asked, if that is known.
    pub fn unsuitable(&self, node: &NodeId) -> Option<Unsuitable> {
        self.peers.get(node)?.unsuitable
    }

    /// Whether this node has ever introduced itself.
    pub fn has_met(&self, node: &NodeId) -> bool {
        self.peers
            .get(node)
            .is_some_and(|peer| peer.cookie.is_some())
    }

    /// Bytes to this node without acknowledgement.
    pub fn under_way(&self, node: &NodeId) -> usize {
        self.peers.get(node).map_or(0, |peer| peer.flying)
    }

    /// Introduces this node to another one: when the cluster has changed, so that both know each other before there is a
    /// question, and the first message on a fresh link, which some servers lose, is none that matters.
    pub fn greet(&mut self, now: Time, node: NodeId) {
        self.peers.entry(node).or_default().hello_at(now);
        self.advance(now);
    }

    /// Forgets all nodes but these.
    pub fn retain(&mut self, mut is_known: impl FnMut(&NodeId) -> bool) {
        let gone: Vec<NodeId> = self
            .peers
            .keys()
            .filter(|id| !is_known(id))
            .copied()
            .collect();
        for node in gone {
            self.forget_questions(node);
            if let Some(mut peer) = self.peers.remove(&node) {
                peer.drop_transfers(|_| true);
                for expected in peer.expected.into_values() {
                    self.arriving -= expected.assembly.map_or(0, |assembly| assembly.whole);
                }
            }
        }
    }

    /// Asks a node.
    pub fn ask(&mut self, now: Time, node: NodeId, id: RequestId, payload: Vec<u8>) {
        let payload: Arc<[u8]> = payload.into();
        let peer = self.peers.entry(node).or_default();
        let transfer = Transfer::new(now, id, Direction::Question, payload.clone());
        peer.transfers.push_back(transfer);
        let assembly = None;
        peer.expected.insert(id, Expected { payload, assembly });
        if peer.cookie.is_none() {
            peer.hello_at(now);
        }
        self.advance(now);
    }

    /// Answers a question that was raised and not cancelled; otherwise does nothing.
    pub fn answer(&mut self, now: Time, node: NodeId, id: RequestId, answer: &Answer) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if !peer.open.remove(&id) {
            return;
        }
        let mut payload = answer.encode();
        if payload.len() > MOST_PAYLOAD {
            payload = Answer::TooLarge.encode();
        }
        self.send_answer(now, node, id, payload);
    }

    fn send_answer(&mut self, now: Time, node: NodeId, id: RequestId, mut payload: Vec<u8>) {
        if self.leaving + payload.len() > MOST_LEAVING {
            payload = Answer::Busy.encode();
        }
        self.leaving += payload.len();
        let peer = self.peers.entry(node).or_default();
        let transfer = Transfer::new(now, id, Direction::Answer, payload.into());
        peer.transfers.push_back(transfer);
        if peer.cookie.is_none() {
            peer.hello_at(now);
        }
        self.advance(now);
    }

    /// Wants no answer to this any more.
    pub fn cancel(&mut self, now: Time, node: NodeId, id: RequestId) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let Some(expected) = peer.expected.remove(&id) else {
            return;
        };
        self.arriving -= expected.assembly.map_or(0, |assembly| assembly.whole);
        let its =
            |transfer: &Transfer| transfer.id == id && transfer.direction == Direction::Question;
        peer.drop_transfers(its);
        self.send(node, &Message::Cancel(id));
        self.advance(now);
    }

    /// Sends a message to a node that is proven; to another one nothing.
    fn send(&mut self, node: NodeId, message: &Message) {
        if let Some(cookie) = self.peers.get(&node).and_then(|peer| peer.cookie) {
            let envelope = Envelope {
                cookie,
                fingerprint: self.fingerprint,
            };
            self.out.push((node, wire::encode(envelope, message)));
        }
    }

    /// Takes in what a node, or somebody with its name, has sent.
    pub fn receive(&mut self, now: Time, from: NodeId, message: &[u8]) {
        let (envelope, message) = match wire::decode(message) {
            Ok(decoded) => decoded,
            Err(_) => {
                self.counts.refused += 1;
                return;
            }
        };
        let is_proven = envelope.cookie == self.cookies.of(&from);
        if let Message::Hello(hello) = message {
            self.take_hello(now, from, envelope, hello, is_proven);
            return self.advance(now);
        }
        if !is_proven || envelope.fingerprint != self.fingerprint {
            return self.meet_stranger(now, from);
        }
        self.peers.entry(from).or_default().heard = now;
        match message {
            Message::Hello(_) => {}
            Message::Part {
                id,
                direction,
                part,
                whole,
                body,
            } => {
                let arrived = match direction {
                    Direction::Question => {
                        self.take_question_part(now, from, id, part as usize, whole as usize, body)
                    }
                    Direction::Answer => {
                        self.take_answer_part(now, from, id, part as usize, whole as usize, body)
                    }
                };
                if arrived {
                    let message = Message::Acknowledge {
                        id,
                        direction,
                        part,
                    };
                    self.send(from, &message);
                    // Who has asked is proven, but has perhaps not been heard to say so.
                    let peer = self.peers.entry(from).or_default();
                    if peer.cookie.is_none() {
                        peer.hello_at(now);
                    }
                }
            }
            Message::Acknowledge {
                id,
                direction,
                part,
            } => self.take_acknowledgement(now, from, id, direction, part as usize),
            Message::Cancel(id) => self.take_cancel(now, from, id),
        }
        self.advance(now);
    }

    /// Somebody under this name does not know what the node was told. It may know it from before this node restarted: so
    /// the node, and not whoever it was, is introduced to.
    pub fn meet_stranger(&mut self, now: Time, from: NodeId) {
        self.counts.refused += 1;
        self.peers.entry(from).or_default().hello_at(now);
        self.advance(now);
    }

    fn take_hello(
        &mut self,
        now: Time,
        from: NodeId,
        envelope: Envelope,
        hello: Hello,
        is_proven: bool,
    ) {
        let peer = self.peers.entry(from).or_default();
        if !is_proven {
            peer.offered = Some(hello.cookie);
            peer.is_doubted = true;
            peer.hello_at(now);
            return;
        }
        let (lowest, highest) = hello.versions;
        peer.unsuitable = if lowest > *VERSIONS.end() || highest < *VERSIONS.start() {
            Some(Unsuitable::Versions(lowest, highest))
        } else if envelope.fingerprint != self.fingerprint {
            Some(Unsuitable::Seed)
        } else {
            None
        };
        let is_another = peer.cookie.is_some() && peer.incarnation != hello.incarnation;
        peer.heard = now;
        peer.cookie = Some(hello.cookie);
        peer.incarnation = hello.incarnation;
        peer.offered = None;
        peer.is_doubted = false;
        peer.hello_tries = 0;
        peer.hello_due = None;
        if hello.wants_cookie {
            peer.hello_at(now);
        }
        if is_another {
            self.begin_again(now, from);
        }
    }

    /// A node has restarted: it knows nothing of what was asked, and wants nothing of what it has asked.
    fn begin_again(&mut self, now: Time, node: NodeId) {
        self.forget_questions(node);
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        peer.drop_transfers(|_| true);
        for (&id, expected) in &mut peer.expected {
            if let Some(assembly) = expected.assembly.take() {
                self.arriving -= assembly.whole;
            }
            let payload = expected.payload.clone();
            let transfer = Transfer::new(now, id, Direction::Question, payload);
            peer.transfers.push_back(transfer);
        }
    }

    /// Forgets all that a node has asked, and our answers.
    fn forget_questions(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        for assembly in std::mem::take(&mut peer.arriving).into_values() {
            self.arriving -= assembly.whole;
        }
        for id in std::mem::take(&mut peer.open) {
            self.events.push_back(Event::Cancelled { from: node, id });
        }
        peer.known.clear();
        self.leaving -= answers(peer, |_| true);
        peer.drop_transfers(|transfer| transfer.direction == Direction::Answer);
    }

    /// Whether the part is to be acknowledged.
    fn take_question_part(
        &mut self,
        now: Time,
        from: NodeId,
        id: RequestId,
        part: usize,
        whole: usize,
        body: &[u8],
    ) -> bool {
        let open: usize = self.peers.values().map(|peer| peer.open.len()).sum();
        let peer = self.peers.entry(from).or_default();
        if peer.known.contains_key(&id) {
            return true;
        }
        if !peer.arriving.contains_key(&id) {
            if self.arriving + whole > MOST_ARRIVING || peer.arriving.len() >= MOST_OF_A_NODE {
                return false;
            }
            self.arriving += whole;
            peer.arriving.insert(id, Assembly::new(now, whole));
        }
        let Some(assembly) = peer
            .arriving
            .get_mut(&id)
            .filter(|assembly| assembly.whole == whole)
        else {
            return false;
        };
        let Some(payload) = assembly.take(now, part, body) else {
            return true;
        };
        self.arriving -= whole;
        peer.arriving.remove(&id);
        peer.known.insert(id, now + FORGET_AFTER);
        if peer.open.len() >= MOST_OF_A_NODE || open >= MOST_OF_ALL {
            self.counts.busy += 1;
            self.send_answer(now, from, id, Answer::Busy.encode());
        } else {
            peer.open.insert(id);
            self.events.push_back(Event::Question { from, id, payload });
        }
        true
    }

    /// Whether the part is to be acknowledged: also one that nobody expects, so that it is not sent again.
    fn take_answer_part(
        &mut self,
        now: Time,
        from: NodeId,
        id: RequestId,
        part: usize,
        whole: usize,
        body: &[u8],
    ) -> bool {
        let peer = self.peers.entry(from).or_default();
        let Some(expected) = peer.expected.get_mut(&id) else {
            return true;
        };
        if expected.assembly.is_none() {
            if self.arriving + whole > MOST_ARRIVING {
                return false;
            }
            self.arriving += whole;
        }
        let assembly = &mut expected.assembly;
        let assembly = assembly.get_or_insert_with(|| Assembly::new(now, whole));
        if assembly.whole != whole {
            return false;
        }
        if let Some(payload) = assembly.take(now, part, body) {
            self.arriving -= whole;
            peer.expected.remove(&id);
            // Whoever answers has the question, whether all acknowledgements have come or not.
            peer.drop_transfers(|transfer| {
                transfer.id == id && transfer.direction == Direction::Question
            });
            self.events.push_back(Event::Answer { from, id, payload });
        }
        true
    }

    fn take_acknowledgement(
        &mut self,
        now: Time,
        from: NodeId,
        id: RequestId,
        direction: Direction,
        part: usize,
    ) {
        let peer = self.peers.entry(from).or_default();
        let its = |transfer: &Transfer| transfer.id == id && transfer.direction == direction;
        let Some(place) = peer.transfers.iter().position(its) else {
            return;
        };
        let transfer = &mut peer.transfers[place];
        let Some(state @ PartState::Flying { .. }) = transfer.parts.get_mut(part) else {
            return;
        };
        *state = PartState::Arrived;
        transfer.arrived += 1;
        transfer.touched = now;
        peer.flying -= transfer.part_bytes(part);
        if transfer.arrived == transfer.parts.len() {
            if direction == Direction::Answer {
                self.leaving -= transfer.payload.len();
            }
            peer.transfers.remove(place);
        }
    }

    fn take_cancel(&mut self, now: Time, from: NodeId, id: RequestId) {
        let peer = self.peers.entry(from).or_default();
        if let Some(assembly) = peer.arriving.remove(&id) {
            self.arriving -= assembly.whole;
        }
        if peer.open.remove(&id) {
            self.events.push_back(Event::Cancelled { from, id });
        }
        peer.known.insert(id, now + FORGET_AFTER);
        self.leaving -= answers(peer, |transfer| transfer.id == id);
        peer.drop_transfers(|transfer| {
            transfer.id == id && transfer.direction == Direction::Answer
        });
    }

    /// Does what is due at this time.
    pub fn advance(&mut self, now: Time) {
        let nodes: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in nodes {
            self.advance_peer(now, node);
        }
    }

    fn advance_peer(&mut self, now: Time, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        if peer.hello_due.is_some_and(|due| due <= now) {
            // A cookie that was only offered is used once, for this.
            let offered = peer.offered.take();
            let wants_cookie = peer.is_doubted || peer.cookie.is_none();
            let envelope = Envelope {
                cookie: offered.or(peer.cookie).unwrap_or(0),
                fingerprint: self.fingerprint,
            };
            let hello = Hello {
                incarnation: self.incarnation,
                cookie: self.cookies.of(&node),
                versions: (*VERSIONS.start(), *VERSIONS.end()),
                wants_cookie,
            };
            self.out
                .push((node, wire::encode(envelope, &Message::Hello(hello))));
            peer.hello_sent = Some(now);
            peer.hello_due = None;
            let is_wanted = !peer.transfers.is_empty() || !peer.expected.is_empty();
            if wants_cookie && is_wanted {
                peer.hello_due = Some(now + again_after(peer.hello_tries));
                peer.hello_tries += 1;
            }
        }
        let heard = peer.heard;
        let is_stale = |transfer: &Transfer| {
            transfer.direction == Direction::Answer
                && heard.max(transfer.touched) + FORGET_AFTER <= now
        };
        self.leaving -= answers(peer, is_stale);
        peer.drop_transfers(is_stale);
        peer.known.retain(|_, until| *until > now);
        let arriving = &mut self.arriving;
        peer.arriving.retain(|_, assembly| {
            let stays = assembly.touched + FORGET_AFTER > now;
            if !stays {
                *arriving -= assembly.whole;
            }
            stays
        });
        let Some(cookie) = peer.cookie else {
            return;
        };
        let envelope = Envelope {
            cookie,
            fingerprint: self.fingerprint,
        };
        let mut has_repeated = false;
        for transfer in &mut peer.transfers {
            for part in 0..transfer.parts.len() {
                let PartState::Flying { sent, due, tries } = &mut transfer.parts[part] else {
                    continue;
                };
                if *due > now {
                    continue;
                }
                *due = now + again_after(*tries + 1);
                if has_repeated && peer.heard < *sent {
                    continue;
                }
                *tries += 1;
                has_repeated = true;
                self.counts.repeated += 1;
                self.out
                    .push((node, wire::encode(envelope, &transfer.message(part))));
            }
        }
        // A part of each in turns, as long as there is room.
        loop {
            let mut has_sent = false;
            for transfer in &mut peer.transfers {
                let part = transfer.first_waiting;
                if part == transfer.parts.len() {
                    continue;
                }
                let bytes = transfer.part_bytes(part);
                if peer.flying + bytes > WINDOW {
                    continue;
                }
                let message = wire::encode(envelope, &transfer.message(part));
                self.out.push((node, message));
                transfer.parts[part] = PartState::Flying {
                    sent: now,
                    due: now + again_after(0),
                    tries: 0,
                };
                transfer.first_waiting += 1;
                if part == 0 {
                    transfer.touched = now;
                }
                peer.flying += bytes;
                has_sent = true;
            }
            if !has_sent {
                return;
            }
        }
    }

    /// When something will have to be sent; `None` if nothing will. What is only to be forgotten wakes nobody: it is when
    /// there is something else to do, or every second.
    pub fn wake(&self) -> Option<Time> {
        let of_peer = |peer: &Peer| {
            let flying = peer.transfers.iter().filter(|_| peer.cookie.is_some());
            let parts = flying.flat_map(|transfer| &transfer.parts);
            let parts = parts.filter_map(|part| match part {
                PartState::Flying { due, .. } => Some(*due),
                _ => None,
            });
            parts.chain(peer.hello_due).min()
        };
        self.peers.values().filter_map(of_peer).min()
    }
}

/// Bytes of the answers of this kind on their way to a node.
fn answers(peer: &Peer, which: impl Fn(&Transfer) -> bool) -> usize {
    let answers = peer.transfers.iter();
    answers
        .filter(|transfer| transfer.direction == Direction::Answer && which(transfer))
        .map(|transfer| transfer.payload.len())
        .sum()
}

fn again_after(tries: usize) -> Time {
    AGAIN_AFTER[tries.min(AGAIN_AFTER.len() - 1)]
}

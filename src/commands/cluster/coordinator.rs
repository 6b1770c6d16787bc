//! Time, messages and the server's word for the protocol of [`crate::cluster`].
//!
//! Everything happens in *turns* of a timer, never inside a command or a receiver: there keys may look absent that are not
//! (see [`crate::server::cluster`]). A turn takes in what has arrived, works on keys for at most `SLICE`, moves every
//! question on, and sends what there is to send. If work is left the next turn comes a millisecond later, so that other
//! clients are served in between.
//!
//! The receiver of messages looks whether a message is worth a turn, keeps a copy and asks for one.
//!
//! The state is locked only between calls of the server, not during them.

use super::faults::{self, Fault, has};
use super::gather::{Collected, Ended, Gather, Loaded, part};
use super::{merge, moving, timeouts};
use crate::cluster::exchange::{Admission, Cookies, Event, Exchange, Time, Unsuitable};
use crate::cluster::map::{Map, NodeId};
use crate::cluster::query::{Obstacle, Order, Progress, Query, Reply as Replied};
use crate::cluster::question::{Answer, Found, Key, Question, Uses};
use crate::cluster::slot;
use crate::cluster::wire::{MOST_PAYLOAD, RequestId, VERSIONS};
use crate::commands::sketch::asked::Answer as MakeAnswer;
use crate::commands::sketch::union::Operands;
use crate::server::answers::QUERY_TIMEOUT;
use crate::server::blocked::{Blocked, Departure, Limit};
use crate::server::cluster::{MessageContext, MessageEntry, NODE_ID};
use crate::server::context::Context;
use crate::server::error::CommandError;
use crate::server::info::Counter;
use crate::server::lock;
use crate::server::log::{Level, log};
use crate::server::reply::{Outcome, Reply};
use crate::server::settings::{Choice, Number};
use crate::server::sockets;
use crate::server::syntax::Word;
use crate::server::timer::{TimerContext, TimerEntry};
use crate::server::workers;
use crate::sketch::Sketch;
use crate::sketch::partial::{Part, resolve};
use crate::types::settings::HASH_SEED;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The setting `cluster-timeout`: milliseconds that other nodes may take to answer.
pub static TIMEOUT: Number = Number::new(c"cluster-timeout", 10..=600_000, 1_000)
    .on_change(|| TIMEOUT_IS_NEW.store(true, Ordering::Relaxed));

/// Whether nobody has compared it yet with the time after which nodes are taken for dead.
static TIMEOUT_IS_NEW: AtomicBool = AtomicBool::new(true);

/// The setting `cluster-nodelay`: whether what goes to other nodes is sent at once.
pub static NODELAY: Choice<YesNo> = Choice::new(c"cluster-nodelay");

/// A choice between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YesNo {
    /// Do.
    Yes,
    /// Do not.
    No,
}

impl Word for YesNo {
    const ALL: &'static [(&'static str, YesNo)] = &[("YES", YesNo::Yes), ("NO", YesNo::No)];
}

/// Questions asked of the cluster by clients of this node.
pub static QUERIES: Counter = Counter::new();
/// Of them, those that were not answered in time.
pub static TIMED_OUT: Counter = Counter::new();
/// Times that a node was asked for some keys, this one among them.
pub static ROUNDS: Counter = Counter::new();
/// Answers that were dropped because a key was not that node's, or is not any more.
pub static NOT_MINE: Counter = Counter::new();
/// Questions of other nodes.
pub static GATHERS: Counter = Counter::new();
/// Messages to other nodes, and their bytes.
pub static MESSAGES_SENT: Counter = Counter::new();
/// See [`MESSAGES_SENT`].
pub static BYTES_SENT: Counter = Counter::new();
/// Messages of other nodes, and their bytes.
pub static MESSAGES_RECEIVED: Counter = Counter::new();
/// See [`MESSAGES_RECEIVED`].
pub static BYTES_RECEIVED: Counter = Counter::new();
/// Messages that were sent again.
pub static RESENT: Counter = Counter::new();
/// Messages that were not heard: forged, damaged, or of a node that has not been met.
pub static REFUSED: Counter = Counter::new();
/// Connections to other nodes that were told to send at once.
pub static LINKS: Counter = Counter::new();
/// Questions of other nodes that were answered with "busy".
pub static BUSY: Counter = Counter::new();

/// The number of our messages on the bus.
pub const MESSAGES: MessageEntry = MessageEntry {
    kind: 0xA7,
    receive,
};

/// What looks after the nodes while nothing is asked.
pub const CARETAKER: TimerEntry = TimerEntry {
    first: CARE_EVERY,
    call: care,
};

const CARE_EVERY: Duration = Duration::from_secs(1);

/// How long a turn works on keys.
const SLICE: Duration = Duration::from_millis(2);

/// Questions of clients that may be open.
const MOST_QUERIES: usize = 1_024;

/// Bytes and messages that may have arrived and not been looked at.
const MOST_ARRIVED_BYTES: usize = 32 << 20;
const MOST_ARRIVED: usize = 16_384;

/// What is to be done with what the nodes have.
pub enum Finish {
    /// This answer is made of it.
    Answer(MakeAnswer),
    /// It is merged into the sketch under this key.
    Merge(Vec<u8>),
}

/// The keys of a question, each once.
#[derive(Default)]
pub struct Wanted {
    keys: Vec<Key>,
    places: HashMap<Vec<u8>, usize>,
    /// For each set, which key it is.
    sets: Vec<usize>,
    unions: usize,
}

impl Wanted {
    fn key(&mut self, name: &[u8]) -> usize {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        self.keys.push(Key {
            name: name.to_vec(),
            uses: Uses::default(),
        });
        self.places.insert(name.to_vec(), self.keys.len() - 1);
        self.keys.len() - 1
    }

    /// One more set: this key.
    pub fn set(&mut self, name: &[u8]) {
        let place = self.key(name);
        self.keys[place].uses = self.keys[place].uses.itself();
        self.sets.push(place);
    }

    /// This key belongs to the union of this number.
    pub fn union(&mut self, number: usize, name: &[u8]) {
        let place = self.key(name);
        self.keys[place].uses = self.keys[place].uses.union(number);
        self.unions = self.unions.max(number + 1);
    }
}

/// A question of a client.
struct Running {
    client: Arc<Blocked>,
    /// For [`workers`].
    number: u64,
    wanted: Wanted,
    database: u32,
    deadline: Time,
    query: Query<Collected>,
    finish: Finish,
}

/// Who has asked for keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// This node.
    Here(RequestId),
    /// Another one.
    Node(NodeId, RequestId),
}

/// Something that takes time on the server's thread.
enum Task {
    Gather(Asker, Box<Gather>),
    Finish(Box<Finishing>),
}

#[derive(Default)]
struct State {
    exchange: Option<Exchange>,
    running: BTreeMap<u64, Running>,
    tasks: VecDeque<Task>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn with_state<T>(call: impl FnOnce(&mut State) -> T) -> T {
    call(lock(&STATE).get_or_insert_default())
}

fn cookies() -> &'static Cookies {
    static COOKIES: OnceLock<Cookies> = OnceLock::new();
    COOKIES.get_or_init(Cookies::new)
}

impl State {
    fn exchange(&mut self) -> &mut Exchange {
        self.exchange.get_or_insert_with(|| {
            let seed = HASH_SEED.get().to_le_bytes();
            let fingerprint = xxhash_rust::xxh3::xxh3_64_with_seed(&seed, FINGERPRINT);
            Exchange::new(cookies().clone(), fingerprint as u32)
        })
    }
}

/// Sets the fingerprint of a seed apart from any other use of the hash.
const FINGERPRINT: u64 = u64::from_le_bytes(*b"hll-seed");

/// Milliseconds since the first call.
fn now() -> Time {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed().as_millis() as Time + 1_000
}

// ---------------------------------------------------------------------------------------------------------
// Messages in
// ---------------------------------------------------------------------------------------------------------

/// Messages, and senders who are to be told who this node is.
static ARRIVED: Mutex<VecDeque<(NodeId, Option<Vec<u8>>)>> = Mutex::new(VecDeque::new());
static ARRIVED_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Messages that were none.
static NONSENSE: Counter = Counter::new();

fn receive(ctx: &MessageContext, sender: &[u8; NODE_ID], message: &[u8]) {
    let Some(sender) = NodeId::new(sender) else {
        return;
    };
    MESSAGES_RECEIVED.add_one();
    BYTES_RECEIVED.add(message.len() as u64);
    let mut arrived = lock(&ARRIVED);
    let has_room = arrived.len() < MOST_ARRIVED
        && ARRIVED_BYTES.load(Ordering::Relaxed) + message.len() <= MOST_ARRIVED_BYTES;
    if !has_room {
        return;
    }
    match cookies().admit(&sender, message) {
        Admission::Heard => {
            ARRIVED_BYTES.fetch_add(message.len(), Ordering::Relaxed);
            arrived.push_back((sender, Some(message.to_vec())));
        }
        Admission::Stranger => arrived.push_back((sender, None)),
        Admission::Nonsense => return NONSENSE.add_one(),
    }
    drop(arrived);
    #[cfg(feature = "test-commands")]
    if has(Fault::WorkInReceiver) {
        return ctx.at_once(turn);
    }
    if wants_turn() {
        ctx.after(Duration::ZERO, turn_now);
    }
}

// ---------------------------------------------------------------------------------------------------------
// Questions of clients
// ---------------------------------------------------------------------------------------------------------

/// Asks the cluster, for the client of the running command, which may wait.
pub fn ask(ctx: &mut Context, wanted: Wanted, finish: Finish) -> Outcome {
    if with_state(|state| state.running.len()) >= MOST_QUERIES {
        return Err(CommandError::invalid(format_args!(
            "{MOST_QUERIES} questions to the cluster are being answered, try again later"
        )));
    }
    QUERIES.add_one();
    let request = request_number();
    let number = workers::new_number();
    let timeout = TIMEOUT.get() as u64;
    let limit = match QUERY_TIMEOUT.get() {
        0 => None,
        milliseconds => Some(Limit {
            time: Duration::from_millis(milliseconds as u64 + timeout),
            error: CommandError::invalid(format_args!(
                "the answer took longer than hll.query-timeout allows ({milliseconds} ms), ask for less at once or \
                 raise it"
            )),
        }),
    };
    let database = ctx.database() as u32;
    let client = ctx.block(limit, move |how| depart(request, number, how));
    let now = now();
    let slots = wanted.keys.iter().map(|key| slot::of(&key.name)).collect();
    let running = Running {
        client,
        number,
        wanted,
        database,
        deadline: now + timeout,
        query: Query::new(now, slots),
        finish,
    };
    with_state(|state| state.running.insert(request, running));
    if wants_turn() {
        ctx.after(Duration::ZERO, turn_now);
    }
    Ok(Reply::None)
}

/// Nobody else has it, and nobody can guess the next one.
fn request_number() -> u64 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    cookies().number(&next.to_string())
}

/// The client of a question does not wait any more.
fn depart(request: u64, number: u64, how: Departure) {
    let was_asking = with_state(|state| {
        let running = state.running.remove(&request);
        if let Some(running) = &running {
            state.cancel(request, &running.query);
        }
        running.is_some()
    });
    if !was_asking {
        workers::depart(number, how);
    }
}

impl State {
    /// Tells those who are asked that nobody waits for their answers.
    fn cancel(&mut self, request: u64, query: &Query<Collected>) {
        let open: Vec<Order> = query.open_orders().cloned().collect();
        for order in open {
            self.cancel_order(request, &order);
        }
    }

    fn cancel_order(&mut self, request: u64, order: &Order) {
        let id = RequestId {
            request,
            attempt: order.attempt,
        };
        self.forget(Asker::Here(id));
        self.exchange().cancel(now(), order.node, id);
    }

    fn forget(&mut self, asker: Asker) {
        let its = |task: &Task| matches!(task, Task::Gather(its, _) if *its == asker);
        self.tasks.retain(|task| !its(task));
    }
}

// ---------------------------------------------------------------------------------------------------------
// Turns
// ---------------------------------------------------------------------------------------------------------

/// Whether a timer is set for a turn as soon as can be.
static TURN_IS_SET: AtomicBool = AtomicBool::new(false);

/// When the earliest of the other turns will be for which a timer is set.
static ALARM: Mutex<Option<Time>> = Mutex::new(None);

/// Asks for a turn as soon as can be; whether a timer is to be set for it.
fn wants_turn() -> bool {
    !TURN_IS_SET.swap(true, Ordering::Relaxed)
}

fn turn_now(ctx: &TimerContext) {
    TURN_IS_SET.store(false, Ordering::Relaxed);
    turn(ctx);
}

/// Has a turn made at this time.
fn set_alarm(ctx: &TimerContext, time: Time) {
    let mut alarm = lock(&ALARM);
    if alarm.is_some_and(|alarm| alarm <= time) {
        return;
    }
    *alarm = Some(time);
    drop(alarm);
    let delay = Duration::from_millis(time.saturating_sub(now()));
    ctx.after(delay, move |ctx| {
        let mut alarm = lock(&ALARM);
        if *alarm == Some(time) {
            *alarm = None;
        }
        drop(alarm);
        turn(ctx);
    });
}

fn turn(ctx: &TimerContext) {
    if ctx.is_loading() && !has(Fault::WorkInReceiver) {
        return set_alarm(ctx, now() + 20);
    }
    let until = Instant::now() + SLICE;
    // Asked for once a turn, if at all.
    let mut epoch = None;
    take_arrived();
    loop {
        with_state(State::take_events);
        let mut has_worked = false;
        while let Some(task) = with_state(|state| state.tasks.pop_front()) {
            has_worked = true;
            work(ctx, task, until, &mut epoch);
            if Instant::now() >= until {
                break;
            }
        }
        move_on(ctx);
        let has_tasks = with_state(|state| !state.tasks.is_empty());
        if !has_tasks && !has_worked || Instant::now() >= until {
            break;
        }
    }
    send(ctx);
    let (has_tasks, wake) = with_state(|state| {
        let wake = state.exchange().wake();
        let queries = state.running.values();
        let queries = queries.map(|running| running.query.wake().min(running.deadline));
        (!state.tasks.is_empty(), queries.chain(wake).min())
    });
    if has_tasks {
        set_alarm(ctx, now() + 1);
    } else if let Some(wake) = wake {
        set_alarm(ctx, wake.max(now() + 1));
    }
}

fn take_arrived() {
    let arrived = mem::take(&mut *lock(&ARRIVED));
    ARRIVED_BYTES.store(0, Ordering::Relaxed);
    let now = now();
    with_state(|state| {
        for (sender, message) in arrived {
            match message {
                Some(message) => state.exchange().receive(now, sender, &message),
                None => state.exchange().meet_stranger(now, sender),
            }
        }
        state.exchange().advance(now);
    });
}

fn send(ctx: &TimerContext) {
    let (messages, counts) = with_state(|state| {
        let exchange = state.exchange();
        (exchange.take_messages(), exchange.counts())
    });
    RESENT.set(counts.repeated);
    REFUSED.set(counts.refused + NONSENSE.get());
    BUSY.set(counts.busy);
    for (node, message) in messages {
        if ctx.send(node.bytes(), MESSAGES.kind, &message) {
            MESSAGES_SENT.add_one();
            BYTES_SENT.add(message.len() as u64);
        }
    }
}

impl State {
    fn take_events(&mut self) {
        while let Some(event) = self.exchange().take_event() {
            match event {
                Event::Question { from, id, payload } => {
                    GATHERS.add_one();
                    match Question::decode(&payload) {
                        Some(question) => {
                            let gather = Gather::new(question, true);
                            let gather = Box::new(with_begun(gather, id));
                            self.tasks
                                .push_front(Task::Gather(Asker::Node(from, id), gather));
                        }
                        None => {
                            let now = now();
                            let answer = Answer::NotUnderstood;
                            self.exchange().answer(now, from, id, &answer);
                        }
                    }
                }
                Event::Answer { from, id, payload } => self.take_answer(from, id, &payload),
                Event::Cancelled { from, id } => self.forget(Asker::Node(from, id)),
            }
        }
    }

    fn take_answer(&mut self, from: NodeId, id: RequestId, payload: &[u8]) {
        let Some(running) = self.running.get(&id.request) else {
            return;
        };
        let Some(order) = running.query.order(&from, id.attempt) else {
            return;
        };
        let question = running.question(order);
        let reply = match Answer::decode(payload) {
            Some(Answer::Gathered(gathered)) if gathered.answers(&question) => {
                judge_found(&gathered.found.clone(), gathered.into())
            }
            Some(Answer::Busy) => Ok(Replied::Busy),
            Some(Answer::TooLarge) => Err(too_large(&from)),
            Some(Answer::NoDatabase) => Err(no_database(&from, running.database)),
            Some(Answer::Gathered(_) | Answer::NotUnderstood) | None => {
                Err(CommandError::invalid(format_args!(
                    "node {from} and this one do not understand each other, load the same version of the module on both"
                )))
            }
        };
        self.take_reply(from, id, reply);
    }

    fn take_reply(
        &mut self,
        from: NodeId,
        id: RequestId,
        reply: Result<Replied<Collected>, CommandError>,
    ) {
        match reply {
            Ok(reply) => {
                match &reply {
                    Replied::NotMine(_) => NOT_MINE.add_one(),
                    Replied::Whole { answer, .. } => faults::remember_answer(id.request, answer),
                    Replied::Busy => {}
                }
                let Some(running) = self.running.get_mut(&id.request) else {
                    return;
                };
                let dropped = running.query.answered(now(), &from, id.attempt, reply);
                for order in &dropped {
                    self.cancel_order(id.request, order);
                }
            }
            Err(error) => self.fail(id.request, error),
        }
    }

    /// Ends a question with an error.
    fn fail(&mut self, request: u64, error: CommandError) {
        if let Some(running) = self.running.remove(&request) {
            self.cancel(request, &running.query);
            running.client.answer(Err(error));
        }
    }
}

/// An answer in which a key is not that node's is none.
fn judge_found(found: &[Found], collected: Collected) -> Result<Replied<Collected>, CommandError> {
    match found.iter().position(|found| *found == Found::NotMine) {
        Some(place) => Ok(Replied::NotMine(place)),
        None => Ok(whole(collected)),
    }
}

fn whole(collected: Collected) -> Replied<Collected> {
    Replied::Whole {
        epoch: collected.epoch,
        gone: collected.gone(),
        absent: collected.absent(),
        answer: collected,
    }
}

fn too_large(node: &NodeId) -> CommandError {
    CommandError::invalid(format_args!(
        "what was asked of node {node} comes to more than {} MiB, ask for fewer keys at once",
        MOST_PAYLOAD >> 20
    ))
}

fn no_database(node: &NodeId, database: u32) -> CommandError {
    CommandError::invalid(format_args!(
        "node {node} has no database {database}, give all nodes as many"
    ))
}

impl Running {
    fn question(&self, order: &Order) -> Question {
        let keys = order.keys.iter();
        Question {
            database: self.database,
            source: order.source,
            unions: self.wanted.unions,
            keys: keys.map(|&key| self.wanted.keys[key].clone()).collect(),
        }
    }

    fn key(&self, place: usize) -> &[u8] {
        &self.wanted.keys[place].name
    }
}

fn work(ctx: &TimerContext, task: Task, until: Instant, epoch: &mut Option<u64>) {
    match task {
        Task::Gather(asker, mut gather) => {
            let epoch = *epoch.get_or_insert_with(|| ctx.cluster_epoch().unwrap_or(0));
            let ended = gather.work(ctx, until, epoch);
            if has(Fault::AttemptsMixed) && ended.is_some() {
                let (Asker::Here(id) | Asker::Node(_, id)) = asker;
                faults::remember_begun(id.request, mem::take(gather.unions()));
            }
            with_state(|state| match ended {
                None => state.tasks.push_back(Task::Gather(asker, gather)),
                Some(ended) => state.gathered(asker, gather.keys(), ended),
            });
        }
        Task::Finish(finishing) => {
            if let ControlFlow::Continue(finishing) = finishing.work(until) {
                with_state(|state| state.tasks.push_back(Task::Finish(finishing)));
            }
        }
    }
}

/// A new attempt begins with nothing.
fn with_begun(mut gather: Gather, id: RequestId) -> Gather {
    if let Some(begun) = faults::begun(id.request) {
        *gather.unions() = begun;
    }
    gather
}

impl State {
    fn gathered(&mut self, asker: Asker, keys: usize, ended: Result<Collected, Ended>) {
        match asker {
            Asker::Node(node, id) => {
                let answer = match ended {
                    Ok(collected) => Answer::Gathered(collected.into()),
                    Err(Ended::NotMine(place)) => not_mine(place, keys),
                    Err(Ended::TooLarge) => Answer::TooLarge,
                    Err(Ended::NoDatabase) => Answer::NoDatabase,
                };
                let now = now();
                self.exchange().answer(now, node, id, &answer);
            }
            Asker::Here(id) => {
                let Some(running) = self.running.get(&id.request) else {
                    return;
                };
                let orders = running.query.open_orders();
                let order = orders.filter(|order| order.attempt == id.attempt);
                let Some(me) = order.map(|order| order.node).next() else {
                    return;
                };
                let reply = match ended {
                    Ok(collected) => Ok(whole(collected)),
                    Err(Ended::NotMine(place)) => Ok(Replied::NotMine(place)),
                    Err(Ended::TooLarge) => Err(too_large(&me)),
                    Err(Ended::NoDatabase) => Err(no_database(&me, running.database)),
                };
                self.take_reply(me, id, reply);
            }
        }
    }
}

/// Of the other keys nothing is told.
fn not_mine(place: usize, keys: usize) -> Answer {
    let mut found = vec![Found::Absent; keys];
    found[place] = Found::NotMine;
    Answer::Gathered(crate::cluster::question::Gathered {
        found,
        ..Default::default()
    })
}

/// Moves every question on that can be.
fn move_on(ctx: &TimerContext) {
    let now = now();
    let is_due = |running: &Running| {
        running.query.is_answered() || running.query.wake() <= now || running.deadline <= now
    };
    if !with_state(|state| state.running.values().any(is_due)) {
        return;
    }
    // After all answers that it is to judge.
    let map = Map::parse(&ctx.cluster_nodes().unwrap_or_default());
    with_state(|state| {
        let due = state.running.iter().filter(|(_, running)| is_due(running));
        let due: Vec<u64> = due.map(|(&request, _)| request).collect();
        for request in due {
            if let Err(error) = state.move_query(now, request, &map) {
                state.fail(request, error);
            }
        }
    });
}

impl State {
    fn move_query(&mut self, now: Time, request: u64, map: &Map) -> Result<(), CommandError> {
        let Some(running) = self.running.get_mut(&request) else {
            return Ok(());
        };
        let dropped = match has(Fault::NoEndCheck) {
            true => Vec::new(),
            false => running.query.look(now, map),
        };
        let was_answered = running.query.is_answered();
        if was_answered && faults::holds() {
            return Ok(());
        }
        let is_done = match has(Fault::NoEndCheck) {
            true => was_answered,
            false => running.query.judge(now, map) == Progress::Done,
        };
        if is_done {
            if let Some(running) = self.running.remove(&request) {
                let finishing = Box::new(Finishing::new(request, running));
                self.tasks.push_front(Task::Finish(finishing));
            }
            return Ok(());
        }
        if was_answered {
            NOT_MINE.add_one();
        }
        for order in &dropped {
            self.cancel_order(request, order);
        }
        let Some(running) = self.running.get_mut(&request) else {
            return Ok(());
        };
        let orders = running.query.ask(now, map);
        let questions: Vec<(Order, Question)> = orders
            .into_iter()
            .map(|order| {
                let question = running.question(&order);
                (order, question)
            })
            .collect();
        for (order, question) in questions {
            ROUNDS.add_one();
            let id = RequestId {
                request,
                attempt: order.attempt,
            };
            if map.me().is_some_and(|me| me.id == order.node) {
                let gather = Box::new(with_begun(Gather::new(question, false), id));
                self.tasks.push_front(Task::Gather(Asker::Here(id), gather));
                continue;
            }
            let payload = question.encode();
            if payload.len() > MOST_PAYLOAD {
                return Err(CommandError::invalid(format_args!(
                    "the names of the keys come to more than {} MiB, ask for fewer at once",
                    MOST_PAYLOAD >> 20
                )));
            }
            self.exchange().ask(now, order.node, id, payload);
        }
        self.check_obstacles(now, request, map)
    }

    /// Gives a question up that is out of time, or that a node cannot answer.
    fn check_obstacles(&mut self, now: Time, request: u64, map: &Map) -> Result<(), CommandError> {
        let Some(running) = self.running.get(&request) else {
            return Ok(());
        };
        let nodes: Vec<NodeId> = running
            .query
            .open_orders()
            .map(|order| order.node)
            .collect();
        let (deadline, obstacle) = (running.deadline, running.query.obstacle(now));
        for node in &nodes {
            if let Some(unsuitable) = self.exchange().unsuitable(node) {
                return Err(cannot_ask(node, map, unsuitable));
            }
        }
        if deadline > now {
            return Ok(());
        }
        TIMED_OUT.add_one();
        nodes.iter().for_each(timeouts::count);
        let key = |place: usize| {
            let running = self.running.get(&request);
            running.map_or_else(Vec::new, |running| running.key(place).to_vec())
        };
        Err(match obstacle {
            Some(Obstacle::Moving(place)) => moving(&key(place)),
            Some(Obstacle::Unserved(place)) => CommandError::Marked(
                "CLUSTERDOWN",
                format!(
                    "the slot of key '{}' is served by no node",
                    crate::server::error::printable(&key(place), 64)
                ),
            ),
            Some(Obstacle::Busy(node)) => CommandError::Marked(
                "TRYAGAIN",
                format!(
                    "node {} answers as many questions as it may, ask again",
                    at(&node, map)
                ),
            ),
            Some(Obstacle::Silent(node)) => {
                let advice = if self.exchange().has_met(&node) {
                    ""
                } else {
                    ", see that it runs and that this module is loaded there"
                };
                CommandError::Marked(
                    "CLUSTERDOWN",
                    format!("node {} did not answer{advice}", at(&node, map)),
                )
            }
            // All answers are there, but this server had no time for them.
            None => CommandError::Marked(
                "TRYAGAIN",
                "the answer was not ready within hll.cluster-timeout, ask for less or raise it"
                    .to_owned(),
            ),
        })
    }
}

/// `<id> at <address>`
fn at(node: &NodeId, map: &Map) -> String {
    let known = map.node(node);
    let address = known.map_or("an unknown address", |node| &node.address);
    format!("{node} at {address}")
}

fn cannot_ask(node: &NodeId, map: &Map, unsuitable: Unsuitable) -> CommandError {
    let node = at(node, map);
    match unsuitable {
        Unsuitable::Versions(lowest, highest) => CommandError::invalid(format_args!(
            "node {node} speaks versions {lowest} to {highest} of the protocol between nodes and this one {} to {}, \
             load the same version of the module on both",
            VERSIONS.start(),
            VERSIONS.end()
        )),
        Unsuitable::Seed => CommandError::invalid(format_args!(
            "node {node} has another hll.hash-seed, give all nodes the same one"
        )),
    }
}

// ---------------------------------------------------------------------------------------------------------
// From what was gathered to the answer
// ---------------------------------------------------------------------------------------------------------

/// A question whose keys have all been read.
struct Finishing {
    client: Arc<Blocked>,
    number: u64,
    finish: Finish,
    sets: Vec<usize>,
    failure: Option<(usize, String)>,
    /// Values that have not been read yet: of which key.
    values: Vec<(usize, Loaded)>,
    /// Parts that have not been read yet: of which union.
    parts: Vec<(usize, (u8, Loaded))>,
    sketches: HashMap<usize, Sketch>,
    unions: Vec<Vec<Part>>,
}

impl Finishing {
    fn new(request: u64, running: Running) -> Finishing {
        let Running {
            client,
            number,
            wanted,
            query,
            finish,
            ..
        } = running;
        let mut finishing = Finishing {
            client,
            number,
            finish,
            sets: wanted.sets,
            failure: None,
            values: Vec::new(),
            parts: Vec::new(),
            sketches: HashMap::new(),
            unions: (0..wanted.unions).map(|_| Vec::new()).collect(),
        };
        for (keys, mut collected) in query.into_answers() {
            faults::add_old_answers(request, &mut collected);
            if let Some((place, line)) = collected.failure {
                let failure = (keys.get(place).copied().unwrap_or(0), line);
                let first = finishing.failure.take().into_iter().chain([failure]);
                finishing.failure = first.min_by_key(|(place, _)| *place);
            }
            let present = keys.iter().zip(&collected.found).filter(|(key, found)| {
                **found == Found::Present && wanted.keys[**key].uses.wants_itself()
            });
            let present = present.map(|(&key, _)| key);
            finishing.values.extend(present.zip(collected.values));
            for (number, parts) in collected.unions.into_iter().enumerate() {
                finishing
                    .parts
                    .extend(parts.into_iter().map(|part| (number, part)));
            }
        }
        finishing
    }

    /// Reads what other nodes have sent, and answers.
    fn work(mut self: Box<Self>, until: Instant) -> ControlFlow<(), Box<Finishing>> {
        match self.read(until) {
            Ok(true) => {
                self.answer();
                ControlFlow::Break(())
            }
            Ok(false) if self.client.waits() => ControlFlow::Continue(self),
            Ok(false) => ControlFlow::Break(()),
            Err(error) => {
                self.client.answer(Err(error));
                ControlFlow::Break(())
            }
        }
    }

    /// Whether all has been read.
    fn read(&mut self, until: Instant) -> Result<bool, CommandError> {
        if let Some((_, line)) = self.failure.take() {
            return Err(CommandError::Line(line));
        }
        while let Some((key, value)) = self.values.pop() {
            self.sketches.insert(key, value.into_sketch()?);
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        while let Some((union, value)) = self.parts.pop() {
            let part = part(value)?;
            self.unions
                .get_mut(union)
                .ok_or(CommandError::Internal)?
                .push(part);
            if Instant::now() >= until {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn answer(self) {
        let Finishing {
            client,
            number,
            finish,
            sets,
            sketches,
            unions,
            ..
        } = self;
        let make = match finish {
            Finish::Answer(make) => make,
            Finish::Merge(destination) => {
                let sources = unions.into_iter().flatten().collect();
                client.conclude(move |ctx| merge::conclude(ctx, &destination, sources));
                return;
            }
        };
        let sets = sets.iter().map(|key| sketches.get(key).cloned()).collect();
        let unions = unions.into_iter();
        let unions = unions.map(|parts| Operands::of_sketches(resolve(parts, None)));
        let mut prepared = match make(sets, unions.collect()) {
            Ok(prepared) => prepared,
            Err(error) => {
                client.answer(Err(error));
                return;
            }
        };
        if prepared.expected > SLICE {
            return workers::enqueue_for(client, number, prepared.bytes, prepared.work);
        }
        let start = Instant::now();
        while start.elapsed() < SLICE {
            if let ControlFlow::Break(outcome) = prepared.work.step() {
                client.answer(outcome);
                return;
            }
        }
        workers::enqueue_for(client, number, prepared.bytes, prepared.work);
    }
}

// ---------------------------------------------------------------------------------------------------------
// While nothing is asked
// ---------------------------------------------------------------------------------------------------------

/// Meets new nodes and forgets those that are gone.
fn care(ctx: &TimerContext) {
    if !ctx.is_cluster_node() {
        return;
    }
    ctx.after(CARE_EVERY, care);
    if ctx.is_loading() {
        return;
    }
    let map = Map::parse(&ctx.cluster_nodes().unwrap_or_default());
    let me = map.me().map(|node| node.id);
    let others = map
        .nodes()
        .iter()
        .filter(|node| Some(node.id) != me && node.is_known);
    let (others, ports): (Vec<NodeId>, Vec<u16>) =
        others.map(|node| (node.id, node.bus_port)).unzip();
    let links = match NODELAY.get() {
        YesNo::Yes => sockets::send_at_once(&ports),
        YesNo::No => 0,
    };
    LINKS.set(links as u64);
    if TIMEOUT_IS_NEW.swap(false, Ordering::Relaxed) {
        compare_timeouts(ctx);
    }
    with_state(|state| {
        let now = now();
        state.exchange().retain(|id| others.contains(id));
        timeouts::retain(|id| others.contains(id));
        for node in others {
            if !state.exchange().has_met(&node) {
                state.exchange().greet(now, node);
            }
        }
        state.exchange().advance(now);
    });
    turn(ctx);
}

/// Says so where a question would wait longer than nodes wait for each other.
fn compare_timeouts(ctx: &TimerContext) {
    let (ours, Some(theirs)) = (TIMEOUT.get(), ctx.config_number(c"cluster-node-timeout")) else {
        return;
    };
    if ours > theirs / 2 {
        log(
            Level::Warning,
            &format!(
                "hll.cluster-timeout is {ours} ms, more than half of cluster-node-timeout ({theirs} ms): questions may be \
                 open while a replica takes over, and then end with an error or take as long as that does"
            ),
        );
    }
}

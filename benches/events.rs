//! Sends synthetic events to a server, as fast as it takes them or at a given rate, or writes them as text.
//!
//! ```text
//! cargo run --release -p benches --bin events -- WAY [--port P] [--events N] [--first A] [--last B]
//!     [--order time|backfill|silence] [--pages] [--steps] [--seed S] [--key KEY] [--rate R]
//! ```
//!
//! | way | what is sent for each event |
//! |---|---|
//! | `hand` | PFADD and INCRBY, for the total and each dimension's value, in tiers of an hour, a day, a week and 30 days |
//! | `hand-hours` | the same in the tier of an hour alone |
//! | `add` | HLL.CUBE.ADD |
//! | `madd` | HLL.CUBE.MADD, one for a hundred events |
//! | `rows` | a line of comma-separated text, the user as a number; with the names of the columns first |
//!
//! What the events are is said in [`stream`]. `--first` and `--last` send those from the one number up to the other
//! and leave out the rest; without `--port` what would be sent is written to the standard output instead.
//!
//! Over one connection, pipelined: one thread makes commands ahead, one sends them and one reads what comes back, so
//! that the server never waits for the client as long as a processor is left for it. The last line of the output says
//! as JSON how long it took, and how long of that the sending thread had to wait for the one that makes the commands.
//! An error that the server answers ends the program.

mod stream;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use stream::{Event, HOUR, Order, Plan, START, Stream, name_user};

/// Bytes that are sent in one piece. A server reads 16 KiB at a time.
const PIECE: usize = 64 << 10;

/// Pieces that are made ahead.
const AHEAD: usize = 64;

/// Pieces a second where events are sent at a rate.
const BEATS: u64 = 1_000;

/// Events of one HLL.CUBE.MADD.
const ROWS: usize = 100;

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(5);

/// Tiers of keys named by hand, and how many hours their slices have.
const TIERS: [(&str, i64); 4] = [("1h", 1), ("1d", 24), ("1w", 168), ("30d", 720)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Hand,
    HandHours,
    Add,
    Madd,
    Rows,
}

fn order(name: &str) -> Result<Order, String> {
    match name {
        "time" => Ok(Order::Time),
        "backfill" => Ok(Order::Backfill),
        "silence" => Ok(Order::Silence),
        _ => Err(format!(
            "no order {name}, there are time, backfill and silence"
        )),
    }
}

struct Options {
    way: Way,
    port: Option<u16>,
    plan: Plan,
    first: u64,
    last: u64,
    key: String,
    rate: Option<u64>,
}

fn options() -> Result<Options, String> {
    let mut words = std::env::args().skip(1);
    let way = match words.next().as_deref() {
        Some("hand") => Way::Hand,
        Some("hand-hours") => Way::HandHours,
        Some("add") => Way::Add,
        Some("madd") => Way::Madd,
        Some("rows") => Way::Rows,
        other => {
            return Err(format!(
                "the first word says how events are sent: hand, hand-hours, add, madd or rows, got {other:?}"
            ));
        }
    };
    let mut options = Options {
        way,
        port: None,
        plan: Plan {
            events: 10_000_000,
            order: Order::Time,
            pages: false,
            steps: false,
            seed: 1,
        },
        first: 0,
        last: u64::MAX,
        key: "shop".to_string(),
        rate: None,
    };
    while let Some(word) = words.next() {
        let mut text = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| {
            let parsed = text.parse::<u64>();
            parsed.map_err(|error| format!("{word} {text}: {error}"))
        };
        match word.as_str() {
            "--port" => {
                let port = u16::try_from(number(text()?)?);
                options.port = Some(port.map_err(|error| format!("--port: {error}"))?);
            }
            "--events" => options.plan.events = number(text()?)?,
            "--first" => options.first = number(text()?)?,
            "--last" => options.last = number(text()?)?,
            "--order" => options.plan.order = order(&text()?)?,
            "--pages" => options.plan.pages = true,
            "--steps" => options.plan.steps = true,
            "--seed" => options.plan.seed = number(text()?)?,
            "--key" => options.key = text()?,
            "--rate" => options.rate = Some(number(text()?)?.max(1)),
            _ => {
                return Err(format!(
                    "no option {word}, the head of benches/events.rs has them"
                ));
            }
        }
    }
    if options.last == u64::MAX {
        options.last = options.plan.events;
    }
    if options.first > options.last {
        return Err(format!(
            "--first {} is beyond --last {}",
            options.first, options.last
        ));
    }
    Ok(options)
}

// ---------------------------------------------------------------------------------------------
// Commands as bytes

/// A word of a command.
fn word(out: &mut String, text: &str) {
    write!(out, "${}\r\n{text}\r\n", text.len()).expect("a string takes everything");
}

fn words(texts: &[&str]) -> String {
    let mut out = String::new();
    texts.iter().for_each(|text| word(&mut out, text));
    out
}

/// Makes the commands of one event after the other.
struct Encoder {
    way: Way,
    key: String,
    /// Of each dimension: what stands for each of its values.
    values: Vec<Vec<String>>,
    /// Names of dimensions.
    names: Vec<&'static str>,
    user: String,
    scratch: String,
    /// Rows that wait for their command to be complete, and how many.
    rows: (String, usize),
}

impl Encoder {
    fn new(way: Way, key: &str, stream: &Stream) -> Encoder {
        let names: Vec<&str> = stream
            .dimensions
            .iter()
            .map(|dimension| dimension.name)
            .collect();
        let values = stream.dimensions.iter().map(|dimension| {
            let name = dimension.name;
            let text = |value: &String| match way {
                Way::Hand | Way::HandHours => format!(":{name}:{value}"),
                Way::Add => words(&[name, value]),
                Way::Madd => words(&[value]),
                Way::Rows => format!(",{value}"),
            };
            dimension.values.iter().map(text).collect()
        });
        Encoder {
            way,
            key: key.to_string(),
            values: values.collect(),
            names,
            user: String::new(),
            scratch: String::new(),
            rows: (String::new(), 0),
        }
    }

    /// What comes before the first event.
    fn begin(&self, out: &mut String) {
        if self.way == Way::Rows {
            out.push_str("at,user");
            self.names.iter().for_each(|name| out.extend([",", name]));
            out.push('\n');
        }
    }

    /// Appends an event; how many commands are complete by it.
    fn encode(&mut self, event: &Event, out: &mut String) -> u64 {
        name_user(event.user, &mut self.user);
        let texts = self.values.iter().zip(event.values);
        let texts = texts.map(|(texts, value)| texts[value as usize].as_str());
        let at = event.at;
        match self.way {
            Way::Hand | Way::HandHours => {
                let tiers = if self.way == Way::Hand {
                    &TIERS[..]
                } else {
                    &TIERS[..1]
                };
                let hour = (at - START) / HOUR;
                for (tier, hours) in tiers {
                    self.scratch.clear();
                    write!(self.scratch, "{}:{tier}:{}", self.key, hour / hours).expect("as above");
                    for text in std::iter::once("").chain(texts.clone()) {
                        let len = self.scratch.len() + text.len();
                        write!(
                            out,
                            "*3\r\n$5\r\nPFADD\r\n${len}\r\n{slice}{text}\r\n${}\r\n{user}\r\n\
                             *3\r\n$6\r\nINCRBY\r\n${}\r\n{slice}{text}:n\r\n$1\r\n1\r\n",
                            self.user.len(),
                            len + 2,
                            slice = self.scratch,
                            user = self.user,
                        )
                        .expect("as above");
                    }
                }
                2 * (tiers.len() * (1 + self.names.len())) as u64
            }
            Way::Add => {
                write!(out, "*{}\r\n", 4 + 2 * self.names.len()).expect("as above");
                word(out, "HLL.CUBE.ADD");
                word(out, &self.key);
                self.scratch.clear();
                write!(self.scratch, "{at}").expect("as above");
                word(out, &self.scratch);
                word(out, &self.user);
                out.extend(texts);
                1
            }
            Way::Madd => {
                let (rows, count) = &mut self.rows;
                self.scratch.clear();
                write!(self.scratch, "{at}").expect("as above");
                word(rows, &self.scratch);
                word(rows, &self.user);
                rows.extend(texts);
                *count += 1;
                if *count == ROWS { self.end(out) } else { 0 }
            }
            Way::Rows => {
                write!(out, "{at},{}", event.user).expect("as above");
                out.extend(texts);
                out.push('\n');
                1
            }
        }
    }

    /// Sends rows that are left over; how many commands that is.
    fn end(&mut self, out: &mut String) -> u64 {
        let (rows, count) = std::mem::take(&mut self.rows);
        if count == 0 {
            return 0;
        }
        let fields = self.names.len();
        write!(out, "*{}\r\n", 5 + fields + count * (2 + fields)).expect("as above");
        word(out, "HLL.CUBE.MADD");
        word(out, &self.key);
        word(out, "FIELDS");
        word(out, &fields.to_string());
        self.names.iter().for_each(|name| word(out, name));
        word(out, "ROWS");
        out.push_str(&rows);
        1
    }
}

/// Commands that are sent together.
struct Piece {
    bytes: Vec<u8>,
    events: u64,
    commands: u64,
}

/// Makes all pieces, and hands them on.
fn make(options: &Options, pieces: &SyncSender<Piece>) {
    let mut stream = Stream::new(options.plan);
    let mut encoder = Encoder::new(options.way, &options.key, &stream);
    for _ in 0..options.first {
        stream.draw();
    }
    let most = options.rate.map_or(u64::MAX, |rate| rate.div_ceil(BEATS));
    let mut out = String::with_capacity(2 * PIECE);
    encoder.begin(&mut out);
    let (mut events, mut commands) = (0, 0);
    for number in options.first..options.last {
        commands += encoder.encode(&stream.draw(), &mut out);
        events += 1;
        let is_last = number + 1 == options.last;
        if is_last {
            commands += encoder.end(&mut out);
        }
        if is_last || out.len() >= PIECE || events == most {
            let bytes = std::mem::replace(&mut out, String::with_capacity(2 * PIECE));
            let piece = Piece {
                bytes: bytes.into_bytes(),
                events: std::mem::take(&mut events),
                commands: std::mem::take(&mut commands),
            };
            if pieces.send(piece).is_err() {
                return;
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------
// Replies

/// Reads a whole reply, of whatever kind, and throws it away.
fn skip_reply(from: &mut impl BufRead, line: &mut Vec<u8>) -> Result<(), String> {
    let mut left = 1u64;
    while left > 0 {
        left -= 1;
        line.clear();
        let read = from
            .read_until(b'\n', line)
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".to_string());
        }
        let text = String::from_utf8_lossy(&line[1..]);
        let text = text.trim_end();
        // -1 is a null.
        let number = || text.parse::<i64>().unwrap_or(0).max(-1);
        match line[0] {
            b'-' => return Err(format!("the server answered {text}")),
            b'*' => left += number().max(0) as u64,
            b'$' if number() >= 0 => {
                let bytes = number() as u64 + 2;
                let skipped = std::io::copy(&mut from.take(bytes), &mut std::io::sink());
                skipped.map_err(|error| error.to_string())?;
            }
            _ => {}
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// Sending

/// How long all took, and how long of that the next piece was not ready.
struct Times {
    all: Duration,
    starved: Duration,
}

/// Hands pieces to `sink` at the rate that is asked for, and tells the progress.
fn send(
    options: &Options,
    pieces: &Receiver<Piece>,
    sent: &AtomicU64,
    mut sink: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Duration, String> {
    let begin = Instant::now();
    let (mut starved, mut told) = (Duration::ZERO, begin);
    let mut events = 0;
    loop {
        let asked = Instant::now();
        let Ok(piece) = pieces.recv() else {
            return Ok(starved);
        };
        starved += asked.elapsed();
        if let Some(rate) = options.rate {
            let due = begin + Duration::from_secs_f64(events as f64 / rate as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        sink(&piece.bytes)?;
        events += piece.events;
        sent.fetch_add(piece.commands, Ordering::SeqCst);
        if told.elapsed() >= EVERY {
            told = Instant::now();
            let all = options.last - options.first;
            let rate = events as f64 / begin.elapsed().as_secs_f64();
            eprintln!("      ... {events} of {all} events, {rate:.0} a second");
        }
    }
}

/// To the server.
fn converse(options: &Options, port: u16, pieces: &Receiver<Piece>) -> Result<Times, String> {
    let describe = |error: std::io::Error| format!("port {port}: {error}");
    let mut server = TcpStream::connect(("127.0.0.1", port)).map_err(describe)?;
    server.set_nodelay(true).map_err(describe)?;
    let mut replies = BufReader::with_capacity(PIECE, server.try_clone().map_err(describe)?);
    // What was sent is known before a reply to it comes, but not how much will be: that is so at the end.
    let (sent, total) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let begin = Instant::now();
    let starved = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut read, mut line) = (0, Vec::new());
            while read < total.load(Ordering::SeqCst) {
                if let Err(error) = skip_reply(&mut replies, &mut line) {
                    // So that the other thread does not go on.
                    let _ = replies.get_ref().shutdown(Shutdown::Both);
                    return Err(error);
                }
                read += 1;
            }
            Ok(())
        });
        let sending = send(options, pieces, &sent, |bytes| {
            server.write_all(bytes).map_err(describe)
        });
        if sending.is_ok() {
            // One more, so that the reader wakes up after it has learned how many replies there are.
            total.store(sent.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
            server
                .write_all(b"*1\r\n$4\r\nPING\r\n")
                .map_err(describe)?;
        }
        let reading = reader.join().map_err(|_| "reading failed".to_string())?;
        // What the server said tells more than that the connection is gone.
        reading.and(sending)
    })?;
    Ok(Times {
        all: begin.elapsed(),
        starved,
    })
}

fn run() -> Result<(), String> {
    let options = options()?;
    if options.way == Way::Rows && options.port.is_some() {
        return Err("rows are text and not for a server, leave out --port".to_string());
    }
    let (pieces, made) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let options = &options;
        scope.spawn(move || make(options, &pieces));
        let Some(port) = options.port else {
            let mut out = std::io::stdout().lock();
            let write = |bytes: &[u8]| out.write_all(bytes).map_err(|error| error.to_string());
            return send(options, &made, &AtomicU64::new(0), write).map(|_| ());
        };
        // Dropped when done, so that the thread that makes pieces ends, whatever the server said.
        let made = made;
        let times = converse(options, port, &made)?;
        println!(
            r#"{{"events": {}, "seconds": {:.6}, "starved": {:.6}}}"#,
            options.last - options.first,
            times.all.as_secs_f64(),
            times.starved.as_secs_f64()
        );
        Ok(())
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("events: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Commands of test builds: what no ordinary command does on purpose, for the tests that prove what the
//! floor below promises about it.
//!
//! * `HLL.PANIC`: a bug on demand. The server outlives it.
//! * `HLL.TEST.PUSH key size count`, `HLL.TEST.LENGTH key`: a value of any size
//!   ([`crate::types::strings`]).
//! * `HLL.TEST.LATER key delay timeout`: the length of a key named by its bytes, looked up by a timer and
//!   sent to a client that waits, but for no longer than the timeout. Milliseconds.
//! * `HLL.TEST.YIELD key milliseconds`: a command that takes so long and lets the server look at its connections meanwhile.
//! * `HLL.TEST.FAILSAVES ON|OFF`: saving such a value panics.
//! * The settings `test-fraction` and `test-text`, whose changes are counted.

use crate::server::args::Arg;
use crate::server::blocked::Limit;
use crate::server::command::{Access, Command, Spec};
use crate::server::context::Context;
use crate::server::datatype::load_bytes;
use crate::server::error::CommandError;
use crate::server::info::Counter;
use crate::server::key::{Copied, Propagation};
use crate::server::reply::{Outcome, Reply};
use crate::server::settings::{Fraction, Text};
use crate::server::syntax::{Bytes, Choice, Integer, Key, KeyUsage, Word};
use crate::syntax;
use crate::types::strings::{FAILS_TO_SAVE, REPLAY, Strings};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Changes of the settings below.
pub static CHANGES: Counter = Counter::new();

/// Clients that did not wait for HLL.TEST.LATER.
pub static DEPARTURES: Counter = Counter::new();

/// A setting that is a fraction.
pub static TEST_FRACTION: Fraction =
    Fraction::new(c"test-fraction", 0.0..=1.0, 0.05).on_change(|| CHANGES.add_one());

/// A setting that is a text.
pub static TEST_TEXT: Text = Text::new(c"test-text").on_change(|| CHANGES.add_one());

const fn spec(name: &'static std::ffi::CStr, access: Access) -> Spec {
    Spec {
        name,
        access,
        summary: c"For tests.",
        complexity: c"O(N)",
        since: c"0.1.0",
    }
}

syntax! {
    /// Nothing.
    pub struct Nothing<'a> {
        _nothing: std::marker::PhantomData<&'a ()> = crate::server::syntax::Nothing;
    }
}

/// `HLL.PANIC`
pub struct Panic;

impl Command for Panic {
    const SPEC: Spec = spec(c"HLL.PANIC", Access::Read);
    type Arguments = Nothing<'static>;

    fn run(_: &mut Context, _: Nothing) -> Outcome {
        panic!("on purpose, with 100%s of the formatting a server must not obey");
    }
}

syntax! {
    /// How many strings of which size to put where.
    pub struct Strung<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Insert);
        size: i64 = Integer("size", 0..=1 << 24);
        count: i64 = Integer("count", 1..=1 << 24);
    }
}

/// `HLL.TEST.PUSH key size count`
pub struct Push;

impl Command for Push {
    const SPEC: Spec = spec(c"HLL.TEST.PUSH", Access::Write);
    type Arguments = Strung<'static>;

    fn run(ctx: &mut Context, arguments: Strung) -> Outcome {
        let Strung { key, size, count } = arguments;
        let key = ctx.write::<Strings>(key.into());
        key.upsert(
            c"hll.test.push",
            |_| Ok(Strings::default()),
            |strings| {
                for _ in 0..count {
                    strings.push(vec![strings.number() as u8; size as usize]);
                }
                Ok(Some(Propagation::Verbatim))
            },
        )?;
        Ok(Reply::Ok)
    }
}

syntax! {
    /// A whole list.
    pub struct Whole<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Update);
        content: Arg<'a> = Bytes("content");
    }
}

/// `HLL.TEST.REPLAY key content`: what replicas are told of a new list.
pub struct Replay;

impl Command for Replay {
    const SPEC: Spec = spec(REPLAY, Access::Write);
    type Arguments = Whole<'static>;

    fn run(ctx: &mut Context, arguments: Whole) -> Outcome {
        let strings = load_bytes::<Strings>(arguments.content.bytes())
            .map_err(|error| CommandError::invalid(format_args!("no list, {error}")))?;
        let key = ctx.write::<Strings>(arguments.key.into());
        key.put(strings, c"hll.test.replay", Propagation::Verbatim)?;
        Ok(Reply::Ok)
    }
}

syntax! {
    /// Which list.
    pub struct OneKey<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
    }
}

/// `HLL.TEST.LENGTH key`
pub struct Length;

impl Command for Length {
    const SPEC: Spec = spec(c"HLL.TEST.LENGTH", Access::Read);
    type Arguments = OneKey<'static>;

    fn run(ctx: &mut Context, arguments: OneKey) -> Outcome {
        let key = ctx.read::<Strings>(arguments.key.into())?;
        Ok(key.value().map_or(0, Strings::number).into())
    }
}

syntax! {
    /// Which list, when, and how long to wait for that.
    pub struct When<'a> {
        key: Arg<'a> = Key("key", KeyUsage::Read);
        delay: i64 = Integer("delay", 0..=60_000);
        timeout: i64 = Integer("timeout", 1..=60_000);
    }
}

/// `HLL.TEST.LATER key delay timeout`
pub struct Later;

impl Command for Later {
    const SPEC: Spec = spec(c"HLL.TEST.LATER", Access::Read);
    type Arguments = When<'static>;

    fn run(ctx: &mut Context, arguments: When) -> Outcome {
        let key = arguments.key.bytes().to_vec();
        let milliseconds = |number: i64| Duration::from_millis(number as u64);
        let limit = Limit {
            time: milliseconds(arguments.timeout),
            error: CommandError::invalid("the timer did not come in time, wait longer"),
        };
        let client = ctx.block(Some(limit), |_| DEPARTURES.add_one());
        ctx.after(milliseconds(arguments.delay), move |ctx| {
            let strings = ctx.copy::<Strings>((&*key).into());
            let strings = strings.and_then(|copied| copied.map(Copied::into_value).transpose());
            client.answer(strings.map(|s| s.map_or(0, |s| s.number()).into()));
        });
        Ok(Reply::None)
    }
}

syntax! {
    /// A key, which is not looked at, and how long.
    pub struct HowLong<'a> {
        _key: Arg<'a> = Key("key", KeyUsage::Read);
        milliseconds: i64 = Integer("milliseconds", 0..=10_000);
    }
}

/// `HLL.TEST.YIELD key milliseconds`
pub struct Yield;

impl Command for Yield {
    const SPEC: Spec = spec(c"HLL.TEST.YIELD", Access::Read);
    type Arguments = HowLong<'static>;

    fn run(ctx: &mut Context, arguments: HowLong) -> Outcome {
        let end = Instant::now() + Duration::from_millis(arguments.milliseconds as u64);
        while Instant::now() < end {
            ctx.let_events_happen();
        }
        Ok(Reply::Ok)
    }
}

/// Yes or no.
#[derive(Clone, Copy)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

impl Word for Switch {
    const ALL: &'static [(&'static str, Switch)] = &[("ON", Switch::On), ("OFF", Switch::Off)];
}

syntax! {
    /// Whether to.
    pub struct Whether<'a> {
        _nothing: std::marker::PhantomData<&'a ()> = crate::server::syntax::Nothing;
        switch: Switch = Choice::<Switch>::new("switch");
    }
}

/// `HLL.TEST.FAILSAVES ON|OFF`
pub struct FailSaves;

impl Command for FailSaves {
    const SPEC: Spec = spec(c"HLL.TEST.FAILSAVES", Access::Read);
    type Arguments = Whether<'static>;

    fn run(_: &mut Context, arguments: Whether) -> Outcome {
        let fails = match arguments.switch {
            Switch::On => true,
            Switch::Off => false,
        };
        FAILS_TO_SAVE.store(fails, Ordering::Relaxed);
        Ok(Reply::Ok)
    }
}

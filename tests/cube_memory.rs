//! To find out that bytes are no cube takes little memory, whatever they say of themselves.
//!
//! A stream that is all there is read before it is judged, so what a reader takes follows from what is there: a cell of
//! one event is some five bytes of a stream and some hundreds in memory. What is only said, such as the length of
//! what does not follow, takes nothing. The one exception is a table of values: if its only value has the highest of
//! all numbers, the pages of those before it take up to a megabyte.
//!
//! The figures are those of the stream. Compression makes it smaller, as it makes everything smaller that repeats
//! itself.

#![cfg(all(feature = "module", target_os = "linux"))]

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redis_hll::cube::calendar::{Calendar, Millis, Span, WeekStart, Zone};
use redis_hll::cube::history::History;
use redis_hll::cube::intern::MAX_NUMBERS;
use redis_hll::cube::schema::{Dimension, Group, Schema, Tier};
use redis_hll::cube::{Cube, Event};
use redis_hll::sketch::{HashFamily, Precision};
use redis_hll::storage::frame::{self, Frame, Kind};
use redis_hll::storage::{Compression, cube as stored};
use redis_module::raw;
use std::ffi::c_void;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// Bytes of memory for each byte of the stream.
const FOR_EACH: usize = 128;

/// Bytes that a reader may take for itself.
const ITSELF: usize = 512 << 10;

/// What the gap below a number may take in a table of values.
const GAP: usize = 1 << 20;

// ---------------------------------------------------------------------------------------------------------
// An allocator that counts

static NOW: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

fn grown(by: isize) {
    let now = NOW.fetch_add(by, Relaxed) + by;
    PEAK.fetch_max(now, Relaxed);
}

/// Bytes of a block of the C library.
unsafe fn size_of_block(place: *mut c_void) -> isize {
    unsafe { libc::malloc_usable_size(place) as isize }
}

unsafe extern "C" fn alloc(bytes: usize) -> *mut c_void {
    unsafe {
        let place = libc::malloc(bytes);
        grown(size_of_block(place));
        place
    }
}

unsafe extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    unsafe {
        let place = libc::calloc(count, bytes);
        grown(size_of_block(place));
        place
    }
}

unsafe extern "C" fn realloc(old: *mut c_void, bytes: usize) -> *mut c_void {
    unsafe {
        let before = size_of_block(old);
        let place = libc::realloc(old, bytes);
        // Both may be there while one is copied to the other.
        grown(size_of_block(place));
        grown(-before);
        place
    }
}

unsafe extern "C" fn free(place: *mut c_void) {
    unsafe {
        grown(-size_of_block(place));
        libc::free(place);
    }
}

/// The bytes that the reader took at most, and what it says.
fn read(payload: &[u8]) -> (usize, Result<Cube, stored::InvalidCube>) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let read = stored::load(&mut &payload[..]);
    ((PEAK.load(Relaxed) - before) as usize, read)
}

// ---------------------------------------------------------------------------------------------------------
// Streams by hand

/// The time of the newest event, which is the beginning of an hour.
const NEWEST: Millis = 1_599_998_400_000;
const HOUR: Millis = 3_600_000;

fn precision(bits: u8) -> Precision {
    Precision::new(bits).unwrap()
}

/// A cube with so many dimensions and groups, each of them of the first and another dimension, and measures.
fn schema(dimensions: usize, groups: usize, measures: usize) -> Schema {
    let tier = |slice: &str, retention: &str| Tier {
        slice: Span::parse(slice.as_bytes()).unwrap(),
        retention: Span::parse(retention.as_bytes()).unwrap(),
        precision: None,
    };
    let schema = Schema {
        tiers: vec![tier("1h", "9000h")],
        dimensions: (0..dimensions)
            .map(|i| Dimension {
                name: format!("d{i}"),
                precision: precision(16),
                values: 10_000_000,
                user_level: false,
            })
            .collect(),
        groups: (1..=groups)
            .map(|other| Group {
                dimensions: vec![0, other % dimensions],
                precision: precision(16),
                values: 10_000_000,
            })
            .collect(),
        measures: (0..measures).map(|i| format!("m{i}")).collect(),
        precision: precision(16),
        new: None,
        calendar: Calendar {
            zone: Zone::named("UTC").unwrap(),
            week_start: WeekStart::Monday,
        },
        hash: HashFamily::default(),
        max_bytes: None,
        history: History::default(),
    };
    schema.check().unwrap();
    schema
}

/// A stream as `storage::cube` describes it.
struct Stream(Vec<u8>);

impl Stream {
    /// Up to the newest event and the counters behind it.
    fn begin(schema: &Schema) -> Stream {
        let mut frames = vec![];
        let cube = Cube::new(schema.clone(), 7);
        stored::save(&cube, &mut frames, Compression::None).unwrap();
        let mut stream = vec![];
        let mut rest = &frames[..];
        while !rest.is_empty() {
            let (frame, behind) = Frame::split_first(rest).unwrap();
            stream.extend_from_slice(&frame.body[5..]);
            rest = behind;
        }
        // An empty cube ends with noughts, but for the instants before which slices are given up.
        let tiers = schema.tiers.len();
        let behind = 4 + 10 * tiers + schema.dimensions.len() + schema.groups.len() + 2 + tiers + 1;
        stream.truncate(stream.len() - behind);
        let mut stream = Stream(stream);
        stream.number(1).signed(NEWEST);
        stream.number(1 << 40).number(0).number(0);
        for _ in 0..tiers {
            stream.signed(Millis::MIN);
        }
        stream
    }

    fn number(&mut self, mut number: u64) -> &mut Stream {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn signed(&mut self, number: i64) -> &mut Stream {
        self.number((number << 1 ^ number >> 63) as u64)
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Stream {
        self.0.extend_from_slice(bytes);
        self
    }

    /// So many noughts: lists without members.
    fn none(&mut self, lists: usize) -> &mut Stream {
        self.0.resize(self.0.len() + lists, 0);
        self
    }

    /// A dimension's table with one value, of this number.
    fn value(&mut self, number: u64) -> &mut Stream {
        self.number(1).number(number).number(1).bytes(b"v")
    }

    /// The beginning of a column that is open, with so many cells.
    fn open(&mut self, cells: u64) -> &mut Stream {
        self.number(0).number(cells)
    }

    /// A cell of one event, whose sums are 1, and then its users.
    fn cell(&mut self, number: u64, sums: usize) -> &mut Stream {
        self.number(number).number(1);
        (0..sums).fold(self, |stream, _| stream.bytes(&1f64.to_le_bytes()))
    }

    /// Without users.
    fn nobody(&mut self) -> &mut Stream {
        self.number(3)
    }

    /// The beginning of an open slice, or a late part, of so many events.
    fn events(&mut self, events: u64) -> &mut Stream {
        self.number(events).bytes(&0f64.to_le_bytes())
    }

    /// One open slice, the newest.
    fn open_slice(&mut self) -> &mut Stream {
        self.number(1).signed(NEWEST).signed(NEWEST + HOUR)
    }

    /// The beginning of a slice that ended so many hours before the newest one.
    fn slice(&mut self, hours: u64) -> &mut Stream {
        let end = NEWEST - hours as Millis * HOUR;
        self.signed(end - HOUR).signed(end).number(0)
    }

    fn framed(&self) -> Vec<u8> {
        let frame = |piece: &[u8]| {
            let length = (piece.len() as u32).to_le_bytes();
            frame::encode(Kind::Cube, &[&[0], &length, piece])
        };
        self.0.chunks(1 << 16).flat_map(frame).collect()
    }
}

const MOST: u64 = u64::MAX;
const HIGHEST: u64 = MAX_NUMBERS as u64;

/// What is said, the stream that says it, and how many tables have a gap.
type Shape = (&'static str, Stream, usize);

fn shapes() -> Vec<Shape> {
    let small = schema(2, 1, 1);
    let wide = schema(32, 31, 16);
    let mut shapes: Vec<Shape> = vec![];
    let mut shape = |says, schema: &Schema, gaps, tell: &dyn Fn(&mut Stream)| {
        let mut stream = Stream::begin(schema);
        tell(&mut stream);
        shapes.push((says, stream, gaps));
    };
    shape("values without end", &small, 0, &|stream| {
        stream.number(MOST).number(1).number(1).bytes(b"v");
    });
    shape("a long value that is not there", &small, 0, &|stream| {
        stream.number(1).number(1).number(1_024);
    });
    shape("a value beyond the last number", &small, 0, &|stream| {
        stream.value(HIGHEST + 1).value(1).none(6);
    });
    shape(
        "values and combinations of the last number",
        &wide,
        63,
        &|stream| {
            for _ in 0..32 {
                stream.value(HIGHEST);
            }
            for _ in 0..31 {
                stream.number(1).number(HIGHEST);
                stream.number(HIGHEST).number(HIGHEST).number(0).number(0);
            }
            stream.none(4);
        },
    );
    shape(
        "producers and ids that are not there",
        &small,
        0,
        &|stream| {
            stream.none(3).number(256).bytes(&[7; 16]).number(1_000);
        },
    );
    shape("cells without end", &small, 0, &|stream| {
        stream
            .none(4)
            .open_slice()
            .events(1)
            .open(MOST)
            .cell(1, 1)
            .nobody();
    });
    for number in [2, HIGHEST, u64::from(u32::MAX)] {
        shape("cells of numbers that nobody has", &small, 0, &|stream| {
            stream.none(4).open_slice().events(1);
            for _ in 0..4 {
                stream.open(1).cell(number, 1).nobody();
            }
            stream.none(2);
        });
    }
    shape("registers that are not there", &small, 0, &|stream| {
        stream.none(4).open_slice().events(1).open(1).cell(1, 1);
        stream.number(1).number(1 << 18);
    });
    shape("tokens that are not there", &small, 0, &|stream| {
        stream.none(4).open_slice().events(1).open(1).cell(1, 1);
        stream.number(3 + 16_383);
    });
    shape(
        "ten thousand slices that are not there",
        &small,
        0,
        &|stream| {
            stream.none(5).number(10_000).slice(2).number(0).number(0);
        },
    );
    shape(
        "slices of nothing, more than are kept",
        &small,
        0,
        &|stream| {
            stream.none(5).number(20_000);
            (0..20_000).rev().for_each(|hours| {
                stream.slice(2 + hours).number(0).number(0);
            });
            stream.none(1);
        },
    );
    for (says, events) in [("late parts of nothing", 0), ("late parts of something", 1)] {
        shape(says, &wide, 0, &|stream| {
            stream
                .none(32 + 31 + 2)
                .number(1)
                .slice(2)
                .number(0)
                .number(MOST);
            for epoch in 0..2_000 {
                stream.number(epoch).events(events).open(events);
                if events > 0 {
                    stream.cell(1, 16).nobody();
                }
                (0..63).for_each(|_| {
                    stream.open(0);
                });
            }
        });
    }
    shape(
        "late parts of one value of the last number",
        &schema(1, 0, 0),
        1,
        &|stream| {
            stream
                .value(HIGHEST)
                .none(2)
                .number(1)
                .slice(2)
                .number(0)
                .number(MOST);
            for epoch in 0..500 {
                stream
                    .number(epoch)
                    .events(1)
                    .open(1)
                    .cell(1, 0)
                    .nobody()
                    .open(1)
                    .cell(HIGHEST, 0)
                    .nobody();
            }
        },
    );
    shape("work on columns of nothing", &wide, 0, &|stream| {
        stream.none(32 + 31 + 2 + 1).number(1);
        stream.none(3).number(4).none(2).number(MOST);
        for _ in 0..100_000 {
            stream.number(1).open(0);
        }
    });
    let sealed = |stream: &mut Stream| {
        stream.none(5).number(1).slice(2).number(3).events(1);
    };
    shape(
        "chunks of columns that are not there",
        &small,
        0,
        &|stream| {
            sealed(stream);
            stream.number(MOST).number(1 << 20).bytes(b"chunk");
        },
    );
    for width in [57, 63, 64, 255] {
        shape("widths of nothing", &small, 0, &|stream| {
            sealed(stream);
            let block = [1, 0, 0, 0, 127, width, width, width, 1];
            stream.number(1).number(9).bytes(&block);
        });
    }
    shape(
        "a cell of tokens that are not there",
        &small,
        0,
        &|stream| {
            sealed(stream);
            let block = [1, 0, 0, 0, 0, 0, 0, 64, 0];
            stream
                .number(1)
                .number(17)
                .bytes(&block)
                .bytes(&(1u64 << 62).to_le_bytes());
        },
    );
    shapes
}

/// A cube of some hours and values, some of it late.
fn busy() -> Cube {
    let mut cube = Cube::new(schema(2, 1, 1), 7);
    for i in 0..600u64 {
        let late = if i % 9 == 4 { 20 * HOUR } else { 0 };
        let (a, b) = ([b'a', (i % 3) as u8], [b'b', (i % 11) as u8]);
        let added = cube.add(&Event {
            at: NEWEST + i as Millis * HOUR / 10 - late,
            element: &(i % 200).to_le_bytes(),
            values: &[(0, &a), (1, &b)],
            measures: &[(0, 1.5)],
        });
        assert!(added.is_ok());
        cube.remember(b"producer", &i.to_le_bytes());
    }
    cube
}

#[test]
fn what_is_no_cube_takes_little_memory_whatever_it_says() {
    // SAFETY: this is the only test of this program. What others of its threads have allocated and give back is the C
    // library's too, as what the system's allocator hands out is.
    unsafe {
        raw::RedisModule_Alloc = Some(alloc);
        raw::RedisModule_Calloc = Some(calloc);
        raw::RedisModule_Realloc = Some(realloc);
        raw::RedisModule_Free = Some(free);
    }
    let mut wrong = vec![];
    for (says, stream, gaps) in shapes() {
        let payload = stream.framed();
        let (took, cube) = read(&payload);
        let bound = ITSELF + FOR_EACH * payload.len() + gaps * GAP;
        println!(
            "{says}: {} bytes, {took} taken, {:?}",
            payload.len(),
            cube.as_ref().err()
        );
        if cube.is_ok() || took > bound {
            wrong.push(says);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    // A frame that is longer than there are bytes.
    let mut frame = vec![Kind::Cube as u8, frame::VERSION, 253];
    frame.extend((1u64 << 40).to_le_bytes());
    frame.extend([0; 100]);
    let (took, cube) = read(&frame);
    assert!(cube.is_err() && took < ITSELF, "{took}");
    // Sound streams, of which a few bytes are changed to anything.
    let seed = match std::env::var("HLL_SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => seed,
        _ => rand::random(),
    };
    println!("HLL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut frames = vec![];
    stored::save(&busy(), &mut frames, Compression::None).unwrap();
    let (frame, behind) = Frame::split_first(&frames).unwrap();
    assert!(behind.is_empty());
    let sound = Stream(frame.body[5..].to_vec());
    assert!(read(&sound.framed()).1.is_ok());
    for _ in 0..3_000 {
        let mut stream = Stream(sound.0.clone());
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..stream.0.len());
            stream.0[at] = match random.random_range(0..3) {
                0 => 0xff,
                1 => stream.0[at] | 0x80,
                _ => random.random(),
            };
        }
        let payload = stream.framed();
        let (took, cube) = read(&payload);
        assert!(
            took <= ITSELF + FOR_EACH * payload.len() + 3 * GAP,
            "{took}, {:?}",
            cube.err()
        );
    }
}

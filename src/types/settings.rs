//! The settings of values: what new ones are made with, and how they are stored.

use crate::monitor::MAX_SAMPLES;
use crate::server::settings::{Access, Choice, Fraction, Number};
use crate::server::syntax::Word;
use crate::sketch::{HashFamily, Precision};
use crate::storage::Compression;

/// The precision of new sketches that do not ask for one.
pub static DEFAULT_PRECISION: Number = Number::new(
    c"default-precision",
    Precision::MIN.bits() as i64..=Precision::MAX.bits() as i64,
    Precision::DEFAULT.bits() as i64,
);

/// The hash of new sketches that do not ask for one.
pub static DEFAULT_HASH: Choice<HashChoice> = Choice::new(c"default-hash");

/// Fixed while the server runs: sketches of different seeds cannot be combined.
pub static HASH_SEED: Number =
    Number::new(c"hash-seed", 0..=i64::MAX, 0).access(Access::FixedSecret);

/// How dense sketches are stored.
pub static RDB_COMPRESSION: Choice<Compression> = Choice::new(c"rdb-compression");

/// The most bytes that one new value may come to occupy; 0 is no limit.
pub static MAX_MEMORY_PER_KEY: Number =
    Number::new(c"max-memory-per-key", 0..=i64::MAX, 0).access(Access::Memory);

/// Milliseconds that the time of an event may be ahead of the clock.
pub static CUBE_MAX_AHEAD: Number = Number::new(c"cube-max-ahead", 0..=31_536_000_000, 3_600_000);

/// Errors from which on an accuracy monitor warns, as fractions of the exact count.
pub static ACCURACY_WARNING: Fraction = Fraction::new(c"accuracy-warning", 0.0001..=1.0, 0.05);

/// The same from which on it speaks of a critical error. Asked first.
pub static ACCURACY_CRITICAL: Fraction = Fraction::new(c"accuracy-critical", 0.0001..=1.0, 0.10);

/// Samples that each accuracy monitor keeps.
pub static ACCURACY_SAMPLES: Number =
    Number::new(c"accuracy-samples", 1..=MAX_SAMPLES as i64, 10_000);

impl Word for Compression {
    const ALL: &'static [(&'static str, Compression)] = &[
        ("ZSTD", Compression::Zstd),
        ("LZ4", Compression::Lz4),
        ("GZIP", Compression::Gzip),
        ("NONE", Compression::None),
    ];
}

/// The hash functions one can choose, by their names; the seed is not the client's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashChoice {
    /// [`HashFamily::Xxh3`] with this server's seed.
    Xxh3,
    /// [`HashFamily::Redis`].
    Redis,
    /// [`HashFamily::DataSketches`].
    DataSketches,
}

impl Word for HashChoice {
    const ALL: &'static [(&'static str, HashChoice)] = &[
        ("XXH3", HashChoice::Xxh3),
        ("REDIS", HashChoice::Redis),
        ("DATASKETCHES", HashChoice::DataSketches),
    ];
}

impl HashChoice {
    /// The family it means on this server.
    pub fn family(self) -> HashFamily {
        match self {
            HashChoice::Xxh3 => HashFamily::Xxh3 {
                seed: HASH_SEED.get() as u64,
            },
            HashChoice::Redis => HashFamily::Redis,
            HashChoice::DataSketches => HashFamily::DataSketches,
        }
    }
}

/// [`DEFAULT_PRECISION`] now.
pub fn default_precision() -> Precision {
    u8::try_from(DEFAULT_PRECISION.get())
        .ok()
        .and_then(Precision::new)
        .unwrap_or_default()
}

/// [`DEFAULT_HASH`] now.
pub fn default_hash() -> HashFamily {
    DEFAULT_HASH.get().family()
}

/// [`MAX_MEMORY_PER_KEY`] now; `None` for no limit.
pub fn max_memory_per_key() -> Option<usize> {
    match MAX_MEMORY_PER_KEY.get() {
        0 => None,
        bytes => usize::try_from(bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_called_by_the_names_of_what_they_choose() {
        for (word, compression) in Compression::ALL.iter().zip(<Compression as Word>::ALL) {
            assert_eq!(word.name().to_uppercase(), compression.0);
        }
        for (word, choice) in HashChoice::ALL {
            assert_eq!(choice.family().name().to_uppercase(), *word);
        }
    }
}

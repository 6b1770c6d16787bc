//! Precision: how many registers a sketch has, and what that buys.

use std::fmt;

/// The binary logarithm `p` of the number of registers, 4 to 18.
///
/// Below 4 the estimators' asymptotics stop meaning anything; 18 is a quarter of a mebibyte
/// with an error of 0.15 %, beyond which a sketch stops being small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Precision(u8);

impl Precision {
    /// The coarsest precision: 16 registers.
    pub const MIN: Precision = Precision(4);
    /// The finest precision: 262,144 registers.
    pub const MAX: Precision = Precision(18);
    /// 8,192 registers: a smaller error than 16,384 classical registers of six bits have, in two thirds of
    /// their memory.
    pub const DEFAULT: Precision = Precision(13);

    /// `None` outside 4..=18.
    pub const fn new(p: u8) -> Option<Precision> {
        if p >= Self::MIN.0 && p <= Self::MAX.0 {
            Some(Precision(p))
        } else {
            None
        }
    }

    /// The coarsest precision whose standard error after merging, 0.7609/√(2^p), is at most
    /// `error` (a fraction, 0.01 for 1 %). `None` if even the finest one is not enough.
    pub fn for_error(error: f64) -> Option<Precision> {
        (Self::MIN.0..=Self::MAX.0)
            .map(Precision)
            .find(|p| p.merged_error() <= error)
    }

    /// The precision of this many registers. Panics where it is not 2^p for a precision p.
    pub(super) const fn of_registers(registers: usize) -> Precision {
        assert!(registers.is_power_of_two());
        match Precision::new(registers.ilog2() as u8) {
            Some(precision) => precision,
            None => panic!("no precision has this many registers"),
        }
    }

    /// `p` itself.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// m = 2^p.
    pub const fn registers(self) -> usize {
        1 << self.0
    }

    /// The most tokens a sparse sketch of this precision holds. At m/4 tokens of four bytes each
    /// the tokens take as much memory as the m one-byte registers, so sparse is never the larger.
    pub const fn max_tokens(self) -> usize {
        self.registers() / 4
    }

    /// Relative standard error of the maximum-likelihood estimate (merged sketches), asymptotically.
    pub fn merged_error(self) -> f64 {
        MERGED_ERROR / (self.registers() as f64).sqrt()
    }

    /// That of the finest one, which has 512 * 512 registers.
    pub const LEAST_ERROR: f64 = MERGED_ERROR / 512.0;

    /// Relative standard error of the martingale estimate (sketches only ever added to), asymptotically.
    pub fn added_error(self) -> f64 {
        0.658 / (self.registers() as f64).sqrt()
    }
}

/// Times the square root of m; see sketch/estimate.rs.
const MERGED_ERROR: f64 = 0.7609;

impl Default for Precision {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_precision_has_the_least_error() {
        assert_eq!(Precision::LEAST_ERROR, Precision::MAX.merged_error());
    }

    #[test]
    fn limits_are_4_and_18() {
        assert_eq!(Precision::new(3), None);
        assert_eq!(Precision::new(19), None);
        assert_eq!(Precision::new(4), Some(Precision::MIN));
        assert_eq!(Precision::new(18), Some(Precision::MAX));
    }

    #[test]
    fn a_wanted_error_chooses_the_coarsest_precision_that_keeps_it() {
        assert_eq!(Precision::for_error(0.0085), Precision::new(13));
        assert_eq!(Precision::for_error(0.0084), Precision::new(14));
        assert_eq!(Precision::for_error(0.5), Some(Precision::MIN));
        assert_eq!(Precision::for_error(0.0001), None);
        assert_eq!(Precision::for_error(f64::NAN), None);
    }
}

//! The body of a dense sketch: 2^p registers, compressed.
//!
//! A register carries about four bits of information in its eight, but neighbours have nothing to
//! do with each other, so what helps is an entropy coder, not the search for repeated strings: zstd's
//! Huffman stage, with the search before it turned off as far as it can be. That is smaller than
//! what zstd's levels find by searching, and takes half their time or a third. LZ4 has no entropy
//! stage; it gets the bit planes instead (the lowest bit of all registers, then the next, ...), of
//! which the high ones are long runs. What does not become smaller is stored as it is.

use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::io::Read;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, ParamSwitch};

/// How the registers of dense sketches are to be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard: smallest.
    #[default]
    Zstd,
    /// LZ4 block over bit planes: cheapest to read.
    Lz4,
    /// gzip.
    Gzip,
    /// As they are.
    None,
}

impl Compression {
    /// All of them.
    pub const ALL: [Compression; 4] = [
        Compression::Zstd,
        Compression::Lz4,
        Compression::Gzip,
        Compression::None,
    ];

    /// Its name, as users know it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
            Compression::Gzip => "gzip",
            Compression::None => "none",
        }
    }
}

/// How the registers of one sketch are stored. The order of the variants is part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coding {
    /// 2^p bytes.
    Raw,
    /// One Zstandard frame.
    Zstd,
    /// One LZ4 block of the eight bit planes.
    Lz4Planes,
    /// One gzip member.
    Gzip,
}

/// The lowest level, then: look for repetitions at one place in 2^17, by a table of 2^6 entries, and
/// code what is left by Huffman all the same.
const ZSTD_LEVEL: i32 = 1;
const ZSTD_PARAMETERS: [CParameter; 3] = [
    CParameter::TargetLength(1 << 17),
    CParameter::HashLog(6),
    CParameter::LiteralCompressionMode(ParamSwitch::Enable),
];

thread_local! {
    // Some 100 KB each, and most of the work if they were made anew for every sketch.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The stored form, and how it is to be read.
pub fn encode(registers: &[u8], compression: Compression) -> (Coding, Vec<u8>) {
    let (coding, body) = match compression {
        Compression::Zstd => (Coding::Zstd, zstd_compress(registers)),
        Compression::Lz4 => (
            Coding::Lz4Planes,
            Some(lz4_flex::block::compress(&to_planes(registers))),
        ),
        Compression::Gzip => (Coding::Gzip, gzip_compress(registers)),
        Compression::None => (Coding::Raw, None),
    };
    match body {
        Some(body) if body.len() < registers.len() => (coding, body),
        _ => (Coding::Raw, registers.to_vec()),
    }
}

/// `None` where the library fails (out of memory): the registers are then stored as they are.
fn zstd_compress(registers: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            let mut compressor = Compressor::new(ZSTD_LEVEL).ok()?;
            for parameter in ZSTD_PARAMETERS {
                compressor.set_parameter(parameter).ok()?;
            }
            *kept = Some(compressor);
        }
        kept.as_mut()?.compress(registers).ok()
    })
}

/// How many bytes were written; `None` if the body is damaged or holds more.
fn zstd_decompress(body: &[u8], registers: &mut [u8]) -> Option<usize> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Decompressor::new().ok();
        }
        kept.as_mut()?.decompress_to_buffer(body, registers).ok()
    })
}

fn gzip_compress(registers: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    flate2::read::GzEncoder::new(registers, flate2::Compression::fast())
        .read_to_end(&mut body)
        .ok()?;
    Some(body)
}

/// `len` registers from a body that holds exactly them.
pub fn decode(body: &[u8], coding: Coding, len: usize) -> Option<Vec<u8>> {
    if coding == Coding::Raw {
        return (body.len() == len).then(|| body.to_vec());
    }
    if body.len() >= len {
        return None;
    }
    let mut registers = vec![0; len];
    match coding {
        Coding::Raw => unreachable!("handled above"),
        Coding::Zstd => {
            let written = zstd_decompress(body, &mut registers)?;
            (written == len).then_some(registers)
        }
        Coding::Lz4Planes => {
            let written = lz4_flex::block::decompress_into(body, &mut registers).ok()?;
            (written == len).then(|| from_planes(&registers))
        }
        Coding::Gzip => {
            let mut reader = flate2::bufread::GzDecoder::new(body);
            reader.read_exact(&mut registers).ok()?;
            let at_the_end = reader.read(&mut [0]).ok()? == 0 && reader.into_inner().is_empty();
            at_the_end.then_some(registers)
        }
    }
}

/// Bit b of register i becomes bit i mod 8 of byte i / 8 of plane b. `registers` is a multiple of 8.
fn to_planes(registers: &[u8]) -> Vec<u8> {
    let plane = registers.len() / 8;
    let mut planes = vec![0; registers.len()];
    for (i, eight) in registers.chunks_exact(8).enumerate() {
        for (b, byte) in transposed(eight).into_iter().enumerate() {
            planes[b * plane + i] = byte;
        }
    }
    planes
}

/// The inverse of [`to_planes`].
fn from_planes(planes: &[u8]) -> Vec<u8> {
    let plane = planes.len() / 8;
    let mut registers = vec![0; planes.len()];
    for (i, eight) in registers.chunks_exact_mut(8).enumerate() {
        let column: [u8; 8] = std::array::from_fn(|b| planes[b * plane + i]);
        eight.copy_from_slice(&transposed(&column));
    }
    registers
}

/// An 8 × 8 matrix of bits, mirrored at its diagonal.
fn transposed(rows: &[u8]) -> [u8; 8] {
    std::array::from_fn(|b| {
        rows.iter()
            .enumerate()
            .fold(0, |byte, (i, row)| byte | ((row >> b) & 1) << i)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_coding_returns_what_it_got(mut registers in prop::collection::vec(0u8..48, 0..3000)) {
            registers.truncate(registers.len() / 8 * 8);
            for compression in Compression::ALL {
                let (coding, body) = encode(&registers, compression);
                prop_assert!(body.len() <= registers.len());
                prop_assert_eq!(decode(&body, coding, registers.len()), Some(registers.clone()));
            }
        }

        #[test]
        fn any_bytes_are_registers_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
            for coding in [Coding::Raw, Coding::Zstd, Coding::Lz4Planes, Coding::Gzip] {
                if let Some(registers) = decode(&body, coding, 256) {
                    prop_assert_eq!(registers.len(), 256);
                }
            }
        }
    }

    #[test]
    fn more_or_less_than_was_promised_is_refused() {
        let registers = vec![4; 1024];
        for compression in Compression::ALL {
            let (coding, body) = encode(&registers, compression);
            assert!(decode(&body, coding, 1024).is_some());
            assert_eq!(decode(&body, coding, 512), None, "{compression:?}");
            assert_eq!(decode(&body, coding, 2048), None, "{compression:?}");
            assert_eq!(
                decode(&body[..body.len() - 1], coding, 1024),
                None,
                "{compression:?}"
            );
            let longer = [&body[..], &[0]].concat();
            assert_eq!(decode(&longer, coding, 1024), None, "{compression:?}");
        }
    }
}

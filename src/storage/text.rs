//! Payloads as text, for programs and engines that cannot pass bytes: Base64 (RFC 4648, section 4).
//!
//! Read generously where programs differ: with or without padding, and with the line breaks that MIME and
//! PostgreSQL put in.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::fmt;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Not Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidText;

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("payload is not Base64")
    }
}

impl std::error::Error for InvalidText {}

/// One line, padded.
pub fn encode(bytes: &[u8]) -> Vec<u8> {
    BASE64.encode(bytes).into_bytes()
}

/// The bytes behind a text.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, InvalidText> {
    let symbols = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n'));
    BASE64
        .decode(symbols.collect::<Vec<u8>>())
        .map_err(|_| InvalidText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_engines_write_it() {
        for text in [
            "SGVsbG8sIHdvcmxkIQ==",
            "SGVsbG8sIHdvcmxkIQ",
            "SGVsbG8s\r\nIHdvcmxk\nIQ==\n",
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap(), b"Hello, world!");
        }
        assert_eq!(encode(b"Hello, world!"), b"SGVsbG8sIHdvcmxkIQ==");
        for text in [
            "SGVsbG8 ",
            "SGVs-_==",
            "S",
            "SGVsbG8sIHdvcmxkIR==",
            "=",
            "\u{0}",
        ] {
            assert_eq!(decode(text.as_bytes()), Err(InvalidText), "{text}");
        }
    }
}

//! A string of bits in bytes, the first bit of each byte being its lowest.

/// Appends bits.
#[derive(Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are not in `bytes` yet: `used` of them, less than 32 between two calls.
    pending: u64,
    used: u32,
}

impl BitWriter {
    /// With room for so many bytes.
    pub fn with_capacity(bytes: usize) -> BitWriter {
        BitWriter {
            bytes: Vec::with_capacity(bytes),
            ..BitWriter::default()
        }
    }

    /// The low `count` ≤ 32 bits of `value`, lowest first. Higher bits of `value` must be 0.
    pub fn write(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32 && u64::from(value) >> count == 0);
        self.pending |= u64::from(value) << self.used;
        self.used += count;
        if self.used >= 32 {
            let full = (self.pending as u32).to_le_bytes();
            self.bytes.extend_from_slice(&full);
            self.pending >>= 32;
            self.used -= 32;
        }
    }

    /// `value` ones and a zero.
    pub fn write_unary(&mut self, mut value: u32) {
        while value >= 32 {
            self.write(u32::MAX, 32);
            value -= 32;
        }
        self.write((1u32 << value) - 1, value + 1);
    }

    /// The bytes, the last one filled up with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        let rest = self.used.div_ceil(8) as usize;
        let pending = self.pending.to_le_bytes();
        self.bytes.extend_from_slice(&pending[..rest]);
        self.bytes
    }
}

/// Reads bits; `None` at the end.
pub struct BitReader<'a> {
    bytes: &'a [u8],
    pending: u64,
    available: u32,
}

impl<'a> BitReader<'a> {
    /// From the first bit on.
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader {
            bytes,
            pending: 0,
            available: 0,
        }
    }

    /// As many bytes as there is room for join the pending bits; false when there is none left. Called
    /// with less than 32 pending bits.
    fn refill(&mut self) -> bool {
        let room = (64 - self.available as usize) / 8;
        let (bytes, rest) = match self.bytes.first_chunk::<8>() {
            Some(eight) => (*eight, &self.bytes[room..]),
            None => {
                let taken = self.bytes.len().min(room);
                if taken == 0 {
                    return false;
                }
                let mut bytes = [0; 8];
                bytes[..taken].copy_from_slice(&self.bytes[..taken]);
                (bytes, &self.bytes[taken..])
            }
        };
        self.pending |= u64::from_le_bytes(bytes) << self.available;
        self.available += 8 * (self.bytes.len() - rest.len()) as u32;
        self.pending &= u64::MAX >> (64 - self.available);
        self.bytes = rest;
        true
    }

    /// `count` ≤ 32 bits, lowest first.
    pub fn read(&mut self, count: u32) -> Option<u32> {
        if self.available < count {
            self.refill();
            if self.available < count {
                return None;
            }
        }
        let value = self.pending & ((1 << count) - 1);
        self.pending >>= count;
        self.available -= count;
        Some(value as u32)
    }

    /// The number of ones before the next zero; `None` also if there are more than `limit`.
    pub fn read_unary(&mut self, limit: u32) -> Option<u32> {
        let mut ones = 0;
        loop {
            let run = self.pending.trailing_ones().min(self.available);
            ones += run;
            if ones > limit {
                return None;
            }
            self.available -= run;
            if self.available > 0 {
                // The zero goes with them.
                self.pending = self.pending >> run >> 1;
                self.available -= 1;
                return Some(ones);
            }
            self.pending = 0;
            if !self.refill() {
                return None;
            }
        }
    }

    /// Whether nothing is left but the zeros that fill up the last byte.
    pub fn is_finished(&self) -> bool {
        self.bytes.is_empty() && self.available < 8 && self.pending == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(items in prop::collection::vec((any::<u32>(), 0u32..=32, 0u32..100), 0..50)) {
            let mut writer = BitWriter::default();
            let masked = |value: u32, count: u32| (u64::from(value) & ((1u64 << count) - 1)) as u32;
            for &(value, count, unary) in &items {
                writer.write(masked(value, count), count);
                writer.write_unary(unary);
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for &(value, count, unary) in &items {
                prop_assert_eq!(reader.read(count), Some(masked(value, count)));
                prop_assert_eq!(reader.read_unary(100), Some(unary));
            }
            prop_assert!(reader.is_finished());
        }

        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..100), limit in 0u32..1000) {
            let mut reader = BitReader::new(&bytes);
            let mut read = 0;
            while reader.read_unary(limit).is_some() {
                read += 1;
            }
            prop_assert!(read <= bytes.len() * 8);
        }
    }

    #[test]
    fn a_run_longer_than_the_limit_is_refused() {
        let mut writer = BitWriter::default();
        writer.write_unary(39);
        let bytes = writer.finish();
        assert_eq!(BitReader::new(&bytes).read_unary(38), None);
        assert_eq!(BitReader::new(&bytes).read_unary(39), Some(39));
        assert_eq!(BitReader::new(&[0xff, 0xff]).read_unary(1000), None);
    }
}

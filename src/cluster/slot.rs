//! The slot of a key: CRC16 of its name, or of the part between the first `{` and the next `}` where there is one, modulo
//! 16,384. As the cluster specification of Redis has it; a module cannot ask every server for it (Redis 7.0 has no call).

/// Slots of a cluster.
pub const SLOTS: usize = 16_384;

/// The slot that a key of this name belongs to.
pub fn of(name: &[u8]) -> u16 {
    crc16(tag(name)) & (SLOTS as u16 - 1)
}

/// What is hashed of a name.
fn tag(name: &[u8]) -> &[u8] {
    let Some(open) = name.iter().position(|&byte| byte == b'{') else {
        return name;
    };
    let behind = &name[open + 1..];
    match behind.iter().position(|&byte| byte == b'}') {
        None | Some(0) => name,
        Some(close) => &behind[..close],
    }
}

/// CRC16 of the XMODEM kind: polynomial 0x1021, from 0, nothing reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
    })
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the cluster specification, and what CLUSTER KEYSLOT of a server says.
    #[test]
    fn known_slots() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(of(b"123456789"), 0x31C3);
        for (name, slot) in [("foo", 12182), ("bar", 5061), ("", 0), ("hello", 866)] {
            assert_eq!(of(name.as_bytes()), slot, "{name}");
        }
    }

    #[test]
    fn only_a_tag_with_something_in_it_counts() {
        for (name, as_if) in [
            ("{user1000}.following", "user1000"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{bar", "foo{bar"),
            ("a}{b}", "b"),
        ] {
            assert_eq!(tag(name.as_bytes()), as_if.as_bytes(), "{name}");
        }
    }
}

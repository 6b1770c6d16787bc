//! Two hashes of the Murmur line (Appleby, public domain), as HyperLogLogs in the field use them.
//!
//! Both cut the input into blocks, mix each block by itself, fold it into the state, take the up to 7 or
//! 15 bytes that are left as a last block of their own, and at the end stir until every bit of the
//! input has reached every bit of the result. Multiplications by odd constants carry information
//! upwards, shifts and rotations bring it down again.
//!
//! They stand here because no library has both in a form that is maintained and hashes a slice at once;
//! the tests hold known answers of independent implementations.

/// The up to 7 bytes left over, as a number, little end first. The middle ones are read twice where that
/// saves a loop: both readings put them in the same place.
#[inline]
fn remainder(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (len - 4));
    }
    let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
    match len {
        0 => 0,
        _ => byte(0) | byte(len / 2) | byte(len - 1),
    }
}

/// MurmurHash64A: MurmurHash2 for 64-bit machines.
#[inline]
pub fn murmur_hash_64a(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut h = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (blocks, rest) = bytes.as_chunks::<8>();
    for &block in blocks {
        let mut k = u64::from_le_bytes(block).wrapping_mul(M);
        k ^= k >> R;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        h = (h ^ remainder(rest)).wrapping_mul(M);
    }
    h = (h ^ h >> R).wrapping_mul(M);
    h ^ h >> R
}

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

#[inline]
fn mixed_1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

#[inline]
fn mixed_2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

/// The finaliser: every bit of the result depends on every bit of `k`.
#[inline]
fn stirred(mut k: u64) -> u64 {
    k = (k ^ k >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    k = (k ^ k >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ k >> 33
}

/// MurmurHash3_x64_128: the first and the second half of its 128 bits.
#[inline]
pub fn murmur_hash3_x64_128(bytes: &[u8], seed: u64) -> [u64; 2] {
    let [mut h1, mut h2] = [seed; 2];
    let (words, rest) = bytes.as_chunks::<8>();
    let (blocks, odd) = words.as_chunks::<2>();
    for &[low, high] in blocks {
        h1 ^= mixed_1(u64::from_le_bytes(low));
        h1 = h1.rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mixed_2(u64::from_le_bytes(high));
        h2 = h2.rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // A half that is missing mixes to 0 and would leave the state as it is.
    if let [low] = odd {
        h1 ^= mixed_1(u64::from_le_bytes(*low));
        h2 ^= mixed_2(remainder(rest));
    } else {
        h1 ^= mixed_1(remainder(rest));
    }

    let len = bytes.len() as u64;
    h1 ^= len;
    h2 ^= len;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = stirred(h1);
    h2 = stirred(h2);
    h1 = h1.wrapping_add(h2);
    [h1, h2.wrapping_add(h1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_is_the_number_its_bytes_spell() {
        let bytes = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];
        for len in 0..=7 {
            let spelled = bytes[..len].iter().rev();
            let spelled = spelled.fold(0, |number, &byte| number << 8 | u64::from(byte));
            assert_eq!(remainder(&bytes[..len]), spelled, "{len}");
        }
    }

    /// Of the bytes 0, 1, 2, ...: how many, MurmurHash64A under Redis' seed, MurmurHash3_x64_128 under
    /// Apache's. Computed by the crate murmurhash64 and the Python package mmh3.
    #[rustfmt::skip]
    const KNOWN: [(usize, u64, [u64; 2]); 12] = [
        (0, 0xd8df_ea65_85bc_9732, [0x1e70_a322_6649_1bb9, 0x6097_36b2_5240_6b94]),
        (1, 0xa55b_92ce_23af_a288, [0x0803_ae26_67d0_86a8, 0x0327_64c2_3ca3_5ca8]),
        (7, 0xf131_71e9_5bcc_5338, [0x5be7_8806_33ae_99e3, 0x0291_7730_daf8_87b5]),
        (8, 0x710a_b103_9e88_eed5, [0xe3a0_0427_2cc0_11e7, 0x5dd8_ffe5_96da_c6b1]),
        (9, 0x9c1c_f6a1_355e_79d3, [0x46d2_2c0d_3ab3_e96c, 0x7222_05be_1ac3_bff0]),
        (15, 0x81ce_0882_29ed_592b, [0x403d_80e2_5810_0419, 0xaa0c_ab09_a62c_6760]),
        (16, 0x1233_ffe7_833f_4e22, [0x1191_c3da_933a_429e, 0xfd98_4b42_1d27_b17b]),
        (17, 0x2551_cee1_4731_061c, [0xa4b0_d83e_e82f_2b12, 0xb0d7_3aa7_7d22_ae45]),
        (31, 0x5c1a_83e8_4146_0cb4, [0xff68_016b_f097_cb5b, 0x7b9a_9608_ff04_2bd8]),
        (32, 0xa732_4265_74fd_5942, [0x9a2e_7e53_1416_cffe, 0x0889_b407_aba6_81c3]),
        (40, 0x6dde_3e44_087d_b954, [0xde97_f669_8880_6222, 0x8f25_a490_d203_1252]),
        (48, 0xd9d6_db39_67c9_2d1c, [0x20fe_8f7e_d268_88d1, 0xa92a_75fa_1a3e_9247]),
    ];

    #[test]
    fn known_answers_for_every_kind_of_remainder() {
        let bytes: Vec<u8> = (0..48).collect();
        for (len, hash_64a, hash3) in KNOWN {
            assert_eq!(
                murmur_hash_64a(&bytes[..len], 0xadc8_3b19),
                hash_64a,
                "{len}"
            );
            assert_eq!(murmur_hash3_x64_128(&bytes[..len], 9001), hash3, "{len}");
        }
    }
}

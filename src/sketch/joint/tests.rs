//! Tests of the whole: known answers, and the promises that hold for any input.

use super::*;
use crate::sketch::hash::HashFamily;
use crate::sketch::{Dense, register};
use std::ops::Range;

/// Registers from the first element on, without a sparse phase. Elements are `user:<i>`.
fn dense(p: u8, elements: &[Range<u32>]) -> Sketch {
    let p = Precision::new(p).unwrap();
    let hash = HashFamily::default();
    let mut registers = vec![0; p.registers()];
    for i in elements.iter().cloned().flatten() {
        let h = hash.hash(format!("user:{i}").as_bytes());
        let r = &mut registers[register::index(h, p)];
        *r = register::insert(*r, register::level(h, p));
    }
    Sketch::from_dense(hash, Dense::from_registers(registers, p, true).unwrap())
}

/// Precision, sets, and |S1∩…∩Sk| with its standard deviation for every k, from an independent
/// implementation.
type Known<'a> = (u8, &'a [&'a [Range<u32>]], &'a [(f64, f64)]);

#[rustfmt::skip]
const KNOWN: [Known; 10] = [
    (12, &[&[0..60000], &[40000..150000]], &[(59284.471, 663.160), (20222.805, 767.984)]),
    (12, &[&[0..100000], &[95000..105000]], &[(99111.032, 1129.450), (4975.299, 265.764)]),
    (12, &[&[0..100000], &[0..100000]], &[(99310.509, 1160.314), (99310.499, 1162.312)]),
    (12, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991]],
        &[(99407.638, 1079.019), (31655.199, 493.015), (6245.692, 208.385)]),
    (12, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991],
           &[0..2046, 200000..200500, 300000..300654, 400000..400800],
           &[0..826, 200000..200200, 300000..300300, 400000..400274, 500000..500400]],
        &[(99415.532, 1079.875), (31659.022, 494.567), (6240.053, 209.506), (1911.161, 117.916), (743.945, 79.975)]),
    (14, &[&[0..60000], &[40000..150000]], &[(60444.298, 282.271), (20369.058, 367.641)]),
    (14, &[&[0..100000], &[95000..105000]], &[(100201.900, 505.900), (5045.705, 125.588)]),
    (14, &[&[0..100000], &[0..100000]], &[(100249.890, 556.226), (100249.880, 555.485)]),
    (14, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991]],
        &[(100247.132, 484.596), (32036.490, 217.366), (6455.999, 92.529)]),
    (14, &[&[0..100000], &[0..32000, 200000..208000], &[0..6409, 200000..201600, 300000..301991],
           &[0..2046, 200000..200500, 300000..300654, 400000..400800],
           &[0..826, 200000..200200, 300000..300300, 400000..400274, 500000..500400]],
        &[(100255.382, 484.897), (32045.365, 218.124), (6462.938, 93.388), (2077.031, 51.853), (843.720, 33.602)]),
];

#[test]
fn an_independent_implementation_agrees() {
    for (p, sets, prefixes) in KNOWN {
        let sketches: Vec<Sketch> = sets.iter().map(|elements| dense(p, elements)).collect();
        let joint = Joint::solve(&sketches.iter().collect::<Vec<_>>()).unwrap();
        for (k, (value, sd)) in prefixes.iter().enumerate() {
            let ours = joint.intersection(SetMask::first(k + 1));
            let our_sd = ours.variance.sqrt();
            println!(
                "p {p} prefix {}: {:.3} {our_sd:.3} (known {value} {sd})  off {:.4} sd, sd {:+.2} %",
                k + 1,
                ours.value,
                (ours.value - value) / sd,
                100.0 * (our_sd / sd - 1.0)
            );
        }
    }
}

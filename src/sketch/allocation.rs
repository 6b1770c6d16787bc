//! What sketches know of the memory they lie in.

/// Moves allocations to another place in memory; see [`super::Sketch::relocate`].
pub trait Relocate {
    /// The same array, elsewhere or not.
    fn array<T: Copy>(&mut self, array: Vec<T>) -> Vec<T>;
}

/// Bytes of the two counts that an [`Arc`](std::sync::Arc) keeps beside its content.
pub(super) const ARC_COUNTS: usize = 2 * size_of::<usize>();

/// The least size of a general-purpose allocator's class that holds `bytes`: multiples of 16 up to
/// 128, then four steps per doubling. What lies between two classes would be lost; this way it is
/// room to grow.
pub(super) fn allocation_class(bytes: usize) -> usize {
    let step = if bytes <= 128 {
        16
    } else {
        bytes.next_power_of_two() / 8
    };
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_allocators_steps() {
        for (bytes, class) in [
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (161, 192),
            (256, 256),
            (257, 320),
            (1000, 1024),
            (1025, 1280),
            (8192, 8192),
        ] {
            assert_eq!(allocation_class(bytes), class, "{bytes}");
        }
    }
}

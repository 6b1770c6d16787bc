//! Symmetric positive definite systems, a few hundred unknowns at most.

/// The lower triangle of a symmetric matrix, row after row.
#[derive(Clone, Debug)]
pub(super) struct Symmetric {
    n: usize,
    values: Vec<f64>,
}

/// Where row i begins.
fn row(i: usize) -> usize {
    i * (i + 1) / 2
}

impl Symmetric {
    /// The n × n zero matrix.
    pub fn new(n: usize) -> Symmetric {
        Symmetric {
            n,
            values: vec![0.0; row(n)],
        }
    }

    /// Element (i, j), j ≤ i.
    #[inline]
    pub fn at(&mut self, i: usize, j: usize) -> &mut f64 {
        debug_assert!(j <= i && i < self.n);
        &mut self.values[row(i) + j]
    }

    /// Element (i, j) or (j, i), which are one.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.values[row(i.max(j)) + i.min(j)]
    }

    /// Elements (i, 0) to (i, i).
    pub fn row(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[row(i)..][..=i]
    }

    /// Element (i, i).
    pub fn diagonal(&self, i: usize) -> f64 {
        self.values[row(i) + i]
    }

    /// The rows and columns named by `keep`, which ascends.
    pub fn part(&self, keep: &[usize]) -> Symmetric {
        let values = keep
            .iter()
            .enumerate()
            .flat_map(|(k, &i)| keep[..=k].iter().map(move |&j| self.values[row(i) + j]))
            .collect();
        Symmetric {
            n: keep.len(),
            values,
        }
    }

    /// The Cholesky factor. Where rounding leaves a pivot without a correct digit, it is raised to
    /// what rounding could have left: the matrix is taken for the nearest one that has a factor.
    pub fn factor(mut self) -> Cholesky {
        for i in 0..self.n {
            let least = (1e-14 * self.diagonal(i)).max(f64::MIN_POSITIVE);
            let (above, rest) = self.values.split_at_mut(row(i));
            let this = &mut rest[..=i];
            for j in 0..i {
                let other = &above[row(j)..][..=j];
                this[j] = (this[j] - dot(&this[..j], &other[..j])) / other[j];
            }
            let pivot = this[i] - dot(&this[..i], &this[..i]);
            this[i] = pivot.max(least).sqrt();
        }
        Cholesky(self)
    }
}

/// Four sums side by side, which is what the CPU does best.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a4, a1) = a.as_chunks::<4>();
    let (b4, b1) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a4.iter().zip(b4) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a1.iter().zip(b1).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// The lower triangular root C of a matrix A = C Cᵀ.
#[derive(Clone, Debug)]
pub(super) struct Cholesky(Symmetric);

impl Cholesky {
    /// C⁻¹ b, in place. Its squared length is bᵀ A⁻¹ b.
    pub fn forward(&self, b: &mut [f64]) {
        for i in 0..self.0.n {
            let this = &self.0.values[row(i)..][..=i];
            b[i] = (b[i] - dot(&this[..i], &b[..i])) / this[i];
        }
    }

    /// A⁻¹ b, in place.
    pub fn solve(&self, b: &mut [f64]) {
        self.forward(b);
        for i in (0..self.0.n).rev() {
            let this = &self.0.values[row(i)..][..=i];
            b[i] /= this[i];
            let x = b[i];
            for (b, c) in b[..i].iter_mut().zip(this) {
                *b -= x * c;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_solution_solves(n in 1usize..12, entries in prop::collection::vec(-1.0..1.0f64, 12 * 12), b in prop::collection::vec(-1.0..1.0f64, 12)) {
            // B Bᵀ + I is positive definite.
            let entry = |i: usize, j: usize| {
                (0..n).map(|k| entries[i * 12 + k] * entries[j * 12 + k]).sum::<f64>() + f64::from(u8::from(i == j))
            };
            let mut a = Symmetric::new(n);
            for i in 0..n {
                for j in 0..=i {
                    *a.at(i, j) = entry(i, j);
                }
            }
            let factor = a.factor();
            let mut x = b[..n].to_vec();
            factor.solve(&mut x);
            for (i, b) in b.iter().enumerate().take(n) {
                let product: f64 = (0..n).map(|j| entry(i, j) * x[j]).sum();
                prop_assert!((product - b).abs() < 1e-9);
            }
            let mut y = b[..n].to_vec();
            factor.forward(&mut y);
            let length: f64 = y.iter().map(|y| y * y).sum();
            let form: f64 = x.iter().zip(&b).map(|(x, b)| x * b).sum();
            prop_assert!((length - form).abs() < 1e-9);
        }
    }

    /// Two equal rows: a matrix without an inverse.
    #[test]
    fn a_singular_matrix_still_has_a_factor() {
        let mut a = Symmetric::new(2);
        for (i, j) in [(0, 0), (1, 0), (1, 1)] {
            *a.at(i, j) = 1.0;
        }
        let mut x = [1.0, 1.0];
        a.factor().solve(&mut x);
        assert!(x.iter().all(|x| x.is_finite()) && (x[0] + x[1] - 1.0).abs() < 1e-9);
        let mut zero = [1.0];
        Symmetric::new(1).factor().forward(&mut zero);
        assert!(zero[0].is_finite());
    }
}

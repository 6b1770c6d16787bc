//! The numbers of values and of combinations of values, and who still uses them.
//!
//! Every cell of a dimension's column refers to its value's number, every cell of a group's column to the number of
//! its combination, and every combination to the numbers of its values. What nobody refers to any more is forgotten,
//! and its number is the next new one's, if no smaller one is free.

use super::intern::{Intern, Members};
use super::schema::{GROUP_SIZE, OTHER, Schema};

/// Of all columns of a cube.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Of each dimension.
    pub dimensions: Vec<Intern>,
    /// Of each group.
    pub groups: Vec<Members>,
    /// The dimensions of each group.
    of_group: Vec<Vec<usize>>,
}

impl Numbers {
    /// Nothing has a number yet. The seed keeps outsiders from choosing values that collide.
    pub fn new(schema: &Schema, seed: u64) -> Numbers {
        let groups = schema.groups.iter();
        Numbers {
            dimensions: vec![Intern::new(seed); schema.dimensions.len()],
            groups: vec![Members::new(seed); schema.groups.len()],
            of_group: groups.map(|group| group.dimensions.clone()).collect(),
        }
    }

    /// The number of a value, which has no references if it is new.
    pub fn of_value(&mut self, dimension: usize, value: &[u8]) -> u32 {
        self.dimensions[dimension].intern(value)
    }

    /// The number of the combination of the values that have these numbers, by dimension; [`OTHER`] if one of them
    /// has none. It has no references if it is new, but its values have one more.
    pub fn of_combination(&mut self, group: usize, values: &[u32]) -> u32 {
        let mut combination = [OTHER; *GROUP_SIZE.end()];
        for (place, &dimension) in combination.iter_mut().zip(&self.of_group[group]) {
            if values[dimension] == OTHER {
                return OTHER;
            }
            *place = values[dimension];
        }
        if let Some(number) = self.groups[group].find(&combination) {
            return number;
        }
        for (&number, &dimension) in combination.iter().zip(&self.of_group[group]) {
            self.dimensions[dimension].acquire(number);
        }
        self.groups[group].intern(&combination)
    }

    /// A cell of this number has come to be in the column.
    pub fn acquire(&mut self, column: usize, number: u32) {
        match self.kind(column) {
            _ if number == OTHER => {}
            Kind::Total => {}
            Kind::Dimension(dimension) => self.dimensions[dimension].acquire(number),
            Kind::Group(group) => self.groups[group].acquire(number),
        }
    }

    /// Such a cell is gone.
    pub fn release(&mut self, column: usize, number: u32) {
        match self.kind(column) {
            _ if number == OTHER => {}
            Kind::Total => {}
            Kind::Dimension(dimension) => {
                self.dimensions[dimension].release(number);
            }
            Kind::Group(group) => {
                let combination = self.groups[group].get(number);
                if self.groups[group].release(number) {
                    self.let_go(group, combination);
                }
            }
        }
    }

    /// Forgets what has this number if nothing refers to it.
    pub fn discard(&mut self, column: usize, number: u32) {
        match self.kind(column) {
            _ if number == OTHER => {}
            Kind::Total => {}
            Kind::Dimension(dimension) => {
                self.dimensions[dimension].discard_if_unused(number);
            }
            Kind::Group(group) => {
                let combination = self.groups[group].get(number);
                if self.groups[group].discard_if_unused(number) {
                    self.let_go(group, combination);
                }
            }
        }
    }

    /// A combination is forgotten, and refers to its values no more.
    fn let_go(&mut self, group: usize, combination: Option<[u32; 4]>) {
        for (number, &dimension) in combination.into_iter().flatten().zip(&self.of_group[group]) {
            self.dimensions[dimension].release(number);
        }
    }

    /// Whether something refers to every number.
    pub fn are_all_used(&self) -> bool {
        let dimensions = self.dimensions.iter().all(Intern::are_all_used);
        dimensions && self.groups.iter().all(Members::are_all_used)
    }

    fn kind(&self, column: usize) -> Kind {
        match column.checked_sub(1) {
            None => Kind::Total,
            Some(dimension) if dimension < self.dimensions.len() => Kind::Dimension(dimension),
            Some(beyond) => Kind::Group(beyond - self.dimensions.len()),
        }
    }

    /// Bytes that they occupy.
    pub fn heap_bytes(&self) -> usize {
        let dimensions = self
            .dimensions
            .iter()
            .map(Intern::memory_bytes)
            .sum::<usize>();
        let groups = self.groups.iter().map(Members::memory_bytes).sum::<usize>();
        dimensions + groups
    }
}

/// What a column is of.
enum Kind {
    Total,
    Dimension(usize),
    Group(usize),
}

//! The numbers of values and of combinations of values, and who still uses them.
//!
//! Every cell of a dimension's column refers to its value's number, every cell of a group's column to the number of
//! its combination, and every combination to the numbers of its values. What nobody refers to any more is forgotten,
//! and its number is the next new one's, if no smaller one is free.

use super::intern::{Intern, Members};
use super::schema::{GROUP_SIZE, OTHER, Place, Schema, TOTAL};

/// Of all columns of a cube.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Of each dimension.
    pub dimensions: Vec<Intern>,
    /// Of each group.
    pub groups: Vec<Members>,
    /// The dimensions of each group.
    of_group: Vec<Vec<usize>>,
    /// What each column is of.
    places: Vec<Place>,
    seed: u64,
}

impl Numbers {
    /// Nothing has a number yet. The seed keeps outsiders from choosing values that collide.
    pub fn new(schema: &Schema, seed: u64) -> Numbers {
        let mut numbers = Numbers {
            dimensions: Vec::new(),
            groups: Vec::new(),
            of_group: Vec::new(),
            places: Vec::new(),
            seed,
        };
        numbers.extend(schema);
        numbers
    }

    /// Dimensions and groups were added.
    pub fn extend(&mut self, schema: &Schema) {
        let (dimensions, groups) = (schema.dimensions.len(), schema.groups.len());
        self.dimensions.resize(dimensions, Intern::new(self.seed));
        self.groups.resize(groups, Members::new(self.seed));
        let of_group = schema.groups.iter();
        self.of_group = of_group.map(|group| group.dimensions.clone()).collect();
        self.places = (0..schema.columns())
            .map(|column| schema.place(column))
            .collect();
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
        match self.places[column] {
            _ if number == OTHER => {}
            Place::Total => {}
            Place::Dimension(dimension) => self.dimensions[dimension].acquire(number),
            Place::Group(group) => self.groups[group].acquire(number),
        }
    }

    /// Such a cell is gone.
    pub fn release(&mut self, column: usize, number: u32) {
        match self.places[column] {
            _ if number == OTHER => {}
            Place::Total => {}
            Place::Dimension(dimension) => {
                self.dimensions[dimension].release(number);
            }
            Place::Group(group) => {
                let combination = self.groups[group].get(number);
                if self.groups[group].release(number) {
                    self.let_go(group, combination);
                }
            }
        }
    }

    /// Forgets what has this number if nothing refers to it.
    pub fn discard(&mut self, column: usize, number: u32) {
        match self.places[column] {
            _ if number == OTHER => {}
            Place::Total => {}
            Place::Dimension(dimension) => {
                self.dimensions[dimension].discard_if_unused(number);
            }
            Place::Group(group) => {
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

    /// What a column is of.
    #[inline]
    pub fn place(&self, column: usize) -> Place {
        self.places[column]
    }

    /// Whether something of a column has this number.
    pub fn has(&self, column: usize, number: u32) -> bool {
        match self.places[column] {
            Place::Total => number == TOTAL,
            Place::Dimension(dimension) => self.dimensions[dimension].name(number).is_some(),
            Place::Group(group) => self.groups[group].get(number).is_some(),
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
        dimensions + groups + self.places.capacity() * size_of::<Place>()
    }
}

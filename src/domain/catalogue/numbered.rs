//! Lists whose members keep their numbers for as long as the process runs.

use std::ops::Index;

/// What a configuration lists, with numbers that outlive it: those of a newer configuration keep what they had, and a
/// number that is listed no more stays *retired*, since what is still under way goes by it.
#[derive(Clone, Debug)]
pub struct Numbered<T> {
    all: Vec<T>,
    listed: Vec<usize>,
}

impl<T> Numbered<T> {
    /// `listed`: the numbers of those that are not retired, in the order of the file.
    pub(super) fn new(all: Vec<T>, listed: Vec<usize>) -> Self {
        Self { all, listed }
    }

    /// Those that the configuration lists, in its order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + Clone {
        self.listed.iter().map(|number| &self.all[*number])
    }

    /// All that have a number, by it; the retired ones too.
    pub fn by_number(&self) -> &[T] {
        &self.all
    }

    /// How many the configuration lists.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    pub fn get(&self, number: usize) -> Option<&T> {
        self.all.get(number)
    }

    /// The place of a number in the configuration's order; none of a retired one.
    pub fn place(&self, number: usize) -> Option<usize> {
        self.listed.iter().position(|listed| *listed == number)
    }

    /// The numbers of those that the configuration lists, in its order.
    pub(super) fn listed(&self) -> &[usize] {
        &self.listed
    }
}

/// Numbered as they stand.
impl<T> From<Vec<T>> for Numbered<T> {
    fn from(all: Vec<T>) -> Self {
        Self { listed: (0..all.len()).collect(), all }
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T> Index<usize> for Numbered<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        &self.all[number]
    }
}

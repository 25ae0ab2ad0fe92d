//! Things by their numbers, which are given in ascending order: a list that is searched like a map. The standard
//! library's maps would be many times its size in the binary, for each kind of thing.

/// Numbered things, the oldest first.
#[derive(Debug)]
pub struct Numbered<N, T>(Vec<(N, T)>);

impl<N: Ord + Copy, T> Numbered<N, T> {
    pub const fn new() -> Numbered<N, T> {
        Numbered(Vec::new())
    }

    /// Adds a thing whose number is above all others.
    pub fn push(&mut self, number: N, thing: T) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < number), "numbers ascend");
        self.0.push((number, thing));
    }

    pub fn get(&self, number: &N) -> Option<&T> {
        Some(&self.0[self.place(number)?].1)
    }

    pub fn get_mut(&mut self, number: &N) -> Option<&mut T> {
        let place = self.place(number)?;
        Some(&mut self.0[place].1)
    }

    pub fn remove(&mut self, number: &N) -> Option<T> {
        let place = self.place(number)?;
        Some(self.0.remove(place).1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (N, &T)> {
        self.0.iter().map(|(number, thing)| (*number, thing))
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, thing)| thing)
    }

    /// The numbers, to be gone through while things change.
    pub fn numbers(&self) -> Vec<N> {
        self.0.iter().map(|(number, _)| *number).collect()
    }

    /// The number of the oldest.
    pub fn oldest(&self) -> Option<N> {
        self.0.first().map(|(number, _)| *number)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, number: &N) -> Option<usize> {
        self.0.binary_search_by_key(number, |(other, _)| *other).ok()
    }
}

/// A set of what has an order, kept sorted.
#[derive(Debug, Default)]
pub struct Sorted<T>(Vec<T>);

impl<T: Ord + Copy> Sorted<T> {
    pub const fn new() -> Sorted<T> {
        Sorted(Vec::new())
    }

    /// Says whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        match self.0.binary_search(&item) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, item);
                true
            }
        }
    }

    pub fn remove(&mut self, item: T) {
        if let Ok(place) = self.0.binary_search(&item) {
            self.0.remove(place);
        }
    }

    pub fn contains(&self, item: T) -> bool {
        self.0.binary_search(&item).is_ok()
    }

    /// The least.
    pub fn first(&self) -> Option<T> {
        self.0.first().copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().copied()
    }
}

impl<T: Ord + Copy> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Sorted<T> {
        let mut set = Sorted::new();
        for item in items {
            set.insert(item);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_found_by_their_numbers() {
        let mut things = Numbered::new();
        for number in [2, 5, 9, 400] {
            things.push(number, number * 10);
        }
        assert_eq!(things.remove(&5), Some(50));
        assert_eq!(things.remove(&5), None);
        *things.get_mut(&9).unwrap() += 1;
        let numbers: Vec<usize> = (0..=401).filter(|number| things.get(number).is_some()).collect();
        assert_eq!((numbers, things.numbers()), (vec![2, 9, 400], vec![2, 9, 400]));
        assert_eq!(things.values().copied().collect::<Vec<_>>(), [20, 91, 4000]);
        assert_eq!(things.iter().map(|(number, _)| number).collect::<Vec<_>>(), [2, 9, 400]);
        assert_eq!((things.oldest(), things.len(), things.is_empty()), (Some(2), 3, false));
        let nothing = Numbered::<usize, ()>::new();
        assert_eq!((nothing.oldest(), nothing.len(), nothing.is_empty()), (None, 0, true));
    }

    #[test]
    fn a_set_holds_each_item_once_in_order() {
        let mut set = Sorted::new();
        let inserted: Vec<bool> = [3, 1, 2, 3, 1].into_iter().map(|item| set.insert(item)).collect();
        assert_eq!(inserted, [true, true, true, false, false]);
        set.remove(2);
        set.remove(7);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((set.first(), set.contains(3), set.contains(2)), (Some(1), true, false));
    }
}

//! So many at once and no more, by number.

#[derive(Debug)]
pub struct Slots<T> {
    all: Vec<Option<T>>,
    most: usize,
}

impl<T> Slots<T> {
    pub fn new(most: usize) -> Self {
        Self { all: Vec::new(), most }
    }

    pub fn is_full(&self) -> bool {
        self.all.len() >= self.most && self.all.iter().all(Option::is_some)
    }

    /// Its number; `None`: there is no room.
    pub fn put(&mut self, item: T) -> Option<usize> {
        if let Some(free) = self.all.iter().position(Option::is_none) {
            self.all[free] = Some(item);
            return Some(free);
        }
        (self.all.len() < self.most).then(|| {
            self.all.push(Some(item));
            self.all.len() - 1
        })
    }

    pub fn get(&self, number: usize) -> Option<&T> {
        self.all.get(number)?.as_ref()
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.all.get_mut(number)?.as_mut()
    }

    /// Of the last the memory goes, too.
    pub fn take(&mut self, number: usize) -> Option<T> {
        let item = self.all.get_mut(number)?.take();
        if self.all.iter().all(Option::is_none) {
            self.all = Vec::new();
        }
        item
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().flatten()
    }

    /// The numbers of those.
    pub fn those(&self, is: impl Fn(&T) -> bool) -> Vec<usize> {
        (0..self.all.len()).filter(|number| self.get(*number).is_some_and(&is)).collect()
    }
}

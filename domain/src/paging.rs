//! Keyset paging: every list is paged, and a page's place survives inserts.

use std::collections::HashMap;
use std::hash::Hash;

use carillon_entities::wall::{Belongs, Select, Space, Value};

/// The largest page.
pub const PAGE_MAX: u32 = 100;

/// Which part of a list is wanted, in the order of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<K> {
    /// True for the first items after the cursor, false for the last ones before it.
    pub forward: bool,
    /// Where to go on from; the list's start (or end) without one.
    pub cursor: Option<K>,
    /// How many items, 1 to [`PAGE_MAX`].
    pub size: u32,
}

/// The same part of many lists at once: the first items of each, behind a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ahead<K> {
    /// Where to go on from; the lists' starts without one.
    pub after: Option<K>,
    /// How many items of each, 1 to [`PAGE_MAX`].
    pub size: u32,
}

/// A part of a list, in the order of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Whether there are items after them.
    pub has_next: bool,
    /// Whether there are items before them.
    pub has_previous: bool,
}

impl<K> Page<K> {
    /// The same part of the list the other way round.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { forward: !self.forward, ..self }
    }
}

impl<K: Clone> Page<K> {
    /// The first items of a list.
    pub fn first(size: u32) -> Self {
        Self { forward: true, cursor: None, size: size.clamp(1, PAGE_MAX) }
    }

    /// Restricts and orders a query; it asks for one row more than the page has, to know whether there are more.
    pub fn keyset<'a, S, E>(&self, select: Select<'a, S, E>, column: E::Column) -> Select<'a, S, E>
    where
        K: Into<Value>,
        S: Space,
        E: Belongs<S>,
    {
        let select = select.limit(u64::from(self.size) + 1);
        match (self.forward, self.cursor.clone()) {
            (true, None) => select.order_by(column),
            (true, Some(cursor)) => select.gt(column, cursor).order_by(column),
            (false, None) => select.order_by_desc(column),
            (false, Some(cursor)) => select.lt(column, cursor).order_by_desc(column),
        }
    }

    /// Makes the page of what such a query gave.
    pub fn finish<T>(&self, mut rows: Vec<T>) -> Paged<T> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        if !self.forward {
            rows.reverse();
        }
        let beyond = self.cursor.is_some();
        if self.forward {
            Paged { items: rows, has_next: more, has_previous: beyond }
        } else {
            Paged { items: rows, has_next: beyond, has_previous: more }
        }
    }
}

impl<K> Ahead<K> {
    /// How many rows of each list to ask for: one more than the page has, to know whether there are more.
    pub fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// Makes a page of each list of what such a query gave; lists without rows are left out.
    pub fn finish<L: Eq + Hash, T>(&self, rows: impl IntoIterator<Item = (L, T)>) -> HashMap<L, Paged<T>> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let mut pages: HashMap<L, Paged<T>> = HashMap::new();
        for (list, row) in rows {
            let page = pages.entry(list).or_insert_with(|| self.empty());
            if page.items.len() < size {
                page.items.push(row);
            } else {
                page.has_next = true;
            }
        }
        pages
    }

    /// The page of a list without rows.
    pub fn empty<T>(&self) -> Paged<T> {
        Paged { items: Vec::new(), has_next: false, has_previous: self.after.is_some() }
    }
}

impl<T> Paged<T> {
    /// The same part the other way round.
    #[must_use]
    pub fn turned(mut self) -> Self {
        self.items.reverse();
        Self { items: self.items, has_next: self.has_previous, has_previous: self.has_next }
    }

    /// The same page of other things.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            items: self.items.into_iter().map(change).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }
}

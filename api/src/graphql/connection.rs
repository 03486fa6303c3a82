//! Relay connections over keyset pages. A cursor is opaque: base64url of a version and the key it stands at, so a
//! cursor of another list is refused by its id's kind.

use std::fmt::Display;
use std::str::FromStr;

use async_graphql::connection::{Connection, CursorType, Edge};
use async_graphql::{Enum, OutputType};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_domain::error::{Refusal, Result};
use carillon_domain::paging::{Ahead, PAGE_MAX, Page, Paged};

/// Rows of a page that does not say how many.
const DEFAULT_SIZE: i32 = 50;
const VERSION: u8 = 1;
/// The longest cursor that is looked at.
const MAX_CURSOR: usize = 512;

/// A place in a list, as clients carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

/// Not a cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct InvalidCursor;

/// `NodeConnection { edges { cursor node } nodes pageInfo }`.
pub type List<Node> = Connection<Cursor, Node>;

impl Cursor {
    /// The cursor of a key.
    pub fn at(key: &impl Display) -> Self {
        Self(key.to_string())
    }

    fn key<K: FromStr>(&self) -> std::result::Result<K, InvalidCursor> {
        self.0.parse().map_err(|_| InvalidCursor)
    }
}

impl CursorType for Cursor {
    type Error = InvalidCursor;

    fn encode_cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode([&[VERSION], self.0.as_bytes()].concat())
    }

    fn decode_cursor(text: &str) -> std::result::Result<Self, InvalidCursor> {
        if text.len() > MAX_CURSOR {
            return Err(InvalidCursor);
        }
        match URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?.as_slice() {
            [VERSION, key @ ..] => String::from_utf8(key.to_vec()).map(Self).map_err(|_| InvalidCursor),
            _ => Err(InvalidCursor),
        }
    }
}

/// The four arguments of a list field.
#[derive(Debug, Clone, Default)]
pub struct PageArgs {
    /// Rows from the start of the list, or behind `after`.
    pub first: Option<i32>,
    /// The place behind which to start.
    pub after: Option<String>,
    /// Rows from the end of the list, or in front of `before`.
    pub last: Option<i32>,
    /// The place in front of which to end.
    pub before: Option<String>,
}

impl PageArgs {
    /// The arguments of a list that is read forward only.
    pub fn forward(first: Option<i32>, after: Option<String>) -> Self {
        Self { first, after, ..Self::default() }
    }

    /// The page they ask for: `first` with `after`, or `last` with `before`.
    pub fn page<K: FromStr>(self) -> Result<Page<K>> {
        let refuse = |field, message| Err(Refusal::new("INVALID_PAGE", field, message).into());
        let forward = match (self.first, self.last, &self.after, &self.before) {
            (Some(_), Some(_), _, _) => return refuse("last", "Give first or last, not both."),
            (Some(_), None, _, Some(_)) => return refuse("before", "Use before with last."),
            (None, Some(_), Some(_), _) => return refuse("after", "Use after with first."),
            (_, _, Some(_), Some(_)) => return refuse("before", "Give after or before, not both."),
            (_, last, _, before) => last.is_none() && before.is_none(),
        };
        let (size, field) = if forward { (self.first, "first") } else { (self.last, "last") };
        let size = u32::try_from(size.unwrap_or(DEFAULT_SIZE)).unwrap_or(0);
        if !(1..=PAGE_MAX).contains(&size) {
            let message = format!("A page has 1 to {PAGE_MAX} rows.");
            return Err(Refusal::new("INVALID_PAGE", field, message).into());
        }
        let (cursor, field) = if forward { (self.after, "after") } else { (self.before, "before") };
        let cursor = cursor.map(|text| Cursor::decode_cursor(&text).and_then(|cursor| cursor.key())).transpose();
        let cursor = cursor.map_err(|_| Refusal::new("INVALID_CURSOR", field, "Not a cursor of this list."))?;
        Ok(Page { forward, cursor, size })
    }

    /// The page that a list within another asks for: of each, the first rows behind the same place.
    pub fn ahead<K: FromStr>(first: Option<i32>, after: Option<String>) -> Result<Ahead<K>> {
        let page = Self::forward(first, after).page()?;
        Ok(Ahead { after: page.cursor, size: page.size })
    }
}

/// In which order a list is told. Lists are ordered by what never changes: one that moves would be skipped by who reads
/// page by page, or seen twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Enum)]
pub enum ListOrder {
    /// What was made first comes first.
    #[default]
    OldestFirst,
    /// What was made last comes first.
    NewestFirst,
}

impl ListOrder {
    /// The page that is to be read, of a list that is kept with the oldest first.
    pub fn page<K>(self, page: Page<K>) -> Page<K> {
        match self {
            Self::OldestFirst => page,
            Self::NewestFirst => page.turned(),
        }
    }

    /// The page as it is told.
    pub fn told<T>(self, page: Paged<T>) -> Paged<T> {
        match self {
            Self::OldestFirst => page,
            Self::NewestFirst => page.turned(),
        }
    }
}

/// The connection of a page; `key` is what the list is ordered by.
pub fn list<T, K: Display, Node: OutputType>(
    page: Paged<T>,
    key: impl Fn(&T) -> K,
    node: impl Fn(T) -> Node,
) -> List<Node> {
    let mut list = Connection::new(page.has_previous, page.has_next);
    list.edges.extend(page.items.into_iter().map(|item| Edge::new(Cursor::at(&key(&item)), node(item))));
    list
}

#[cfg(test)]
mod tests {
    use carillon_domain::error::Error;
    use carillon_domain::ids::{ContactId, TopicId};
    use uuid::Uuid;

    use super::*;

    fn page(args: PageArgs) -> std::result::Result<Page<ContactId>, (&'static str, String)> {
        args.page().map_err(|error| match error {
            Error::Refused(refusals) => (refusals[0].code, refusals[0].field.clone()),
            error => panic!("{error}"),
        })
    }

    #[test]
    fn cursors_round_trip() {
        let id = ContactId(Uuid::from_u128(0x0190_0000));
        let cursor = Cursor::at(&id).encode_cursor();
        let expected = Page { forward: true, cursor: Some(id), size: 50 };
        assert_eq!(page(PageArgs::forward(None, Some(cursor.clone()))), Ok(expected));
        let back = PageArgs { last: Some(2), before: Some(cursor), ..PageArgs::default() };
        assert_eq!(page(back), Ok(Page { forward: false, cursor: Some(id), size: 2 }));
    }

    #[test]
    fn a_cursor_of_another_list_or_of_nobody_is_refused() {
        let other = Cursor::at(&TopicId(Uuid::from_u128(7))).encode_cursor();
        for text in ["", "x", "AQ", "\u{fc}", other.as_str(), &"A".repeat(100_000)] {
            let args = PageArgs::forward(None, Some(text.to_owned()));
            assert_eq!(page(args), Err(("INVALID_CURSOR", "after".to_owned())));
        }
    }

    #[test]
    fn c221_no_page_has_more_than_a_hundred_rows() {
        let args = |first, last| PageArgs { first, last, ..PageArgs::default() };
        for bad in [0, -1, 101, i32::MAX, i32::MIN] {
            assert_eq!(page(args(Some(bad), None)), Err(("INVALID_PAGE", "first".to_owned())));
            assert_eq!(page(args(None, Some(bad))), Err(("INVALID_PAGE", "last".to_owned())));
        }
        assert_eq!(page(args(Some(100), None)).map(|page| page.size), Ok(100));
        assert_eq!(page(args(Some(1), Some(1))), Err(("INVALID_PAGE", "last".to_owned())));
    }
}

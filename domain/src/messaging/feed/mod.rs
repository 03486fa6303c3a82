//! The feed: what happened to a tenant's messages, in one order, to be told from any place on without a gap.
//!
//! Rows commit out of order: an event with an earlier id, or an earlier time, may become visible after a later one was told.
//! So neither tells where somebody stands (design, section 4). Each commit that adds to the history leaves a batch without a
//! place in the same transaction; [`place_events`] gives places to what is committed, one writer of a tenant at a time, under
//! the lock of the tenant's row in `message_feeds`, which it holds until it has committed itself.
//!
//! **The invariant**: whoever sees an event at place `n` sees every event at a place up to `n`, and none is ever added there.
//! For a writer reads the last place given only after it has the lock, so after the writer before it has committed; what it
//! gives lies behind that, and what it gives places to is committed, or is its own. A snapshot in which its commit is visible
//! was taken after that commit, so it shows the commits before it, too. SQLite's one writer is the lock there.
//!
//! So to go on behind the last place that was heard misses nothing, and repeats only what was told and not heard: each event
//! is told at least once. A cursor also names the event that stood at its place: one of a feed that was since restored to an
//! earlier day, or whose beginning was forgotten, is refused and not believed. Places are for clients to carry, not times:
//! nothing here depends on clocks but for how long batches are kept.

mod event;
mod place;
mod read;

pub use event::{FeedEvent, FeedKind};
pub(crate) use place::note_unsubscribed;
pub use place::{FEED_KEPT, place_events};
pub use read::{FEED_PAGE_MAX, FeedPage, feed_after, feed_end, feed_page};

//! Documents that were read before. Clients send the same few texts again and again, and reading one costs as much as
//! answering it; what is kept has passed the limits and rules that need no variables.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Request;
use async_graphql::parser::types::ExecutableDocument;
use lru::LruCache;

use super::limits;

/// How many are kept: those used last.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);
/// The longest text that is kept, in bytes: a longer one is rarely sent twice.
const LONGEST: usize = 4_096;
/// The largest document that is kept: a short text may unfold to a large one, and whoever sends it need not have signed in.
const LARGEST: u64 = 2_000;

/// The documents of one process.
pub struct Documents(Mutex<LruCache<String, Arc<ExecutableDocument>>>);

impl Default for Documents {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Documents {
    /// Gives a request its document, if its text was read before.
    pub fn recall(&self, request: &mut Request) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&request.query).map(Arc::clone);
        let Some(document) = known else { return false };
        request.set_parsed_query(document.as_ref().clone());
        true
    }

    /// Keeps the document of a request that has one.
    pub fn keep(&self, request: &mut Request) {
        if request.query.len() > LONGEST {
            return;
        }
        let Ok(document) = request.parsed_query() else { return };
        if limits::size_of(document) > LARGEST {
            return;
        }
        let document = Arc::new(document.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(request.query.clone(), document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_known_until_others_take_its_place() {
        let documents = Documents::default();
        let mut request = Request::new("{ serverTime }");
        assert!(!documents.recall(&mut request));
        documents.keep(&mut request);

        let mut again = Request::new("{ serverTime }");
        assert!(documents.recall(&mut again));
        assert_eq!(again.parsed_query().unwrap().operations.iter().count(), 1);
        for n in 0..KEPT.get() {
            documents.keep(&mut Request::new(format!("{{ a{n}: serverTime }}")));
        }
        assert!(!documents.recall(&mut Request::new("{ serverTime }")), "bounded");
    }

    #[test]
    fn neither_a_long_one_nor_a_large_or_wrong_one_is_kept() {
        let documents = Documents::default();
        let large = format!("{{ {}}}", "a ".repeat(2_040));
        assert!(large.len() <= LONGEST);
        for text in [format!("{{ serverTime }}{}", " ".repeat(LONGEST)), large, "{".to_owned()] {
            documents.keep(&mut Request::new(&text));
            assert!(!documents.recall(&mut Request::new(text)));
        }
    }
}

//! The permit (L3): what a channel accepts, and only the committed decision of the gate makes.

use carillon_entities::ids::MessageId;

use crate::time::{Monotonic, Timestamp};

/// A message that may be handed over now: made by [`super::clear`] when its transaction has committed.
///
/// It is neither `Clone` nor `Serialize`, and a channel takes it by value, so a permit is used once, by the process that
/// asked, and it expires. What it permits is one message to one person, in whatever form.
///
/// ```compile_fail
/// fn twice(cleared: carillon_domain::messaging::Cleared<()>) { let _ = cleared.clone(); }
/// ```
/// ```compile_fail
/// fn stored(cleared: &carillon_domain::messaging::Cleared<()>) { let _ = serde_json::to_string(cleared); }
/// ```
#[derive(Debug)]
pub struct Cleared<M> {
    message: M,
    attempt: AttemptRef,
    expires: Monotonic,
}

/// Which attempt, under which claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptRef {
    /// The message.
    pub message: MessageId,
    /// Number of the attempt, from 1.
    pub number: i32,
    /// The claim's fence.
    pub fence: i64,
    /// Until when the claim holds.
    pub lease_until: Timestamp,
}

impl<M> Cleared<M> {
    pub(super) fn new(message: M, attempt: AttemptRef, expires: Monotonic) -> Self {
        Self { message, attempt, expires }
    }

    /// Which attempt this permits.
    pub fn attempt(&self) -> AttemptRef {
        self.attempt
    }

    /// The reading after which the channel must refuse.
    pub fn expires(&self) -> Monotonic {
        self.expires
    }

    /// True while the permit is good.
    pub fn is_fresh(&self, now: Monotonic) -> bool {
        now < self.expires || carillon_entities::seeded_bugs::on("permit_unchecked")
    }

    /// The permitted message.
    pub fn message(&self) -> &M {
        &self.message
    }

    /// The same permit for another form of the same message, such as its signed bytes; on failure the permit is gone.
    pub fn try_form<N: FormOf<M>>(
        self,
        make: impl FnOnce(&M) -> Result<N, N::Error>,
    ) -> Result<Cleared<N>, (AttemptRef, N::Error)> {
        match make(&self.message).and_then(|form| form.of(&self.message)) {
            Ok(message) => Ok(Cleared { message, attempt: self.attempt, expires: self.expires }),
            Err(error) => Err((self.attempt, error)),
        }
    }
}

/// Another form of a message: it goes to the same person, or is none.
pub trait FormOf<M>: Sized {
    /// Why there is no such form.
    type Error;

    /// Itself, if it is this message, to its recipient.
    fn of(self, message: &M) -> Result<Self, Self::Error>;
}

//! What a message is for: it decides how long it may wait, and what happens when its outcome is hidden (C-61, C-168).

use chrono::TimeDelta;

use crate::time::Timestamp;

text_code! {
    /// The class of a message; it never changes once the message is queued.
    pub enum MessageClass {
        /// Asked for by what the person just did: an order, a password reset.
        Transactional = "transactional",
        /// Everything else; needs consent and carries the way out.
        Marketing = "marketing",
    }
}

text_code! {
    /// The queue a message waits in; each lane has its dispatcher, so that bulk mail cannot delay a password reset.
    pub enum Lane {
        /// What somebody waits for.
        Transactional = "transactional",
        /// Everything else.
        Bulk = "bulk",
    }
}

impl MessageClass {
    /// Marketing that could not go out for this long is stale (C-61).
    pub const MARKETING_LIFETIME: TimeDelta = TimeDelta::hours(48);
    /// No message is tried for longer (RFC 5321 s4.5.4.1).
    pub const LIFETIME_MAX: TimeDelta = TimeDelta::days(5);

    /// The lane its messages wait in.
    pub const fn lane(self) -> Lane {
        match self {
            Self::Transactional => Lane::Transactional,
            Self::Marketing => Lane::Bulk,
        }
    }

    /// When a message of this class expires if its sender said nothing.
    pub fn default_expiry(self, queued_at: Timestamp) -> Timestamp {
        queued_at
            + match self {
                Self::Transactional => Self::LIFETIME_MAX,
                Self::Marketing => Self::MARKETING_LIFETIME,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        for class in MessageClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(*class));
        }
        assert!("MARKETING".parse::<MessageClass>().is_err());
    }

    #[test]
    fn c061_marketing_is_stale_after_two_days() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(MessageClass::Marketing.default_expiry(now) - now, TimeDelta::hours(48));
        assert_eq!(MessageClass::Transactional.default_expiry(now) - now, TimeDelta::days(5));
    }
}

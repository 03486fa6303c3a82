//! What a message is for: it decides how long it may wait, and what happens when its outcome is hidden (C-61, C-168).

use chrono::TimeDelta;

use crate::time::Timestamp;

/// A text that names no member of a closed set, such as a state; read from a row it is a fault, from a caller a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known {0}")]
pub struct UnknownCode(pub &'static str);

/// The class of a message; it never changes once the message is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageClass {
    /// Asked for by what the person just did: an order, a password reset.
    Transactional,
    /// Everything else; needs consent and carries the way out.
    Marketing,
}

impl MessageClass {
    /// Both, in the order of their codes.
    pub const ALL: [Self; 2] = [Self::Transactional, Self::Marketing];
    /// Marketing that could not go out for this long is stale (C-61).
    pub const MARKETING_LIFETIME: TimeDelta = TimeDelta::hours(48);
    /// No message is tried for longer (RFC 5321 s4.5.4.1).
    pub const LIFETIME_MAX: TimeDelta = TimeDelta::days(5);

    /// The code in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
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

impl std::str::FromStr for MessageClass {
    type Err = UnknownCode;

    fn from_str(code: &str) -> Result<Self, UnknownCode> {
        Self::ALL.into_iter().find(|class| class.as_str() == code).ok_or(UnknownCode("message class"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_there_and_back() {
        for class in MessageClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
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

//! What became of a hand-over (L7, L8): exactly one of these for every attempt that was started.

use carillon_domain::messaging;
use carillon_domain::messaging::reply_class::Reply;
use carillon_domain::metrics::labels::RelayAnswer;

/// The outcome of handing one mail to a relay.
///
/// `Unknown` means that the final dot may have reached the server and no reply to it was read: only then may the mail
/// exist without our knowing. Every failure before the dot is [`HandOver::NotHandedOver`], which is safe to retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandOver {
    /// The relay answered 2xx to the final dot: the mail is its responsibility now.
    Accepted(Reply),
    /// The relay answered 4xx to this mail: it has no copy.
    Deferred(Reply),
    /// The relay answered 5xx to this mail: it has no copy.
    Rejected(Reply),
    /// Nothing was handed over, for a reason that is not about this mail.
    NotHandedOver(Obstacle),
    /// Nothing was handed over because the caller's [`Permit`](super::Permit) said so at the last moment.
    Withheld(messaging::NotHandedOver),
    /// This relay cannot carry this mail; the recipient is not to blame (C-28).
    Incapable(Capability),
    /// The relay may have the mail, and hid it from us.
    Unknown,
}

impl HandOver {
    /// The same in the words of the rules that settle it.
    pub fn to_settle(&self) -> messaging::HandOver {
        use messaging::NotHandedOver as Nothing;
        match self {
            Self::Accepted(_) => messaging::HandOver::Accepted,
            Self::Deferred(reply) | Self::Rejected(reply) | Self::NotHandedOver(Obstacle::Refused(reply)) => {
                messaging::HandOver::Refused(reply.clone())
            }
            Self::NotHandedOver(Obstacle::Busy) => messaging::HandOver::NotHandedOver(Nothing::Busy),
            Self::NotHandedOver(obstacle) => messaging::HandOver::NotHandedOver(Nothing::Network(obstacle.code())),
            Self::Withheld(why) => messaging::HandOver::NotHandedOver(*why),
            Self::Incapable(lack) => messaging::HandOver::NotHandedOver(Nothing::Capability(lack.code())),
            Self::Unknown => messaging::HandOver::Unknown,
        }
    }
}

impl From<&HandOver> for RelayAnswer {
    fn from(hand_over: &HandOver) -> Self {
        match hand_over {
            HandOver::Accepted(_) => Self::Accepted,
            HandOver::Deferred(_) => Self::Deferred,
            HandOver::Rejected(_) => Self::Rejected,
            HandOver::NotHandedOver(Obstacle::Busy) => Self::Busy,
            HandOver::NotHandedOver(_) => Self::Unreachable,
            HandOver::Withheld(_) => Self::Withheld,
            HandOver::Incapable(_) => Self::Incapable,
            HandOver::Unknown => Self::Unknown,
        }
    }
}

/// Why nothing was handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The relay's name did not resolve, or nothing answered there.
    #[error("no connection to the relay")]
    Connect,
    /// The relay did not answer in time.
    #[error("the relay did not answer in time")]
    Timeout,
    /// The connection ended.
    #[error("the relay closed the connection")]
    Disconnected,
    /// TLS is required and not offered, or its handshake failed.
    #[error("no trusted TLS session with the relay")]
    Tls,
    /// Credentials would have travelled in the clear, or the relay knows no mechanism of ours.
    #[error("the relay offers no safe way to authenticate")]
    AuthUnsafe,
    /// The relay refused the connection or the credentials.
    #[error("the relay answered {} while connecting", .0.code)]
    Refused(Reply),
    /// Something that is not SMTP.
    #[error("the relay does not speak SMTP")]
    Protocol,
    /// No connection became free in time.
    #[error("all connections to the relay are busy")]
    Busy,
}

/// What a relay lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// SMTPUTF8: an address beyond ASCII (5.6.7, C-28).
    SmtpUtf8,
    /// The mail is larger than the relay's SIZE.
    Size,
}

impl Obstacle {
    /// Stable code for the attempt's outcome.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect => "relay_unreachable",
            Self::Timeout => "relay_timeout",
            Self::Disconnected => "relay_disconnected",
            Self::Tls => "relay_tls",
            Self::AuthUnsafe => "relay_auth_unsafe",
            Self::Refused(_) => "relay_refused",
            Self::Protocol => "relay_protocol",
            Self::Busy => "relay_busy",
        }
    }
}

impl Capability {
    /// Stable code for the attempt's outcome.
    pub fn code(self) -> &'static str {
        match self {
            Self::SmtpUtf8 => "eai_unsupported",
            Self::Size => "mail_too_large",
        }
    }
}

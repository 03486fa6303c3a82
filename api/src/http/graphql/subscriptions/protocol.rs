//! What the two sides of `graphql-transport-ws` say to each other, and why a socket is closed.
//!
//! The codes are the protocol's where it has one. Clients open a socket again after 1001, 1013, 4403, 4408 and 4499, with
//! a new credential if they have one, and take the others as their own mistakes.

use std::borrow::Cow;

use actix_ws::{CloseCode, CloseReason};
use async_graphql::{Response, ServerError};
use serde::{Deserialize, Serialize};

use super::super::Params;

/// The subprotocol's name.
pub(super) const PROTOCOL: &str = "graphql-transport-ws";
/// The longest id of a subscription, in bytes; clients count or send a UUID.
pub(super) const ID_MAX: usize = 128;

/// What a client says. Payloads of pings and pongs mean nothing here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    ConnectionInit { payload: Option<Init> },
    Ping,
    Pong,
    Subscribe { id: String, payload: Box<Params> },
    Complete { id: String },
}

/// Who calls.
#[derive(Deserialize)]
pub(super) struct Init {
    /// As the header of that name has it; some clients write it as the header's name.
    #[serde(alias = "Authorization")]
    pub authorization: Option<String>,
}

impl std::fmt::Debug for Init {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Init")
    }
}

impl Said {
    /// Reads a message.
    pub fn parse(text: &str) -> Result<Self, Close> {
        let said: Self = serde_json::from_str(text).map_err(|_| Close::BAD_MESSAGE)?;
        match &said {
            Self::Subscribe { id, .. } | Self::Complete { id } if id.is_empty() || id.len() > ID_MAX => {
                Err(Close::BAD_ID)
            }
            _ => Ok(said),
        }
    }
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    ConnectionAck,
    Pong,
    Next { id: &'a str, payload: &'a Response },
    Error { id: &'a str, payload: &'a [ServerError] },
    Complete { id: &'a str },
}

/// Why a socket is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub code: u16,
    pub reason: Cow<'static, str>,
}

impl Close {
    /// The client closed it.
    pub const NORMAL: Self = Self::new(1000, "");
    pub const GOING_AWAY: Self = Self::new(1001, "The server is going away; connect again.");
    pub const BROKEN: Self = Self::new(1002, "This is no WebSocket frame.");
    /// There is nobody to tell any more.
    pub const GONE: Self = Self::new(1006, "");
    pub const NO_TEXT: Self = Self::new(1007, "A text is in UTF-8.");
    pub const TOO_BIG: Self = Self::new(1009, "The message is too large.");
    pub const INTERNAL: Self = Self::new(1011, "Something went wrong on our side.");
    pub const TOO_SLOW: Self = Self::new(1013, "Too slow: what was sent was not taken.");
    pub const TOO_MANY: Self = Self::new(1013, "Too many sockets of this tenant; try again later.");
    pub const UNAVAILABLE: Self = Self::new(1013, "The service is busy or restarting; try again.");
    pub const BAD_MESSAGE: Self = Self::new(4400, "Invalid message.");
    pub const BAD_ID: Self = Self::new(4400, "An id has 1 to 128 bytes.");
    pub const UNAUTHORIZED: Self = Self::new(4401, "Unauthorized");
    pub const FORBIDDEN: Self = Self::new(4403, "Forbidden: send a valid credential as authorization.");
    /// The protocol names no code for it; after this one clients come again with a new token, after 4401 they do not.
    pub const ENDED: Self = Self::new(4403, "Forbidden: the credential has ended; come with a new one.");
    pub const INIT_TIMEOUT: Self = Self::new(4408, "Connection initialisation timeout");
    pub const INIT_TWICE: Self = Self::new(4429, "Too many initialisation requests");
    pub const SILENT: Self = Self::new(4499, "Terminated: nothing was heard of the client.");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    pub fn already_exists(id: &str) -> Self {
        // A reason has 123 bytes at most.
        let reason = if id.len() > 64 { "this id" } else { id };
        Self { code: 4409, reason: format!("Subscriber for {reason} already exists").into() }
    }
}

impl From<&Close> for CloseReason {
    fn from(close: &Close) -> Self {
        let description = (!close.reason.is_empty()).then(|| close.reason.to_string());
        Self { code: CloseCode::from(close.code), description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_protocol_does_not_know_is_refused() {
        for good in [
            r#"{"type":"connection_init"}"#,
            r#"{"type":"connection_init","payload":null}"#,
            r#"{"type":"connection_init","payload":{"authorization":"Bearer x","more":1}}"#,
            r#"{"type":"ping","payload":{"a":1}}"#,
            r#"{"type":"pong"}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","variables":{},"extensions":null}}"#,
            r#"{"id":"1","type":"complete"}"#,
        ] {
            assert!(Said::parse(good).is_ok(), "{good}");
        }
        let long = format!(r#"{{"id":"{}","type":"complete"}}"#, "x".repeat(ID_MAX + 1));
        for bad in [
            "",
            "nonsense",
            "7",
            "{}",
            r#"{"type":"start"}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
            r#"{"type":"complete","id":""}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            long.as_str(),
        ] {
            assert_eq!(Said::parse(bad).expect_err("refused").code, 4400, "{bad}");
        }
    }

    #[test]
    fn a_reason_fits_its_frame() {
        for id in ["é".repeat(ID_MAX / 2), "1".to_owned(), "x".repeat(64)] {
            assert!(Close::already_exists(&id).reason.len() <= 123);
        }
    }
}

//! Both directions of one socket, each bounded; a stream has but the one.

use std::time::Duration;

use actix_web::web::{Bytes, BytesMut};
use actix_ws::{CloseReason, Item, Message, MessageStream, ProtocolError};
use carillon_domain::seeded_bugs;
use futures::{Sink, SinkExt as _};
use tokio::time::timeout;

use super::protocol::{Close, Told};

/// What came from a client.
#[derive(Debug)]
pub(super) enum Heard {
    Text(String),
    Ping(Bytes),
    Pong,
}

/// Messages of a client, put together from their frames.
pub(super) struct Incoming {
    frames: MessageStream,
    part: Option<BytesMut>,
    max: usize,
}

impl Incoming {
    /// Messages of at most so many bytes.
    pub fn new(frames: MessageStream, max: usize) -> Self {
        Self { frames: frames.max_frame_size(max), part: None, max }
    }

    /// The next one, or how the socket ended. Nothing is lost when this is not waited for to its end.
    pub async fn next(&mut self) -> Result<Heard, Close> {
        loop {
            let heard = match self.frames.recv().await {
                Some(Err(ProtocolError::Overflow)) => return Err(Close::TOO_BIG),
                Some(Err(ProtocolError::Io(error))) if error.kind() == std::io::ErrorKind::InvalidData => {
                    return Err(Close::NO_TEXT);
                }
                None | Some(Err(ProtocolError::Io(_))) => return Err(Close::GONE),
                Some(Err(_)) => return Err(Close::BROKEN),
                Some(Ok(Message::Text(_))) if self.part.is_some() => return Err(Close::BROKEN),
                Some(Ok(Message::Text(text))) => Some(Heard::Text(text.into())),
                Some(Ok(Message::Binary(_))) => return Err(Close::BAD_MESSAGE),
                Some(Ok(Message::Continuation(item))) => self.take(item)?,
                Some(Ok(Message::Ping(bytes))) => Some(Heard::Ping(bytes)),
                Some(Ok(Message::Pong(_))) => Some(Heard::Pong),
                Some(Ok(Message::Close(_))) => return Err(Close::NORMAL),
                Some(Ok(Message::Nop)) => None,
            };
            if let Some(heard) = heard {
                return Ok(heard);
            }
        }
    }

    fn take(&mut self, item: Item) -> Result<Option<Heard>, Close> {
        let (bytes, is_last) = match item {
            Item::FirstBinary(_) => return Err(Close::BAD_MESSAGE),
            Item::FirstText(bytes) => {
                self.part = Some(BytesMut::new());
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        let part = self.part.as_mut().ok_or(Close::BROKEN)?;
        if part.len() + bytes.len() > self.max {
            return Err(Close::TOO_BIG);
        }
        part.extend_from_slice(&bytes);
        if !is_last {
            return Ok(None);
        }
        let whole = self.part.take().unwrap_or_default();
        String::from_utf8(whole.to_vec()).map(|text| Some(Heard::Text(text))).map_err(|_| Close::NO_TEXT)
    }

    /// Until the client has closed its side too: a connection that is shut over unread bytes is reset, and what was said
    /// last may be lost with it.
    pub async fn ended(&mut self) {
        while let Some(Ok(_)) = self.frames.recv().await {}
    }
}

/// The way to a client: what it does not take in time ends the socket, rather than piling up.
pub(super) struct Outgoing<S> {
    queue: S,
    patience: Duration,
}

impl<S: Unpin> Outgoing<S> {
    /// A queue, and how long it may stay full.
    pub fn new(queue: S, patience: Duration) -> Self {
        Self { queue, patience }
    }

    /// Sends a frame of a socket, or events of a stream.
    pub async fn send<T>(&mut self, item: T) -> Result<(), Close>
    where
        S: Sink<T>,
    {
        let patience = if seeded_bugs::on("slow_listener_kept") { Duration::MAX } else { self.patience };
        match timeout(patience, self.queue.send(item)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Close::GONE),
            Err(_) => Err(Close::TOO_SLOW),
        }
    }
}

impl<S: Sink<Message> + Unpin> Outgoing<S> {
    /// Says something.
    pub async fn tell(&mut self, told: &Told<'_>) -> Result<(), Close> {
        let text = serde_json::to_string(told).map_err(|_| Close::INTERNAL)?;
        self.send(Message::Text(text.into())).await
    }

    /// Says why it ends, to who still listens.
    pub async fn close(&mut self, close: &Close) {
        if *close != Close::GONE {
            // Nobody is left to tell that it could not be told.
            let _ = self.send(Message::Close(Some(CloseReason::from(close)))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use futures::channel::mpsc;

    use super::*;

    #[tokio::test]
    async fn c224_a_slow_client_is_dropped_with_a_reason() {
        let (queue, mut client) = mpsc::channel::<Message>(2);
        let mut outgoing = Outgoing::new(queue, Duration::from_millis(10));
        let mut sent = 0;
        let end = loop {
            match outgoing.tell(&Told::Pong).await {
                Ok(()) => sent += 1,
                Err(end) => break end,
            }
        };
        assert!(end == Close::TOO_SLOW && sent < 8, "{sent} wait and no more: {end:?}");
        // Who wakes up reads what waited, and then why it ended.
        let reading = async {
            let mut last = None;
            while let Some(message) = client.next().await {
                last = Some(message);
                if matches!(last, Some(Message::Close(_))) {
                    break;
                }
            }
            last
        };
        let ((), last) = tokio::join!(outgoing.close(&end), reading);
        assert_eq!(last, Some(Message::Close(Some(CloseReason::from(&Close::TOO_SLOW)))));
    }
}

//! One conversation, SMTP (RFC 5321) or LMTP (RFC 2033), parsed by smtp-proto.

use std::io;
use std::sync::Arc;

use carillon_domain::keys::NoLink;
use carillon_domain::messaging::{ReportAddress, receive_report, report_address};
use smtp_proto::request::receiver::RequestReceiver;
use smtp_proto::{
    EXT_8BIT_MIME, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EhloResponse, Error, MailFrom,
    Request,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shared;
use super::content::Content;

/// Commands that are no commands, and addresses that are none, before the connection is closed.
const PATIENCE: u32 = 20;
/// Recipients of one mail: a bounce has one.
const RECIPIENTS: usize = 10;

/// What the next octets are.
enum State {
    Command,
    Content(Box<Content>),
}

/// What a command leads to.
enum Next {
    GoOn,
    Close,
}

pub(super) struct Session {
    wire: TcpStream,
    shared: Arc<Shared>,
    state: State,
    /// The client is a mail server's last hop, which wants an answer for each recipient.
    is_lmtp: bool,
    greeted: bool,
    has_sender: bool,
    recipients: Vec<ReportAddress>,
    errors: u32,
    out: Vec<u8>,
}

impl Session {
    pub fn new(wire: TcpStream, shared: Arc<Shared>) -> Self {
        Self {
            wire,
            shared,
            state: State::Command,
            is_lmtp: false,
            greeted: false,
            has_sender: false,
            recipients: Vec::new(),
            errors: 0,
            out: Vec::new(),
        }
    }

    /// Talks until the client leaves or breaks a limit, or the process stops and no mail is under way.
    pub async fn run(mut self) -> io::Result<()> {
        self.wire.set_nodelay(true)?;
        let greeting = format!("220 {} ESMTP LMTP\r\n", self.shared.settings.name);
        self.say(greeting.as_bytes());
        self.flush().await?;
        let mut requests = RequestReceiver::default();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Some(read) = self.read(&mut buffer).await? else { return self.leave().await };
            if read == 0 {
                return Ok(());
            }
            let mut bytes = buffer[..read].iter();
            while !bytes.as_slice().is_empty() {
                if let Next::Close = self.step(&mut requests, &mut bytes).await? {
                    return self.flush().await;
                }
            }
            self.flush().await?;
        }
    }

    /// Reads what comes; none when the process stops between two mails.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let idle = matches!(self.state, State::Command) && self.recipients.is_empty();
        let (silence, stop) = (self.shared.settings.silence, self.shared.stop.clone());
        tokio::select! {
            () = stop.cancelled(), if idle => Ok(None),
            read = timeout(silence, self.wire.read(buffer)) => read.map_err(|_| io::ErrorKind::TimedOut)?.map(Some),
        }
    }

    async fn leave(&mut self) -> io::Result<()> {
        self.say(b"421 4.3.2 Closing\r\n");
        self.flush().await
    }

    /// Takes what it can from the octets at hand.
    async fn step(&mut self, requests: &mut RequestReceiver, bytes: &mut std::slice::Iter<'_, u8>) -> io::Result<Next> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => match requests.ingest(bytes) {
                Ok(request) => Ok(self.command(request.into_owned())),
                Err(Error::NeedsMoreData { .. }) => Ok(Next::GoOn),
                Err(Error::ResponseTooLong) => {
                    self.say(b"500 5.5.2 Line too long\r\n");
                    Ok(Next::Close)
                }
                Err(error) => Ok(self.complain(&error)),
            },
            State::Content(mut content) => {
                let ended = content.ingest(bytes);
                if content.seen() > self.shared.settings.max_size {
                    // Nobody who sends so much sends a report.
                    self.say(b"552 5.3.4 Message too large\r\n");
                    return Ok(Next::Close);
                }
                if ended {
                    self.content(*content).await;
                } else {
                    self.state = State::Content(content);
                }
                Ok(Next::GoOn)
            }
        }
    }

    fn command(&mut self, request: Request<String>) -> Next {
        match request {
            Request::Ehlo { .. } | Request::Helo { .. } => self.hello(false),
            Request::Lhlo { .. } => self.hello(true),
            Request::Mail { from } => self.mail(&from),
            Request::Rcpt { to } => return self.recipient(&to.address),
            Request::Data if self.recipients.is_empty() => self.say(b"554 5.5.1 No valid recipients\r\n"),
            Request::Data => {
                self.say(b"354 Go ahead\r\n");
                self.state = State::Content(Box::new(Content::new()));
            }
            Request::Rset => {
                self.forget();
                self.say(b"250 2.0.0 Forgotten\r\n");
            }
            Request::Noop { .. } => self.say(b"250 2.0.0 OK\r\n"),
            Request::Quit => {
                self.say(b"221 2.0.0 Bye\r\n");
                return Next::Close;
            }
            _ => return self.complain(&Error::UnknownCommand),
        }
        Next::GoOn
    }

    fn hello(&mut self, is_lmtp: bool) {
        let mut answer = EhloResponse::new(self.shared.settings.name.as_str());
        answer.capabilities = EXT_8BIT_MIME | EXT_ENHANCED_STATUS_CODES | EXT_PIPELINING | EXT_SIZE | EXT_SMTP_UTF8;
        answer.size = self.shared.settings.max_size;
        let _ = answer.write(&mut self.out);
        (self.is_lmtp, self.greeted) = (is_lmtp, true);
        self.forget();
    }

    fn mail(&mut self, from: &MailFrom<String>) {
        if !self.greeted || self.has_sender {
            self.say(b"503 5.5.1 Not now\r\n");
        } else if from.size > self.shared.settings.max_size {
            self.say(b"552 5.3.4 Message too large\r\n");
        } else {
            // Whoever it is: what is believed is signed in the address it is for (C-55).
            self.has_sender = true;
            self.say(b"250 2.1.0 OK\r\n");
        }
    }

    fn recipient(&mut self, address: &str) -> Next {
        if !self.has_sender {
            self.say(b"503 5.5.1 MAIL first\r\n");
            return Next::GoOn;
        }
        if self.recipients.len() >= RECIPIENTS {
            self.say(b"452 4.5.3 Too many recipients\r\n");
            return Next::GoOn;
        }
        match report_address(&self.shared.ports, address) {
            Ok(address) => {
                self.recipients.push(address);
                self.say(b"250 2.1.5 OK\r\n");
            }
            Err(NoLink::OtherKey(_)) => self.say(b"451 4.3.0 Not known here yet\r\n"),
            Err(NoLink::Unknown) => {
                self.errors += 1;
                self.say(b"550 5.1.1 No such mailbox\r\n");
            }
        }
        if self.errors > PATIENCE { Next::Close } else { Next::GoOn }
    }

    /// The final dot has come: it is answered when what it reports is committed. Taking a mail again changes nothing, so one
    /// recipient whose report is to come again has the whole mail come again.
    async fn content(&mut self, content: Content) {
        let raw = content.into_kept();
        let recipients = std::mem::take(&mut self.recipients);
        self.forget();
        let mut answers = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let taken = Box::pin(receive_report(&self.shared.ports, recipient, raw.clone())).await;
            if let Err(error) = &taken {
                tracing::warn!(%error, "a report is not taken yet");
            }
            answers.push(taken.is_ok());
        }
        if !self.is_lmtp {
            answers = vec![answers.iter().all(|taken| *taken)];
        }
        for taken in answers {
            self.say(if taken { b"250 2.0.0 Taken\r\n" } else { b"451 4.3.0 Not now, come again\r\n" });
        }
    }

    fn complain(&mut self, error: &Error) -> Next {
        self.errors += 1;
        self.say(match error {
            Error::UnknownCommand => b"500 5.5.1 Unknown command\r\n",
            Error::InvalidSenderAddress => b"501 5.1.7 Bad sender address\r\n",
            Error::InvalidRecipientAddress => b"501 5.1.3 Bad recipient address\r\n",
            _ => b"501 5.5.4 Syntax error\r\n",
        });
        if self.errors > PATIENCE { Next::Close } else { Next::GoOn }
    }

    fn forget(&mut self) {
        self.has_sender = false;
        self.recipients.clear();
    }

    fn say(&mut self, reply: &[u8]) {
        self.out.extend_from_slice(reply);
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            let silence = self.shared.settings.silence;
            timeout(silence, self.wire.write_all(&self.out)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            self.wire.flush().await?;
            self.out.clear();
        }
        Ok(())
    }
}

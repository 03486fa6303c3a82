//! One SMTP conversation of the catcher (RFC 5321), parsed by smtp-proto.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use smtp_proto::request::receiver::RequestReceiver;
use smtp_proto::{
    EXT_8BIT_MIME, EXT_AUTH, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS,
    EhloResponse, Error, MAIL_SMTPUTF8, MailFrom, Request,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use super::auth::{AuthAnswer, AuthStep};
use super::behaviour::{End, Moment};
use super::mailbox::Tally;
use super::transaction::{Content, Envelope, Flaw};

/// Commands that are no commands before the connection is closed.
const PATIENCE: u32 = 20;
/// Recipients of one mail (RFC 5321 s4.5.3.1.8).
const RECIPIENTS: usize = 100;
/// Octets of a line of AUTH.
const AUTH_LINE: usize = 1024;

/// How a conversation ended.
pub(super) enum SessionEnd<W> {
    Closed,
    /// STARTTLS was agreed on; the wire waits for the handshake.
    StartTls(W),
}

/// What the next octets are.
enum State {
    Command,
    Content(Box<Content>),
    Auth(AuthStep, Vec<u8>),
}

/// What a command leads to.
enum Next {
    GoOn,
    Close,
    StartTls,
}

pub(super) struct Session<W> {
    wire: W,
    shared: Arc<Shared>,
    secret: bool,
    state: State,
    envelope: Envelope,
    greeted: bool,
    authenticated: bool,
    errors: u32,
    out: Vec<u8>,
}

impl<W: AsyncRead + AsyncWrite + Unpin> Session<W> {
    /// `secret` is true when STARTTLS is not, or no longer, to be offered.
    pub fn new(wire: W, shared: Arc<Shared>, secret: bool) -> Self {
        let authenticated = shared.settings.auth.is_none();
        let (state, envelope) = (State::Command, Envelope::default());
        Self { wire, shared, secret, state, envelope, greeted: false, authenticated, errors: 0, out: Vec::new() }
    }

    /// Talks until the client leaves, breaks a limit, or wants TLS.
    pub async fn run(mut self, with_greeting: bool) -> io::Result<SessionEnd<W>> {
        if with_greeting {
            self.say(b"220 carillon-catcher ESMTP\r\n");
            self.flush().await?;
        }
        let mut requests = RequestReceiver::default();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let silence = self.shared.settings.silence;
            let read = timeout(silence, self.wire.read(&mut buffer)).await.map_err(|_| io::ErrorKind::TimedOut)??;
            if read == 0 {
                return Ok(SessionEnd::Closed);
            }
            let mut bytes = buffer[..read].iter();
            while !bytes.as_slice().is_empty() {
                match self.step(&mut requests, &mut bytes).await? {
                    Next::GoOn => {}
                    Next::Close => {
                        self.flush().await?;
                        return Ok(SessionEnd::Closed);
                    }
                    Next::StartTls => {
                        // What came behind STARTTLS in the clear is dropped with the connection's state (RFC 3207).
                        self.flush().await?;
                        return Ok(SessionEnd::StartTls(self.wire));
                    }
                }
            }
            self.flush().await?;
        }
    }

    /// Takes what it can from the octets at hand.
    async fn step(&mut self, requests: &mut RequestReceiver, bytes: &mut std::slice::Iter<'_, u8>) -> io::Result<Next> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Command => match requests.ingest(bytes) {
                Ok(request) => Ok(self.command(request.into_owned()).await?),
                Err(Error::NeedsMoreData { .. }) => Ok(Next::GoOn),
                Err(Error::ResponseTooLong) => {
                    self.say(b"500 5.5.2 Line too long\r\n");
                    Ok(Next::Close)
                }
                Err(error) => Ok(self.complain(&error)),
            },
            State::Content(mut content) => {
                if content.ingest(bytes) {
                    return self.content(*content).await;
                }
                if content.is_endless() {
                    self.say(Flaw::TooLarge.reply());
                    return Ok(Next::Close);
                }
                self.state = State::Content(content);
                Ok(Next::GoOn)
            }
            State::Auth(step, line) => Ok(self.auth_line(step, line, bytes)),
        }
    }

    async fn command(&mut self, request: Request<String>) -> io::Result<Next> {
        match request {
            Request::Ehlo { .. } | Request::Helo { .. } => self.hello(),
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { to } => return self.recipient(to.address).await,
            Request::Data if self.envelope.from.is_none() => self.say(b"503 5.5.1 MAIL first\r\n"),
            Request::Data if self.envelope.recipients.is_empty() => self.say(b"554 5.5.1 No valid recipients\r\n"),
            Request::Data => {
                self.say(b"354 Go ahead\r\n");
                let content = Content::new(std::mem::take(&mut self.envelope), self.shared.settings.max_size);
                self.state = State::Content(Box::new(content));
            }
            Request::Auth { mechanism, initial_response } => return Ok(self.auth(mechanism, &initial_response)),
            Request::StartTls if self.offers_tls() => {
                self.say(b"220 2.0.0 Ready for TLS\r\n");
                return Ok(Next::StartTls);
            }
            Request::Rset => {
                self.envelope = Envelope::default();
                self.say(b"250 2.0.0 Forgotten\r\n");
            }
            Request::Noop { .. } => self.say(b"250 2.0.0 OK\r\n"),
            Request::Quit => {
                self.say(b"221 2.0.0 Bye\r\n");
                return Ok(Next::Close);
            }
            _ => return Ok(self.complain(&Error::UnknownCommand)),
        }
        Ok(Next::GoOn)
    }

    fn hello(&mut self) {
        let settings = &self.shared.settings;
        let mut answer = EhloResponse::new("carillon-catcher");
        answer.capabilities = EXT_8BIT_MIME | EXT_ENHANCED_STATUS_CODES | EXT_SIZE;
        answer.size = settings.max_size;
        for (offered, extension) in [
            (settings.pipelining, EXT_PIPELINING),
            (settings.smtp_utf8, EXT_SMTP_UTF8),
            (settings.auth.is_some(), EXT_AUTH),
            (self.offers_tls(), EXT_START_TLS),
        ] {
            answer.capabilities |= if offered { extension } else { 0 };
        }
        answer.auth_mechanisms = settings.auth.as_ref().map_or(0, super::CatcherAuth::mechanisms);
        let _ = answer.write(&mut self.out);
        self.greeted = true;
        self.envelope = Envelope::default();
    }

    fn mail(&mut self, from: MailFrom<String>) {
        let utf8 = self.shared.settings.smtp_utf8;
        let reply: &[u8] = if !self.greeted || self.envelope.from.is_some() {
            b"503 5.5.1 Not now\r\n"
        } else if !self.authenticated {
            b"530 5.7.0 Authentication required\r\n"
        } else if from.size > self.shared.settings.max_size {
            b"552 5.3.4 Message too large\r\n"
        } else if from.flags & MAIL_SMTPUTF8 != 0 && !utf8 {
            b"555 5.5.4 SMTPUTF8 is not offered\r\n"
        } else if !from.address.is_ascii() && !utf8 {
            b"553 5.6.7 Address needs SMTPUTF8\r\n"
        } else {
            self.envelope = Envelope { from: Some(from.address), recipients: Vec::new() };
            b"250 2.1.0 OK\r\n"
        };
        self.say(reply);
    }

    async fn recipient(&mut self, address: String) -> io::Result<Next> {
        if self.envelope.from.is_none() {
            self.say(b"503 5.5.1 MAIL first\r\n");
        } else if self.envelope.recipients.len() >= RECIPIENTS {
            self.say(b"452 4.5.3 Too many recipients\r\n");
        } else if !address.is_ascii() && !self.shared.settings.smtp_utf8 {
            self.say(b"553 5.6.7 Address needs SMTPUTF8\r\n");
        } else {
            let verdict = self.shared.director.decide([address.as_str()], Moment::Recipient);
            self.wait(verdict.delay).await?;
            match verdict.end {
                End::Answer(code, text) => self.answer(code, &text),
                End::Take | End::Drop { .. } => {
                    self.envelope.recipients.push(address);
                    self.say(b"250 2.1.5 OK\r\n");
                }
            }
        }
        Ok(Next::GoOn)
    }

    /// The final dot has come.
    async fn content(&mut self, content: Content) -> io::Result<Next> {
        let ended = Instant::now();
        let (envelope, raw) = match content.finish() {
            Ok(mail) => mail,
            Err(flaw) => {
                self.say(flaw.reply());
                return Ok(Next::GoOn);
            }
        };
        let recipients = envelope.recipients.iter().map(String::as_str);
        let verdict = self.shared.director.decide(recipients, Moment::Content);
        self.wait(verdict.delay).await?;
        let mailbox = &self.shared.mailbox;
        match verdict.end {
            End::Take => {
                mailbox.store(envelope, raw, ended);
                self.say(b"250 2.0.0 Caught\r\n");
            }
            End::Answer(code, text) => self.answer(code, &text),
            End::Drop { stored } => {
                if stored {
                    mailbox.store(envelope, raw, ended);
                }
                mailbox.tally(Tally::Dropped { stored });
                return Ok(Next::Close);
            }
        }
        Ok(Next::GoOn)
    }

    fn auth(&mut self, mechanism: u64, initial: &str) -> Next {
        let answer = match &self.shared.settings.auth {
            Some(auth) if !self.authenticated => auth.begin(mechanism, initial),
            _ => {
                self.say(b"503 5.5.1 No authentication now\r\n");
                return Next::GoOn;
            }
        };
        self.auth_answer(answer)
    }

    fn auth_line(&mut self, step: AuthStep, mut line: Vec<u8>, bytes: &mut std::slice::Iter<'_, u8>) -> Next {
        let ended = bytes.by_ref().any(|&byte| {
            line.push(byte);
            byte == b'\n' || line.len() > AUTH_LINE
        });
        if line.len() > AUTH_LINE {
            self.say(b"500 5.5.6 Line too long\r\n");
            return Next::Close;
        }
        if !ended {
            self.state = State::Auth(step, line);
            return Next::GoOn;
        }
        let answer = self.shared.settings.auth.as_ref().map_or(AuthAnswer::Unknown, |auth| auth.proceed(step, &line));
        self.auth_answer(answer)
    }

    fn auth_answer(&mut self, answer: AuthAnswer) -> Next {
        match answer {
            AuthAnswer::Ask(question, step) => {
                self.say(question.as_bytes());
                self.state = State::Auth(step, Vec::new());
            }
            AuthAnswer::Accepted => {
                self.authenticated = true;
                self.say(b"235 2.7.0 Welcome\r\n");
            }
            AuthAnswer::Refused => {
                self.errors += 1;
                self.say(b"535 5.7.8 Wrong credentials\r\n");
            }
            AuthAnswer::Unknown => self.say(b"504 5.5.4 Unknown mechanism\r\n"),
        }
        if self.errors > PATIENCE { Next::Close } else { Next::GoOn }
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

    fn offers_tls(&self) -> bool {
        !self.secret && self.shared.settings.tls.is_some()
    }

    fn answer(&mut self, code: u16, text: &str) {
        self.shared.mailbox.tally(Tally::Answered(code));
        self.say(format!("{code} {text}\r\n").as_bytes());
    }

    fn say(&mut self, reply: &[u8]) {
        self.out.extend_from_slice(reply);
    }

    /// Answers given so far go out before a delay.
    async fn wait(&mut self, delay: Duration) -> io::Result<()> {
        if !delay.is_zero() {
            self.flush().await?;
            sleep(delay).await;
        }
        Ok(())
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

//! One SMTP conversation, driven step by step so that the outcome of a hand-over is known exactly (L7, C-62).
//!
//! Lines are parsed by smtp-proto where a grammar is worth it (the EHLO answer); the order of writes and reads is ours,
//! because it decides what `Unknown` means: from the first octet of the final dot until its reply is read, and never
//! outside.

use std::borrow::Cow;
use std::time::Duration;

use carillon_domain::messaging::reply_class::{Operator, Reply, SmtpStage};
use smtp_proto::{EXT_8BIT_MIME, EXT_DSN, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EhloResponse};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};

use super::outcome::{Capability, HandOver, Obstacle};
use super::pool::{Moment, Permit};
use super::prepared::PreparedEmail;
use super::reply::reply;
use super::tls::Wire;

/// Octets of one line of a reply, and of all its lines.
const LINE_MAX: u64 = 4096;
const REPLY_MAX: usize = 64 * 1024;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Name resolution, TCP and TLS.
    pub connect: Duration,
    /// A command until its reply.
    pub command: Duration,
    /// Writing the content.
    pub content: Duration,
    /// The final dot until its reply; less than ten minutes makes copies (C-62).
    pub final_dot: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            command: Duration::from_mins(2),
            content: Duration::from_mins(3),
            final_dot: Duration::from_mins(10),
        }
    }
}

/// An open connection to a relay.
pub(super) struct SmtpConnection {
    wire: BufReader<Box<dyn Wire>>,
    timeouts: Timeouts,
    /// What the server can do, from its last EHLO.
    pub(super) peer: EhloResponse<String>,
    /// Mails accepted over this connection.
    pub(super) accepted: u32,
    /// When the last hand-over ended.
    pub(super) used_at: Instant,
    /// False while the two sides may not agree on where they are; such a connection is never used again.
    pub(super) usable: bool,
    /// True while the server may hold an unfinished transaction.
    open: bool,
}

impl SmtpConnection {
    /// A connection over an established wire, before its greeting.
    pub(super) fn over(wire: Box<dyn Wire>, timeouts: Timeouts) -> Self {
        let peer = EhloResponse::new(String::new());
        let wire = BufReader::new(wire);
        Self { wire, timeouts, peer, accepted: 0, used_at: Instant::now(), usable: true, open: false }
    }

    /// The bare wire, for a TLS handshake; what the server sent ahead of it is an attack (RFC 3207 s5).
    pub(super) fn into_wire(self) -> Result<Box<dyn Wire>, Obstacle> {
        if self.wire.buffer().is_empty() { Ok(self.wire.into_inner()) } else { Err(Obstacle::Protocol) }
    }

    /// Sends a line and reads its reply.
    pub(super) async fn command(&mut self, stage: SmtpStage, line: &str) -> Result<Reply, Obstacle> {
        self.write(line.as_bytes(), self.timeouts.command).await?;
        self.reply(stage).await
    }

    /// EHLO, and what its answer offers.
    pub(super) async fn hello(&mut self, name: &str) -> Result<(), Obstacle> {
        self.write(format!("EHLO {name}\r\n").as_bytes(), self.timeouts.command).await?;
        let mut raw = Vec::new();
        let reply = self.reply_into(SmtpStage::Session, &mut raw).await?;
        if reply.code != 250 {
            return Err(Obstacle::Refused(reply));
        }
        self.peer = EhloResponse::parse(&mut raw.iter()).map_err(|_| Obstacle::Protocol)?;
        Ok(())
    }

    /// Hands one mail over.
    ///
    /// When the future is dropped before it ends, the connection stays unusable, and the mail counts as `Unknown`.
    pub(super) async fn hand_over(&mut self, mail: &PreparedEmail, permit: &impl Permit) -> HandOver {
        if let Some(lack) = self.lack(mail) {
            return HandOver::Incapable(lack);
        }
        self.usable = false;
        let outcome = match self.envelope(mail).await {
            Ok(None) => self.content(&mail.bytes, permit).await,
            Ok(Some(refusal)) => Ok(refused(refusal)),
            Err(obstacle) => Err(obstacle),
        };
        self.used_at = Instant::now();
        let mut outcome = outcome.unwrap_or_else(HandOver::NotHandedOver);
        if let HandOver::Deferred(reply) | HandOver::Rejected(reply) = &mut outcome {
            reply.operator = reply.operator.or_else(|| Operator::of_host(mail.to.domain()));
        }
        outcome
    }

    /// What this mail needs and the server has not.
    fn lack(&self, mail: &PreparedEmail) -> Option<Capability> {
        if mail.needs_smtputf8 && !self.offers(EXT_SMTP_UTF8) {
            return Some(Capability::SmtpUtf8);
        }
        let fits = !self.offers(EXT_SIZE) || self.peer.size == 0 || mail.bytes.len() <= self.peer.size;
        (!fits).then_some(Capability::Size)
    }

    pub(super) fn offers(&self, extension: u32) -> bool {
        self.peer.capabilities & extension != 0
    }

    /// MAIL, RCPT and DATA, in one write where the server allows it (RFC 2920); gives the first refusal.
    async fn envelope(&mut self, mail: &PreparedEmail) -> Result<Option<Reply>, Obstacle> {
        if self.open {
            match self.command(SmtpStage::Sender, "RSET\r\n").await? {
                reply if is_positive(&reply) => {}
                // The relay closes a connection that was idle (RFC 5321 s3.8).
                reply if reply.code == 421 => return Err(Obstacle::Disconnected),
                _ => return Err(Obstacle::Protocol),
            }
        }
        self.open = true;
        let commands = self.envelope_commands(mail);
        let pipelined = self.offers(EXT_PIPELINING);
        if pipelined {
            self.write(commands.concat().as_bytes(), self.timeouts.command).await?;
        }
        let mut refusal = None;
        for (stage, command) in [SmtpStage::Sender, SmtpStage::Recipient, SmtpStage::Data].into_iter().zip(&commands) {
            if !pipelined {
                self.write(command.as_bytes(), self.timeouts.command).await?;
            }
            let reply = match self.reply(stage).await {
                Ok(reply) => reply,
                Err(_) if refusal.is_some() => return Ok(refusal),
                Err(obstacle) => return Err(obstacle),
            };
            let goes_on = if stage == SmtpStage::Data { reply.code == 354 } else { is_positive(&reply) };
            match reply.code {
                // Content is awaited although the envelope was refused: only closing ends that without a dot.
                354 if goes_on && refusal.is_some() => return Ok(refusal),
                _ if goes_on => {}
                400..=599 => {
                    let closing = reply.code == 421;
                    refusal.get_or_insert(reply);
                    if closing {
                        return Ok(refusal);
                    }
                    if !pipelined {
                        break;
                    }
                }
                _ => return Err(Obstacle::Protocol),
            }
        }
        self.usable = refusal.is_some();
        Ok(refusal)
    }

    fn envelope_commands(&self, mail: &PreparedEmail) -> [String; 3] {
        let size = if self.offers(EXT_SIZE) { format!(" SIZE={}", mail.bytes.len()) } else { String::new() };
        let utf8 = match (mail.needs_smtputf8, self.offers(EXT_8BIT_MIME)) {
            (true, true) => " BODY=8BITMIME SMTPUTF8",
            (true, false) => " SMTPUTF8",
            (false, _) => "",
        };
        let (ret, notify) = report_parameters(mail, self.offers(EXT_DSN));
        [
            format!("MAIL FROM:<{}>{size}{utf8}{ret}\r\n", mail.envelope_from.as_str()),
            format!("RCPT TO:<{}>{notify}\r\n", mail.to.as_str()),
            "DATA\r\n".to_owned(),
        ]
    }

    /// The content, then the final dot, if the permit still holds by then (L3). An error means that the dot was not sent;
    /// without it only closing the connection ends the transaction.
    async fn content(&mut self, bytes: &[u8], permit: &impl Permit) -> Result<HandOver, Obstacle> {
        self.write(&stuffed(bytes), self.timeouts.content).await?;
        if let Err(why) = permit.ask(Moment::End) {
            return Ok(HandOver::Withheld(why));
        }
        let Ok(Ok(reply)) = timeout(self.timeouts.final_dot, self.final_dot()).await else {
            return Ok(HandOver::Unknown);
        };
        let outcome = match reply.code / 100 {
            2 => HandOver::Accepted(reply),
            4 | 5 => refused(reply),
            _ => return Ok(HandOver::Unknown),
        };
        self.open = false;
        self.usable = !matches!(&outcome, HandOver::Deferred(reply) if reply.code == 421);
        self.accepted += u32::from(matches!(outcome, HandOver::Accepted(_)));
        Ok(outcome)
    }

    async fn final_dot(&mut self) -> Result<Reply, Obstacle> {
        self.write(b".\r\n", self.timeouts.final_dot).await?;
        self.read(SmtpStage::Data, &mut Vec::new()).await
    }

    /// Says goodbye without waiting for the answer.
    pub(super) async fn quit(mut self) {
        let _ = self.write(b"QUIT\r\n", Duration::from_secs(1)).await;
    }

    async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Obstacle> {
        let wire = &mut self.wire;
        let write = async {
            wire.write_all(bytes).await?;
            wire.flush().await
        };
        timeout(limit, write).await.map_err(|_| Obstacle::Timeout)?.map_err(|_| Obstacle::Disconnected)
    }

    /// Reads a reply within the time for a command.
    pub(super) async fn reply(&mut self, stage: SmtpStage) -> Result<Reply, Obstacle> {
        self.reply_into(stage, &mut Vec::new()).await
    }

    async fn reply_into(&mut self, stage: SmtpStage, raw: &mut Vec<u8>) -> Result<Reply, Obstacle> {
        let limit = self.timeouts.command;
        timeout(limit, self.read(stage, raw)).await.map_err(|_| Obstacle::Timeout)?
    }

    /// Reads the lines of one reply; `raw` keeps them as they came.
    async fn read(&mut self, stage: SmtpStage, raw: &mut Vec<u8>) -> Result<Reply, Obstacle> {
        let mut text = String::new();
        loop {
            let begin = raw.len();
            let mut line = (&mut self.wire).take(LINE_MAX);
            line.read_until(b'\n', raw).await.map_err(|_| Obstacle::Disconnected)?;
            let line = match &raw[begin..] {
                [] => return Err(Obstacle::Disconnected),
                line if line.ends_with(b"\n") && raw.len() <= REPLY_MAX => line.trim_ascii_end(),
                _ => return Err(Obstacle::Protocol),
            };
            let (code, last) = match line {
                [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
                    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(**digit - b'0'));
                    (code, rest.first() != Some(&b'-'))
                }
                _ => return Err(Obstacle::Protocol),
            };
            text.push_str(&String::from_utf8_lossy(line.get(4..).unwrap_or_default()));
            if last {
                return Ok(reply(stage, code, &text));
            }
            text.push('\n');
        }
    }
}

/// True for 2xx.
pub(super) fn is_positive(reply: &Reply) -> bool {
    reply.code / 100 == 2
}

/// A 4xx or 5xx as an outcome.
fn refused(reply: Reply) -> HandOver {
    if reply.code / 100 == 4 { HandOver::Deferred(reply) } else { HandOver::Rejected(reply) }
}

/// An address as the value of a parameter (RFC 3461 s4); none for one beyond ASCII, which has a type of its own.
fn xtext(address: &str) -> Option<String> {
    address.is_ascii().then(|| address.replace('+', "+2B").replace('=', "+3D"))
}

/// Doubles a dot at the start of a line (RFC 5321 s4.5.2, C-22).
fn stuffed(bytes: &[u8]) -> Cow<'_, [u8]> {
    let begins_with_dot = |at: usize| bytes[at] == b'.' && (at == 0 || bytes[..at].ends_with(b"\r\n"));
    let dots: Vec<usize> = (0..bytes.len()).filter(|&at| begins_with_dot(at)).collect();
    if dots.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + dots.len());
    let mut from = 0;
    for at in dots {
        out.extend_from_slice(&bytes[from..at]);
        out.push(b'.');
        from = at;
    }
    out.extend_from_slice(&bytes[from..]);
    Cow::Owned(out)
}

/// What is to be reported, to a relay that reports at all (C-56): failures and delays, with the headers alone, of which attempt,
/// and to whom the mail was written, which may be another address by the time it fails.
pub(super) fn report_parameters(mail: &PreparedEmail, reports: bool) -> (String, String) {
    if !reports {
        return Default::default();
    }
    let original = xtext(mail.to.as_str()).map_or(String::new(), |to| format!(" ORCPT=rfc822;{to}"));
    let envelope = format!("{}.{}", mail.message, mail.attempt);
    (format!(" RET=HDRS ENVID={envelope}"), format!(" NOTIFY=FAILURE,DELAY{original}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c056_an_address_in_a_parameter_holds_nothing_that_ends_it() {
        assert_eq!(xtext("ada+x=y@example.org").as_deref(), Some("ada+2Bx+3Dy@example.org"));
        assert_eq!(xtext("\u{e4}da@example.org"), None);
    }

    #[test]
    fn c022_dots_at_line_starts_are_doubled_and_no_others() {
        let cases: [(&[u8], &[u8]); 5] = [
            (b"a.b\r\n", b"a.b\r\n"),
            (b".\r\n", b"..\r\n"),
            (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
            (b"a\r\n..\r\n", b"a\r\n...\r\n"),
            (b"", b""),
        ];
        for (plain, on_wire) in cases {
            assert_eq!(stuffed(plain).as_ref(), on_wire);
        }
    }
}

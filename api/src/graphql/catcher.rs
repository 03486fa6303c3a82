//! The mail catcher over GraphQL; embedded mode only, where nothing leaves the machine and nobody has to sign in.

#![expect(clippy::unused_async, reason = "resolvers are async, whatever they do")]

use std::sync::Arc;

use async_graphql::connection::{Connection, Edge};
use async_graphql::{Context, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use carillon_domain::error::{Error, Refusal};
use mail_parser::{Message, MessageParser};

use super::connection::{Cursor, List, PageArgs};
use super::error::{UserError, user_errors};
use crate::catcher::{Action, CatcherTotals, MailCatcher, Rule, Whom};

/// What a request's data holds: the catcher, where there is one.
pub type CatcherPort = Option<Arc<dyn MailCatcher>>;

/// The most rules of a behaviour.
const RULES_MAX: usize = 100;
/// The longest delay of a rule.
const DELAY_MAX: i32 = 60_000;

fn catcher<'a>(ctx: &'a Context<'_>) -> Result<&'a Arc<dyn MailCatcher>> {
    let port = ctx.data_opt::<CatcherPort>().and_then(Option::as_ref);
    let none = || Error::from(Refusal::new("NO_CATCHER", "", "This deployment has no mail catcher."));
    port.ok_or_else(|| none().into())
}

fn has_catcher(ctx: &Context<'_>) -> bool {
    ctx.data_opt::<CatcherPort>().is_none_or(Option::is_some)
}

/// Queries of the mail catcher.
#[derive(Debug, Default)]
pub struct CatcherQuery;

#[Object]
impl CatcherQuery {
    /// Mails that the built-in catcher got, newest first. Embedded mode only.
    #[graphql(visible = "has_catcher")]
    async fn caught_mails(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to start.")] after: Option<String>,
        #[graphql(desc = "Only mail to this address.")] to: Option<String>,
    ) -> Result<List<CaughtMail>> {
        let catcher = catcher(ctx)?;
        let page = PageArgs::forward(first, after).page::<u64>()?;
        let size = usize::try_from(page.size).unwrap_or(0);
        let mut mails = catcher.latest(page.cursor, to.as_deref(), size + 1);
        let more = mails.len() > size;
        mails.truncate(size);
        let mut list = Connection::new(page.cursor.is_some(), more);
        list.edges.extend(mails.into_iter().map(|mail| Edge::new(Cursor::at(&mail.seq), CaughtMail(mail))));
        Ok(list)
    }

    /// What the built-in catcher counted since it was started. Embedded mode only.
    #[graphql(visible = "has_catcher")]
    async fn caught_mail_totals(&self, ctx: &Context<'_>) -> Result<CaughtMailTotals> {
        Ok(catcher(ctx)?.totals().into())
    }
}

/// A mail as it arrived at the catcher.
#[derive(Debug)]
pub struct CaughtMail(pub crate::catcher::CaughtMail);

impl CaughtMail {
    /// Everything about it that has to be parsed; nothing of it can fail, an odd mail has less.
    pub fn parsed(&self) -> Option<Message<'_>> {
        MessageParser::default().parse(&self.0.raw[..])
    }
}

/// A mail that the built-in catcher got. Embedded mode only.
#[Object]
impl CaughtMail {
    /// Number of arrival, from 1.
    async fn id(&self) -> ID {
        self.0.seq.into()
    }

    /// Envelope sender.
    async fn envelope_from(&self) -> &str {
        &self.0.envelope_from
    }

    /// Envelope recipients.
    async fn recipients(&self) -> &[String] {
        &self.0.recipients
    }

    /// Message-ID without brackets.
    async fn message_id(&self) -> Option<&str> {
        self.0.message_id.as_deref()
    }

    /// Decoded subject.
    async fn subject(&self) -> Option<String> {
        self.parsed()?.subject().map(str::to_owned)
    }

    /// Values of a header field as they stand in the mail, unfolded.
    async fn header(&self, #[graphql(desc = "Its name.")] name: String) -> Vec<String> {
        let Some(mail) = self.parsed() else { return Vec::new() };
        let wanted = mail.headers_raw().filter(|(field, _)| field.eq_ignore_ascii_case(&name));
        wanted.map(|(_, value)| unfolded(value)).collect()
    }

    /// The decoded text part.
    async fn text(&self) -> Option<String> {
        self.parsed()?.body_text(0).map(std::borrow::Cow::into_owned)
    }

    /// The decoded html part.
    async fn html(&self) -> Option<String> {
        self.parsed()?.body_html(0).map(std::borrow::Cow::into_owned)
    }

    /// The mail as it came over the wire; octets that are no UTF-8 are replaced.
    async fn raw(&self) -> String {
        String::from_utf8_lossy(&self.0.raw).into_owned()
    }
}

/// A header value on one line.
pub fn unfolded(value: &str) -> String {
    value.replace(['\r', '\n'], "").replace('\t', " ").trim().to_owned()
}

/// What the catcher counted.
#[derive(Debug, SimpleObject)]
pub struct CaughtMailTotals {
    /// Mails stored.
    stored: u64,
    /// Of these, copies of a mail that the same recipient already had.
    repeated: u64,
    /// Answers "later" that rules gave.
    deferred: u64,
    /// Answers "no" that rules gave.
    rejected: u64,
    /// Connections closed after the final dot, the mail stored.
    dropped_stored: u64,
    /// Connections closed after the final dot, the mail thrown away.
    dropped_lost: u64,
}

impl From<CatcherTotals> for CaughtMailTotals {
    fn from(totals: CatcherTotals) -> Self {
        let CatcherTotals { stored, repeated, deferred, rejected, dropped_stored, dropped_lost } = totals;
        Self { stored, repeated, deferred, rejected, dropped_stored, dropped_lost }
    }
}

/// Mutations of the mail catcher.
#[derive(Debug, Default)]
pub struct CatcherMutation;

#[Object]
impl CatcherMutation {
    /// Tells the built-in catcher how to answer from now on. Embedded mode only.
    #[graphql(visible = "has_catcher")]
    async fn catcher_behave(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The rules.")] input: CatcherBehaveInput,
    ) -> Result<CatcherBehavePayload> {
        let catcher = catcher(ctx)?;
        let user_errors = match input.parse() {
            Ok(rules) => {
                catcher.behave(rules);
                Vec::new()
            }
            Err(refusal) => user_errors([refusal]),
        };
        Ok(CatcherBehavePayload { user_errors })
    }
}

/// The answer of `catcherBehave`.
#[derive(Debug, SimpleObject)]
pub struct CatcherBehavePayload {
    /// Why it was refused.
    user_errors: Vec<UserError>,
}

/// How the catcher answers.
#[derive(Debug, InputObject)]
pub struct CatcherBehaveInput {
    /// At most 100 rules, asked in order: delays add up, the first other action decides. Without a match the mail is
    /// taken.
    rules: Vec<CatcherRuleInput>,
}

/// What happens to whom.
#[derive(Debug, InputObject)]
pub struct CatcherRuleInput {
    /// Whose mail.
    whom: CatcherWhomInput,
    /// Only the first so many attempts of each recipient; always if nothing is said.
    first: Option<u32>,
    /// What happens.
    action: CatcherActionInput,
}

/// Recipients.
#[derive(Debug, OneofObject)]
pub enum CatcherWhomInput {
    /// True for all of them.
    Everyone(bool),
    /// One address.
    Address(String),
    /// A stable share of all addresses.
    Share(CatcherShareInput),
}

/// A stable share of all addresses.
#[derive(Debug, InputObject)]
pub struct CatcherShareInput {
    /// Number of shares.
    of: u32,
    /// Which share, from 0.
    is: u32,
}

/// What the catcher does.
#[derive(Debug, OneofObject)]
pub enum CatcherActionInput {
    /// True to answer RCPT with `451 4.7.1`.
    Defer(bool),
    /// True to answer RCPT with `550 5.1.1`.
    Reject(bool),
    /// Another answer.
    Answer(CatcherAnswerInput),
    /// Closes the connection after the final dot without a word.
    Drop(CatcherDropInput),
    /// Waits before the answer.
    Delay(CatcherDelayInput),
}

/// A moment of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CatcherMoment {
    /// RCPT TO.
    Recipient,
    /// The final dot.
    Content,
}

/// An answer.
#[derive(Debug, InputObject)]
pub struct CatcherAnswerInput {
    /// When.
    at: CatcherMoment,
    /// 400 to 599.
    code: i32,
    /// Enhanced code and text.
    text: String,
}

/// Closing the connection after the final dot.
#[derive(Debug, InputObject)]
pub struct CatcherDropInput {
    /// Whether the mail is kept all the same.
    stored: bool,
}

/// A delay.
#[derive(Debug, InputObject)]
pub struct CatcherDelayInput {
    /// When.
    at: CatcherMoment,
    /// How long, at most a minute.
    millis: i32,
}

impl CatcherBehaveInput {
    fn parse(self) -> Result<Vec<Rule>, Refusal> {
        if self.rules.len() > RULES_MAX {
            return Err(Refusal::new("TOO_MANY_RULES", "rules", format!("At most {RULES_MAX} rules.")));
        }
        self.rules.into_iter().enumerate().map(|(place, rule)| rule.parse(place)).collect()
    }
}

impl CatcherRuleInput {
    fn parse(self, place: usize) -> Result<Rule, Refusal> {
        let whom = match self.whom {
            CatcherWhomInput::Everyone(true) => Whom::Everyone,
            CatcherWhomInput::Everyone(false) => Whom::Share { of: 0, is: 0 },
            CatcherWhomInput::Address(address) => Whom::Address(address),
            CatcherWhomInput::Share(share) => Whom::Share { of: share.of.into(), is: share.is.into() },
        };
        let refuse = |field, why| Refusal::new("BAD_RULE", format!("rules.{place}.action.{field}"), why);
        let content = |at| at == CatcherMoment::Content;
        let action = match self.action {
            CatcherActionInput::Defer(true) => Action::Defer,
            CatcherActionInput::Reject(true) => Action::Reject,
            CatcherActionInput::Defer(false) | CatcherActionInput::Reject(false) => {
                return Err(refuse("defer", "Say true, or leave the rule out."));
            }
            CatcherActionInput::Answer(answer) => {
                let code = u16::try_from(answer.code).ok().filter(|code| (400..600).contains(code));
                let code = code.ok_or_else(|| refuse("answer.code", "A code from 400 to 599."))?;
                Action::Answer { after_content: content(answer.at), code, text: answer.text }
            }
            CatcherActionInput::Drop(drop) => Action::Drop { stored: drop.stored },
            CatcherActionInput::Delay(delay) => {
                let millis = Some(delay.millis).filter(|millis| (0..=DELAY_MAX).contains(millis));
                let millis = millis.ok_or_else(|| refuse("delay.millis", "At most a minute."))?;
                Action::Delay { after_content: content(delay.at), millis: u64::try_from(millis).unwrap_or(0) }
            }
        };
        Ok(Rule { whom, first: self.first, action })
    }
}

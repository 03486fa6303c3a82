//! DKIM as a receiver checks it: with the key from the record that the API said to publish.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, DkimResult, Error, MessageAuthenticator, Parameters, ResolverCache, Txt};
use serde::Deserialize;

use super::mailbox::Mail;

/// A TXT record to publish.
#[derive(Debug, Clone, Deserialize)]
pub struct DnsRecord {
    /// Its name.
    pub name: String,
    /// Its text.
    pub value: String,
}

/// A name server that knows these records and nothing else; nobody outside this machine is asked.
struct Published(HashMap<Box<str>, Txt>);

impl Published {
    fn new<'a>(records: impl Iterator<Item = &'a DnsRecord>) -> Result<Self> {
        let read = |record: &DnsRecord| {
            let key = DomainKey::parse(record.value.as_bytes()).map_err(|_| anyhow!("{} holds no key", record.name))?;
            Ok((format!("{}.", record.name).into(), Txt::DomainKey(Arc::new(key))))
        };
        records.map(read).collect::<Result<_>>().map(Self)
    }
}

impl ResolverCache<Box<str>, Txt> for Published {
    fn get<Q: Hash + Eq + ?Sized>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        Some(self.0.get(name).cloned().unwrap_or(Txt::Error(Error::InvalidRecordType)))
    }

    fn remove<Q: Hash + Eq + ?Sized>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// How many mails have no signature that holds under the published keys and covers the one-click fields (C-02).
pub async fn broken(mails: &[Mail], records: impl Iterator<Item = &DnsRecord>) -> Result<usize> {
    let published = Published::new(records)?;
    let authenticator = MessageAuthenticator::new_google().map_err(|_| anyhow!("no verifier"))?;
    let mut broken = 0;
    for mail in mails {
        let message = AuthenticatedMessage::parse(mail.raw.as_bytes()).context("a mail that cannot be parsed")?;
        let checked = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&published)).await;
        let holds = checked.iter().any(|output| {
            let covers = |field: &str| {
                output.signature().is_some_and(|signature| signature.h.iter().any(|h| h.eq_ignore_ascii_case(field)))
            };
            *output.result() == DkimResult::Pass && covers("List-Unsubscribe") && covers("List-Unsubscribe-Post")
        });
        broken += usize::from(!holds);
    }
    Ok(broken)
}

#[cfg(test)]
mod tests {
    use carillon_domain::messaging::NewDkimKey;

    use super::*;

    #[tokio::test]
    async fn c002_a_mail_without_a_good_signature_is_counted() {
        let raw = "From: a@b.example\r\nList-Unsubscribe: <https://b.example/u/t>\r\n\
                   DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=b.example; s=c1; h=From:List-Unsubscribe;\
                   \r\n bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AAAA\r\n\r\nhello\r\n";
        let mail = |raw: &str| Mail { raw: raw.to_owned(), ..Mail::default() };
        let key = NewDkimKey::generate_rsa_2048().unwrap();
        let record = DnsRecord { name: "c1._domainkey.b.example".into(), value: key.txt_record };
        let mails = [mail(raw), mail("From: a@b.example\r\n\r\nunsigned\r\n")];
        assert_eq!(broken(&mails, [&record].into_iter()).await.unwrap(), 2);
        assert_eq!(broken(&mails, std::iter::empty()).await.unwrap(), 2, "nobody is asked for a key we do not have");
    }
}

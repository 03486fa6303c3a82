//! DKIM as a receiver checks it: with the key from the record that the API said to publish.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Signature;
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

/// What is wrong with mails' signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signatures {
    /// Mails without a signature of their sender's own domain that holds under the published keys and covers the
    /// one-click fields (C-02).
    pub broken: usize,
    /// Mails that are signed for another domain than their sender's: with somebody else's key.
    pub foreign: usize,
}

/// Looks at the signatures of mails.
pub async fn look(mails: &[Mail], records: impl Iterator<Item = &DnsRecord>) -> Result<Signatures> {
    let published = Published::new(records)?;
    let authenticator = MessageAuthenticator::new_google().map_err(|_| anyhow!("no verifier"))?;
    let mut seen = Signatures::default();
    for mail in mails {
        let message = AuthenticatedMessage::parse(mail.raw.as_bytes()).context("a mail that cannot be parsed")?;
        let checked = authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&published)).await;
        let (_, domain) = mail.from.split_once('@').unwrap_or_default();
        let signed = || checked.iter().filter_map(|output| Some((output.result(), output.signature()?)));
        let is_own = |signature: &Signature| signature.d.eq_ignore_ascii_case(domain);
        let holds = signed().any(|(result, signature)| {
            let covers = |field: &str| signature.h.iter().any(|h| h.eq_ignore_ascii_case(field));
            let is_covered = covers("List-Unsubscribe") && covers("List-Unsubscribe-Post");
            *result == DkimResult::Pass && is_own(signature) && is_covered
        });
        seen.broken += usize::from(!holds);
        seen.foreign += usize::from(signed().any(|(_, signature)| !is_own(signature)));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use carillon_domain::messaging::NewDkimKey;
    use mail_auth::common::crypto::{RsaKey, Sha256};
    use mail_auth::common::headers::HeaderWriter as _;
    use mail_auth::dkim::DkimSigner;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    #[tokio::test]
    async fn c002_a_mail_without_a_good_signature_is_counted() {
        let raw = "From: a@b.example\r\nList-Unsubscribe: <https://b.example/u/t>\r\n\
                   DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=b.example; s=c1; h=From:List-Unsubscribe;\
                   \r\n bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AAAA\r\n\r\nhello\r\n";
        let mail = |raw: &str| Mail { from: "a@b.example".into(), raw: raw.to_owned(), ..Mail::default() };
        let key = NewDkimKey::generate_rsa_2048().unwrap();
        let record = DnsRecord { name: "c1._domainkey.b.example".into(), value: key.txt_record };
        let mails = [mail(raw), mail("From: a@b.example\r\n\r\nunsigned\r\n")];
        let two_broken = Signatures { broken: 2, foreign: 0 };
        assert_eq!(look(&mails, [&record].into_iter()).await.unwrap(), two_broken);
        assert_eq!(look(&mails, std::iter::empty()).await.unwrap(), two_broken, "nobody else is asked for a key");
    }

    #[tokio::test]
    async fn c002_a_mail_signed_with_another_tenants_key_is_counted() {
        let key = NewDkimKey::generate_rsa_2048().unwrap();
        let mail = |from: &str, fields: &[&str]| {
            let raw = format!(
                "From: {from}\r\nList-Unsubscribe: <https://b.example/u/t>\r\n\
                 List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nhello\r\n"
            );
            let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&key.private_key_der[..]));
            let signer = DkimSigner::from_key(RsaKey::<Sha256>::from_key_der(der).unwrap());
            let signer = signer.domain("b.example").selector("c1").headers(fields.iter().copied());
            let signature = signer.sign(raw.as_bytes()).unwrap().to_header();
            Mail { from: from.to_owned(), raw: format!("{signature}{raw}"), ..Mail::default() }
        };
        let record = DnsRecord { name: "c1._domainkey.b.example".into(), value: key.txt_record.clone() };
        let fields = ["From", "List-Unsubscribe", "List-Unsubscribe-Post"];
        for (from, fields, broken, foreign) in [
            ("a@b.example", &fields[..], 0, 0),
            ("a@b.example", &fields[..2], 1, 0),
            ("a@other.example", &fields[..], 1, 1),
        ] {
            let seen = look(&[mail(from, fields)], [&record].into_iter()).await.unwrap();
            assert_eq!(seen, Signatures { broken, foreign }, "{from} {fields:?}");
        }
    }
}

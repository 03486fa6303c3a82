//! Brands and topics: under which name people are written to, and about what they are asked.
//!
//! Every tenant has one default brand, and every brand a reserved topic that stands for all its marketing; both are
//! made with the tenant. Names reach people and headers, so they hold no control characters (C-19).

use std::collections::BTreeSet;

use carillon_entities::ids::{BrandId, TopicId};
use carillon_entities::wall::TenantTx;

use super::ConsentTopic;
use super::store::topics;
use crate::error::{Refusal, Result};
use crate::messaging::MessageClass;
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{AdministerTenant, Deed, Grant, ReadTenant, record};
use crate::time::Timestamp;

/// Under which name a tenant writes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Brand {
    /// Its id.
    pub id: BrandId,
    /// The name people see.
    pub name: String,
    /// True for the one brand made with the tenant.
    pub is_default: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What people agree to be written to about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Whose topic it is.
    pub brand: BrandId,
    /// Stable name for programs, unique in the brand.
    pub key: String,
    /// The name people see.
    pub name: String,
    /// What messages about it are for.
    pub purpose: MessageClass,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Topic {
    /// The key of the reserved topic of every brand.
    pub const ALL_MARKETING: &'static str = "all_marketing";

    /// True for the reserved topic.
    pub fn is_all_marketing(&self) -> bool {
        self.key == Self::ALL_MARKETING
    }
}

/// A name shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// Characters a name may have.
    pub const MAX: usize = 100;

    /// Parses a name; surrounding white space goes.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let refuse = |message: &str| Err(Refusal::new("INVALID_NAME", field, message));
        let text = text.trim();
        if text.is_empty() {
            return refuse("A name is needed.");
        }
        if text.chars().count() > Self::MAX {
            return refuse("A name has at most 100 characters.");
        }
        // C-19: the name goes into List-ID's neighbourhood, From and Subject of test mails.
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return refuse("A name has no line breaks or control characters.");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A topic's stable name for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicKey(String);

impl TopicKey {
    /// Parses a key: a lower-case letter, then lower-case letters, digits, `_` and `-`; at most 64.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let follows = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        let is_key = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && text.bytes().all(follows);
        if !is_key || text.len() > 64 {
            let message = "A key is a lower-case letter followed by at most 63 of a-z, 0-9, _ and -.";
            return Err(Refusal::new("INVALID_KEY", field, message));
        }
        if text == Topic::ALL_MARKETING {
            return Err(Refusal::new("RESERVED_KEY", field, "This key stands for all marketing of the brand."));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What `create_topic` needs.
#[derive(Debug, Clone)]
pub struct CreateTopic {
    /// Whose topic it will be.
    pub brand: BrandId,
    /// Its stable name.
    pub key: TopicKey,
    /// The name people see.
    pub name: DisplayName,
    /// What messages about it are for.
    pub purpose: MessageClass,
}

/// Makes the default brand of a new tenant, with the topic that stands for all its marketing.
pub async fn seed_tenant(tx: &mut TenantTx, ports: &Ports, name: &str) -> Result<(Brand, Topic)> {
    let name = DisplayName::parse("name", name)?;
    brand_with_topic(tx, ports, name, true).await
}

/// Makes another brand, with the topic that stands for all its marketing.
pub async fn create_brand(
    grant: &Grant<AdministerTenant>,
    tx: &mut TenantTx,
    ports: &Ports,
    name: DisplayName,
) -> Result<Brand> {
    let (brand, _) = brand_with_topic(tx, ports, name, false).await?;
    record(tx, ports, grant.actor(), Deed::new("brand.create", brand.id.0)).await?;
    Ok(brand)
}

/// Makes a topic.
pub async fn create_topic(
    grant: &Grant<AdministerTenant>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: CreateTopic,
) -> Result<Topic> {
    if topics::brand_find(tx, command.brand).await?.is_none() {
        return Err(Refusal::not_found("brandId").into());
    }
    let topic = Topic {
        id: ports.new_id(),
        brand: command.brand,
        key: command.key.0,
        name: command.name.0,
        purpose: command.purpose,
        created_at: ports.now(),
    };
    if !topics::topic_insert(tx, &topic).await? {
        return Err(Refusal::new("TAKEN", "key", "The brand has a topic of this key.").into());
    }
    record(tx, ports, grant.actor(), Deed::new("topic.create", topic.id.0)).await?;
    Ok(topic)
}

/// A page of the brands, in the order they were made.
pub async fn list_brands(_grant: &Grant<ReadTenant>, tx: &mut TenantTx, page: &Page<BrandId>) -> Result<Paged<Brand>> {
    Ok(topics::brands_page(tx, page).await?)
}

/// Brands by id, in no order; what does not exist is left out.
pub async fn find_brands(_grant: &Grant<ReadTenant>, tx: &mut TenantTx, ids: &[BrandId]) -> Result<Vec<Brand>> {
    Ok(topics::brands_of(tx, ids).await?)
}

/// A page of the topics, in the order they were made; the reserved ones too.
pub async fn list_topics(_grant: &Grant<ReadTenant>, tx: &mut TenantTx, page: &Page<TopicId>) -> Result<Paged<Topic>> {
    Ok(topics::topics_page(tx, page).await?)
}

/// Topics by id, in no order; what does not exist is left out.
pub async fn find_topics(_grant: &Grant<ReadTenant>, tx: &mut TenantTx, ids: &[TopicId]) -> Result<Vec<Topic>> {
    Ok(topics::topics_of(tx, ids).await?)
}

/// What a consent about a topic is about; none if there is no such topic.
pub async fn consent_topic(tx: &mut TenantTx, id: TopicId) -> Result<Option<ConsentTopic>> {
    Ok(consent_topics(tx, &BTreeSet::from([id])).await?.pop())
}

/// The same for many topics, in two statements; what is not there is left out.
pub(crate) async fn consent_topics(tx: &mut TenantTx, ids: &BTreeSet<TopicId>) -> Result<Vec<ConsentTopic>> {
    let ids: Vec<TopicId> = ids.iter().copied().collect();
    let found = topics::topics_of(tx, &ids).await?;
    let (mut reserved, rest): (Vec<&Topic>, Vec<&Topic>) = found.iter().partition(|topic| topic.is_all_marketing());
    let brands: BTreeSet<BrandId> = rest.iter().map(|topic| topic.brand).collect();
    let above = if brands.is_empty() { Vec::new() } else { topics::all_marketing_of(tx, &brands).await? };
    reserved.extend(&above);
    let all_marketing = |brand| reserved.iter().find(|topic| topic.brand == brand).map(|topic| topic.id);
    let topic = |topic: &Topic| {
        let all_marketing = if topic.is_all_marketing() { Some(topic.id) } else { all_marketing(topic.brand) };
        ConsentTopic { brand: topic.brand, topic: topic.id, all_marketing }
    };
    Ok(found.iter().map(topic).collect())
}

/// All marketing of a brand; of the default brand where none is named or it is gone.
pub async fn all_marketing(tx: &mut TenantTx, brand: Option<BrandId>) -> Result<Option<ConsentTopic>> {
    let mut topic = None;
    if let Some(brand) = brand {
        topic = topics::topic_by_key(tx, brand, Topic::ALL_MARKETING).await?;
    }
    if topic.is_none()
        && let Some(brand) = topics::brand_default(tx).await?
    {
        topic = topics::topic_by_key(tx, brand.id, Topic::ALL_MARKETING).await?;
    }
    Ok(topic.map(|topic| ConsentTopic { brand: topic.brand, topic: topic.id, all_marketing: Some(topic.id) }))
}

async fn brand_with_topic(
    tx: &mut TenantTx,
    ports: &Ports,
    name: DisplayName,
    is_default: bool,
) -> Result<(Brand, Topic)> {
    let brand = Brand { id: ports.new_id(), name: name.0, is_default, created_at: ports.now() };
    let topic = Topic {
        id: ports.new_id(),
        brand: brand.id,
        key: Topic::ALL_MARKETING.to_owned(),
        name: "All marketing".to_owned(),
        purpose: MessageClass::Marketing,
        created_at: ports.now(),
    };
    topics::brand_insert(tx, &brand).await?;
    topics::topic_insert(tx, &topic).await?;
    Ok((brand, topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c019_names_break_no_header() {
        for name in ["x\r\nBcc: a@b", "x\u{2028}y", "x\0", "  ", "", &"x".repeat(101)] {
            assert_eq!(DisplayName::parse("name", name).unwrap_err().field, "name");
        }
        assert_eq!(DisplayName::parse("name", " Grüße & News ").unwrap().0, "Grüße & News");
    }

    #[test]
    fn keys_are_for_programs_and_one_is_reserved() {
        for key in ["", "News", "1st", "a b", "-a", "ü", &"a".repeat(65)] {
            assert_eq!(TopicKey::parse("key", key).unwrap_err().code, "INVALID_KEY");
        }
        assert_eq!(TopicKey::parse("key", "all_marketing").unwrap_err().code, "RESERVED_KEY");
        assert!(TopicKey::parse("key", "weekly-news_2").is_ok());
    }
}

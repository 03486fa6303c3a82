//! Contacts for tests: a tenant with its default brand and a topic, files, and imports run to their end.

use std::sync::Arc;

use bytes::Bytes;
use carillon_domain::consent::{
    Basis, Channel, ConsentAction, ConsentEvent, ConsentFacts, ContactFact, Decision, FactsRequest, GateFacts,
    NewConsentEvent, Recipient, SenderFact, TenantFact, append, consent_topic, decide, endpoints_lock_for_send,
    list_consents, list_ledgers, load_facts, seed_tenant,
};
use carillon_domain::contacts::import::{
    Import, ImportClaim, ImportOptions, Progress, StartImport, claim_imports, get_import, read_head, run_slice,
    start_import,
};
use carillon_domain::contacts::{
    Contact, ContactFields, ContactFilter, ContactPatch, CreateContact, EmailAddress, Patch, Shown, create_contact,
    get_contacts, list_contacts,
};
use carillon_domain::error::{Error, Result};
use carillon_domain::files::{CreateUpload, Files, Part, Upload, create_upload, receive};
use carillon_domain::messaging::MessageClass;
use carillon_domain::paging::{Ahead, Page};
use carillon_domain::ports::Ports;
use carillon_domain::tenancy::{Actor, Grant, ImportContacts, ReadConsent, ReadContacts, RecordConsent, WriteContacts};
use carillon_domain::time::Timestamp;
use carillon_entities::ids::{BrandId, ContactId, ImportId, TenantId, TopicId, UploadId};
use carillon_entities::rows::consent::topics;
use carillon_entities::rows::contacts::contacts;
use carillon_entities::wall::TenantTx;
use chrono::TimeDelta;
use sea_orm::ActiveValue::Set;

use crate::World;

/// A tenant with people in it.
#[derive(Debug)]
pub struct People {
    /// The world.
    pub world: Arc<World>,
    /// The tenant.
    pub tenant: TenantId,
    /// Its default brand.
    pub brand: BrandId,
    /// The topic that stands for all marketing.
    pub all_marketing: TopicId,
    /// Where its files are.
    pub files: Files,
}

impl People {
    /// A tenant in a new world.
    pub async fn new() -> Self {
        Self::within(Arc::new(World::new().await)).await
    }

    /// A tenant in a world.
    pub async fn within(world: Arc<World>) -> Self {
        let tenant = world.tenant("Tenant").await;
        let grant = world.grant::<WriteContacts>(tenant);
        let mut tx = grant.begin().await.expect("begins");
        let (brand, topic) = seed_tenant(&mut tx, world.ports(), "Brand").await.expect("seeded");
        tx.commit().await.expect("commits");
        let files = world.files().clone();
        Self { world, tenant, brand: brand.id, all_marketing: topic.id, files }
    }

    /// What is known of the consent of an address, as codes.
    pub async fn statuses(&self, address: &str) -> Vec<String> {
        let grant = self.world.grant::<ReadConsent>(self.tenant);
        let mut tx = grant.begin_read().await.expect("begins");
        let views = list_consents(&grant, &mut tx, &[self.recipient(address)]).await.expect("reads");
        tx.commit().await.expect("commits");
        views.iter().flatten().map(|view| view.status.to_string()).collect()
    }

    /// Whoever reads mail at an address.
    pub fn recipient(&self, address: &str) -> Recipient {
        let email = EmailAddress::parse(address).expect("valid");
        Recipient::of_email(&self.world.ports().keys, self.tenant, &email)
    }

    /// The ledger of an address.
    pub async fn ledger(&self, address: &str) -> Vec<ConsentEvent> {
        let grant = self.world.grant::<ReadConsent>(self.tenant);
        let mut tx = grant.begin_read().await.expect("begins");
        let page = Ahead { after: None, size: 100 };
        let mut pages = list_ledgers(&grant, &mut tx, &[self.recipient(address)], page).await.expect("reads");
        tx.commit().await.expect("commits");
        pages.remove(0).items
    }

    /// A person says something about all marketing themselves, at an address.
    pub async fn says(&self, address: &str, action: ConsentAction) {
        self.says_about(address, self.all_marketing, action).await;
    }

    /// A marketing topic of the default brand.
    pub async fn topic(&self, key: &str) -> TopicId {
        let id: TopicId = self.world.ports().new_id();
        let mut tx = self.writes().begin().await.expect("begins");
        tx.insert(topics::ActiveModel {
            id: Set(id),
            brand_id: Set(self.brand),
            key: Set(key.to_owned()),
            name: Set(key.to_owned()),
            purpose: Set(MessageClass::Marketing.as_str().to_owned()),
            created_at: Set(self.world.ports().now()),
            ..Default::default()
        })
        .await
        .expect("inserted");
        tx.commit().await.expect("commits");
        id
    }

    /// A person says something about a topic themselves, at an address.
    pub async fn says_about(&self, address: &str, topic: TopicId, action: ConsentAction) {
        let ports = self.world.ports();
        let mut tx = self.records().begin().await.expect("begins");
        let topic = consent_topic(&mut tx, topic).await.expect("reads").expect("is there");
        let mut new = NewConsentEvent::new(self.recipient(address), topic, action, ports.now(), Actor::Recipient);
        new.basis = if action == ConsentAction::Grant { Basis::Consent } else { Basis::Unknown };
        append(&mut tx, ports, vec![new]).await.expect("appends");
        tx.commit().await.expect("commits");
    }

    /// What the gate says to marketing that only consent could stop.
    pub async fn decides(&self, address: &str) -> Decision {
        let (now, recipient) = (self.world.ports().now(), self.recipient(address));
        let mut tx = self.records().begin().await.expect("begins");
        let topic = consent_topic(&mut tx, self.all_marketing).await.expect("reads");
        endpoints_lock_for_send(&mut tx, recipient.keys()).await.expect("locks");
        let facts = load_facts(&mut tx, &[FactsRequest { recipient, topic }]).await.expect("loads").remove(0);
        decide(&gate_facts(now, MessageClass::Marketing, self.all_marketing, facts))
    }

    /// Permission to write contacts.
    pub fn writes(&self) -> Grant<WriteContacts> {
        self.world.grant(self.tenant)
    }

    /// Permission to read contacts.
    pub fn reads(&self) -> Grant<ReadContacts> {
        self.world.grant(self.tenant)
    }

    /// Permission to import.
    pub fn imports(&self) -> Grant<ImportContacts> {
        self.world.grant(self.tenant)
    }

    /// Permission to record consent.
    pub fn records(&self) -> Grant<RecordConsent> {
        self.world.grant(self.tenant)
    }

    /// Creates a contact.
    pub async fn create(&self, fields: ContactFields) -> Result<Contact> {
        let grant = self.writes();
        let mut tx = grant.begin().await?;
        let contact = create_contact(&grant, &mut tx, self.world.ports(), CreateContact { fields }).await?;
        tx.commit().await?;
        Ok(contact)
    }

    /// The contacts that pass a filter.
    pub async fn list(&self, filter: ContactFilter) -> Vec<Contact> {
        let grant = self.reads();
        let mut tx = grant.begin_read().await.expect("begins");
        let page = list_contacts(&grant, &mut tx, filter, Page::first(100), Shown::Few).await.expect("lists");
        let ids: Vec<_> = page.items.iter().map(|card| card.id).collect();
        let mut contacts = get_contacts(&grant, &mut tx, &ids).await.expect("reads");
        tx.commit().await.expect("commits");
        contacts.sort_by_key(|contact| contact.id);
        contacts
    }

    /// Puts a file, whole.
    pub async fn upload(&self, content: impl Into<Bytes>) -> Upload {
        let (content, ports, grant) = (content.into(), self.world.ports(), self.imports());
        let command = CreateUpload::parse("people.csv", i64::try_from(content.len()).expect("small"), 1 << 30);
        let mut tx = grant.begin().await.expect("begins");
        let upload = create_upload(&grant, &mut tx, ports, command.expect("valid")).await.expect("created");
        tx.commit().await.expect("commits");
        let body = futures::stream::iter([Ok::<_, std::io::Error>(content)]);
        let part = Part { offset: 0, length: None, total: None };
        receive(&grant, (ports, &self.files), upload.id, part, body).await.expect("received");
        upload
    }

    /// Starts an import of a file.
    pub async fn start(&self, content: impl Into<Bytes>, options: ImportOptions) -> Result<Import> {
        let upload = self.upload(content).await;
        self.start_upload(upload.id, options).await
    }

    /// Starts an import of a file that was put.
    pub async fn start_upload(&self, upload: UploadId, options: ImportOptions) -> Result<Import> {
        let (ports, grant, records) = (self.world.ports(), self.imports(), self.records());
        let head = read_head(&grant, (ports, &self.files), upload, options.delimiter).await?;
        let mut tx = grant.begin().await?;
        let import =
            start_import((&grant, Some(&records)), &mut tx, ports, StartImport { upload, options }, head).await?;
        tx.commit().await?;
        Ok(import)
    }

    /// Claims what is due.
    pub async fn claim(&self) -> Option<ImportClaim> {
        let grant = self.imports();
        let mut tx = grant.begin().await.expect("begins");
        let claims = claim_imports(&grant, &mut tx, self.world.ports(), 1).await.expect("claims");
        tx.commit().await.expect("commits");
        claims.into_iter().next()
    }

    /// True while there are imports of which none is due.
    pub async fn import_is_resting(&self) -> bool {
        let due = carillon_domain::dispatch::due_imports(self.world.ports()).await.expect("looks");
        due.is_empty()
    }

    /// Goes on with a claimed import.
    pub async fn slice(&self, claim: ImportClaim) -> Result<Progress> {
        let until = self.world.ports().now() + TimeDelta::hours(1);
        run_slice(&self.imports(), (self.world.ports(), &self.files), claim, until).await
    }

    /// The import as it is.
    pub async fn import(&self, id: ImportId) -> Import {
        let grant = self.imports();
        let mut tx = grant.begin_read().await.expect("begins");
        let import = get_import(&grant, &mut tx, id).await.expect("reads").expect("is there");
        tx.commit().await.expect("commits");
        import
    }

    /// Imports a file from start to end.
    pub async fn run(&self, content: impl Into<Bytes>, options: ImportOptions) -> Result<Import> {
        let import = self.start(content, options).await?;
        let claim = self.claim().await.ok_or_else(|| Error::fault("nothing is due"))?;
        self.slice(claim).await?;
        Ok(self.import(import.id).await)
    }
}

/// Fields with an address.
pub fn email(address: &str) -> ContactFields {
    let patch = ContactPatch { email: Patch::Set(EmailAddress::parse(address).expect("valid")), ..Default::default() };
    ContactFields { patch, ..Default::default() }
}

/// The codes a use case refused with.
pub fn codes<T: std::fmt::Debug>(result: Result<T>) -> Vec<&'static str> {
    match result {
        Err(Error::Refused(refusals)) => refusals.iter().map(|refusal| refusal.code).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

/// What the gate knows of a message that only consent could stop.
pub fn gate_facts(now: Timestamp, class: MessageClass, topic: TopicId, facts: ConsentFacts) -> GateFacts {
    GateFacts {
        now,
        expires_at: None,
        class,
        channel: Channel::Email,
        topic: Some(topic),
        contact: ContactFact::Active,
        address_is_current: true,
        way: None,
        campaign: None,
        topic_consent: facts.topic_consent,
        all_marketing_consent: facts.all_marketing_consent,
        suppressions: facts.suppressions,
        hard_bounced: facts.hard_bounced,
        sender: SenderFact { verified: true, can_sign: true },
        tenant: TenantFact { suspended: false, paused: false, quota_used_up: None },
        test: None,
        sink_allowed: None,
    }
}

/// The row of a living contact, and nothing that comes with it.
pub async fn living(tx: &mut TenantTx, ports: &Ports, email: &str, first_name: Option<&str>) -> ContactId {
    let address = EmailAddress::parse(email).expect("an address");
    let (id, now): (ContactId, _) = (ports.new_id(), ports.now());
    let row = contacts::ActiveModel {
        id: Set(id),
        state: Set("active".to_owned()),
        email: Set(Some(address.as_sent().to_owned())),
        email_norm: Set(Some(address.norm().to_owned())),
        first_name: Set(first_name.map(str::to_owned)),
        attributes: Set(serde_json::json!({})),
        version: Set(1),
        created_at: Set(now),
        updated_at: Set(now),
        ..Default::default()
    };
    tx.insert(row).await.expect("inserts");
    id
}

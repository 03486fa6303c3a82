//! What tests of imports begin with and look at.

use std::sync::Arc;

use carillon_domain::consent::Basis;
use carillon_domain::contacts::import::{Import, ImportConsent, ImportOptions, list_import_errors};
use carillon_domain::paging::Ahead;
use carillon_domain::settings::Settings;
use carillon_tests::people::People;
use carillon_tests::{World, WorldOptions};

/// People whose imports write so many rows at a time.
pub async fn in_batches_of(rows: usize) -> People {
    under(Settings { import_batch: rows, ..Settings::new("https://carillon.test") }).await
}

/// People under settings of their own.
pub async fn under(settings: Settings) -> People {
    People::within(Arc::new(World::with(WorldOptions { settings, ..Default::default() }).await)).await
}

/// Options under which whoever is subscribed may be written to.
pub fn consented(people: &People) -> ImportOptions {
    let consent = ImportConsent::parse(Basis::Consent, Some("fair"), Some(people.world.ports().now()), "I have them");
    ImportOptions { topic: Some(people.all_marketing), consent: consent.ok(), ..Default::default() }
}

/// The errors of an import, each with line, field and code.
pub async fn errors(people: &People, import: &Import) -> Vec<String> {
    let grant = people.imports();
    let mut tx = grant.begin_read().await.unwrap();
    let page = Ahead { after: None, size: 100 };
    let mut pages = list_import_errors(&grant, &mut tx, &[import.id], page).await.unwrap();
    tx.commit().await.unwrap();
    let items = pages.remove(&import.id).map_or(Vec::new(), |page| page.items);
    items.iter().map(|error| format!("{} {} {}", error.line, error.field, error.code)).collect()
}

use crate::error::Result;
use crate::ports::Ports;
use carillon_entities::ids::ContactEventId;
use carillon_entities::wall::TenantTx;
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
pub fn choose_locale(_: Option<&str>, _: &str, available: &[&str]) -> Option<usize> {
    (!available.is_empty()).then_some(0)
}
pub async fn properties_of_events(
    _: &mut TenantTx,
    _: &Ports,
    _: &[ContactEventId],
) -> Result<HashMap<ContactEventId, Map<String, Json>>> {
    Ok(HashMap::new())
}

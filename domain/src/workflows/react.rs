//! What events and changes mean for people in workflows, in the transaction in which they happen.

use carillon_entities::ids::{ContactEventId, ContactId, EnrollmentId, EventDefinitionId};
use carillon_entities::wall::TenantTx;
use serde_json::{Map, Value as Json};

use crate::error::Result;
use crate::ports::Ports;
use crate::time::Timestamp;

/// Something a contact did, as it was just stored.
#[derive(Debug, Clone)]
pub struct Occurred {
    /// The stored event.
    pub id: ContactEventId,
    /// Who.
    pub contact: ContactId,
    /// What.
    pub event: EventDefinitionId,
    /// When, as its source says; never later than now.
    pub at: Timestamp,
    /// Its properties.
    pub properties: Map<String, Json>,
}

/// Starts people on the workflows that listen to these events, and ends the ways whose goal or exit they are. Statements
/// do not grow with the number of events, nor with workflows that do not listen.
pub async fn react_to_events(tx: &mut TenantTx, ports: &Ports, events: &[Occurred]) -> Result<()> {
    let _ = (tx, ports, events);
    Ok(())
}

/// Ends the ways of these contacts whose goal or exit condition their change made true. To be called after the change is
/// written, with the contacts it really changed (A3.7).
pub async fn react_to_contacts(tx: &mut TenantTx, ports: &Ports, contacts: &[ContactId]) -> Result<()> {
    let _ = (tx, ports, contacts);
    Ok(())
}

/// Wakes the ways that wait for what their person does with a mail, now that a person opened it or clicked in it: what
/// exactly, [`crate::messaging::engagement`] tells. Machines never call this (C-81).
pub async fn react_to_engagement(tx: &mut TenantTx, ports: &Ports, enrollments: &[EnrollmentId]) -> Result<()> {
    let _ = (tx, ports, enrollments);
    Ok(())
}

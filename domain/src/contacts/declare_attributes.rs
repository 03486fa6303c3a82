//! Declaring attributes: nothing is stored under a name the tenant has not declared.

use carillon_entities::wall::TenantTx;

use super::store::attributes::{definitions_insert, definitions_load};
use super::{AttributeDefinition, AttributeKind, AttributeName, MAX_ATTRIBUTES};
use crate::error::{Error, Refusal, Result};
use crate::ports::Ports;
use crate::tenancy::{Grant, WriteContacts};

/// One attribute to declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclareAttribute {
    /// Its name.
    pub name: AttributeName,
    /// Its kind.
    pub kind: AttributeKind,
}

/// Declares attributes; one that is declared with the same kind already is a success. Returns them in order.
///
/// # Errors
/// `ATTRIBUTE_KIND` when a name has another kind, `TOO_MANY_ATTRIBUTES` beyond [`MAX_ATTRIBUTES`].
pub async fn declare_attributes(
    _grant: &Grant<WriteContacts>,
    tx: &mut TenantTx,
    ports: &Ports,
    wanted: Vec<DeclareAttribute>,
) -> Result<Vec<AttributeDefinition>> {
    declare(tx, ports, wanted).await
}

pub(super) async fn declare(
    tx: &mut TenantTx,
    ports: &Ports,
    wanted: Vec<DeclareAttribute>,
) -> Result<Vec<AttributeDefinition>> {
    let there = definitions_load(tx).await?;
    let mut new: Vec<AttributeDefinition> = Vec::new();
    let mut answer = Vec::with_capacity(wanted.len());
    let mut refusals = Vec::new();
    for (i, DeclareAttribute { name, kind }) in wanted.into_iter().enumerate() {
        let known = there.get(name.as_str()).or_else(|| new.iter().find(|one| one.name == name)).cloned();
        match known {
            Some(known) if known.kind == kind => answer.push(known),
            Some(known) => {
                let message = format!("The attribute is declared as {} already.", known.kind.as_str());
                refusals.push(Refusal::new("ATTRIBUTE_KIND", format!("attributes.{i}.kind"), message));
            }
            None => {
                let definition = AttributeDefinition { id: ports.new_id(), name, kind };
                new.push(definition.clone());
                answer.push(definition);
            }
        }
    }
    if there.len() + new.len() > MAX_ATTRIBUTES {
        let message = format!("A tenant has at most {MAX_ATTRIBUTES} attributes.");
        refusals.push(Refusal::new("TOO_MANY_ATTRIBUTES", "attributes", message));
    }
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    definitions_insert(tx, &new, ports.now()).await?;
    Ok(answer)
}

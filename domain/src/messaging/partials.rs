//! Partials: pieces of html and text that templates include by name.
//!
//! A version has its partials in it from the moment it is published, so changing one changes nothing that is out.

use carillon_entities::ids::PartialId;
use carillon_entities::wall::{TenantTx, WallError};

use super::store;
use super::template::{TemplateProblem, validate_partial};
use super::templates::NAME_MAX;
use crate::contacts::one_line;
use crate::error::{Error, Refusal, Result};
use crate::paging::{Page, Paged};
use crate::ports::Ports;
use crate::tenancy::{Grant, PublishTemplates, ReadMessages};
use crate::time::Timestamp;

/// Partials of one tenant.
pub const PARTIALS_MAX: i64 = 1_000;

/// A piece that templates include.
#[derive(Debug, Clone)]
pub struct Partial {
    /// Its id.
    pub id: PartialId,
    /// Unique in the tenant; what templates include it by.
    pub name: String,
    /// What it is in an html part: html, or MJML for templates in MJML.
    pub html: String,
    /// What it is in a text part.
    pub text: String,
    /// Counts changes; a change must name the version it saw.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A partial to make.
#[derive(Debug, Clone)]
pub struct CreatePartial {
    /// Its name.
    pub name: String,
    /// For html parts.
    pub html: String,
    /// For text parts.
    pub text: String,
}

/// What a partial is to become.
#[derive(Debug, Clone)]
pub struct UpdatePartial {
    /// Which.
    pub id: PartialId,
    /// The version the caller saw.
    pub version: i64,
    /// For html parts, if it is to change.
    pub html: Option<String>,
    /// For text parts, if it is to change.
    pub text: Option<String>,
}

/// Makes a partial.
///
/// # Errors
/// `BAD_NAME`, `PARTIAL_EXISTS`, `TOO_MANY_PARTIALS` beyond [`PARTIALS_MAX`], and what is wrong with its parts.
pub async fn create_partial(
    _: &Grant<PublishTemplates>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: CreatePartial,
) -> Result<Partial> {
    let name = one_line(&command.name, NAME_MAX).map_err(|why| Refusal::new("BAD_NAME", "name", why.to_string()))?;
    // It stands between quotation marks in templates.
    if name.contains(['"', '\'', '\\']) {
        return Err(Refusal::new("BAD_NAME", "name", "The name has no quotation marks and no backslash.").into());
    }
    checked(&command.html, &command.text)?;
    if store::partials_count(tx).await? >= PARTIALS_MAX {
        let message = format!("There are {PARTIALS_MAX} partials already.");
        return Err(Refusal::new("TOO_MANY_PARTIALS", "name", message).into());
    }
    let now = ports.now();
    let CreatePartial { html, text, .. } = command;
    let partial = Partial { id: ports.new_id(), name, html, text, version: 1, created_at: now, updated_at: now };
    match store::partial_insert(tx, &partial).await {
        Err(Error::Wall(WallError::Conflict { .. })) => {
            Err(Refusal::new("PARTIAL_EXISTS", "name", "There is a partial with this name.").into())
        }
        result => result.map(|()| partial),
    }
}

/// Changes a partial for versions that are yet to be published.
///
/// # Errors
/// `NOT_FOUND`, `CONFLICT` when somebody changed it meanwhile, and what is wrong with its parts.
pub async fn update_partial(
    _: &Grant<PublishTemplates>,
    tx: &mut TenantTx,
    ports: &Ports,
    command: UpdatePartial,
) -> Result<Partial> {
    let mut partial = store::partial_find(tx, command.id).await?.ok_or_else(|| Refusal::not_found("id"))?;
    let conflict = |current: i64| {
        Refusal::new("CONFLICT", "version", format!("The partial has changed: it is at version {current}."))
    };
    if partial.version != command.version {
        return Err(conflict(partial.version).into());
    }
    partial.html = command.html.unwrap_or(partial.html);
    partial.text = command.text.unwrap_or(partial.text);
    checked(&partial.html, &partial.text)?;
    (partial.version, partial.updated_at) = (partial.version + 1, ports.now());
    if store::partial_update(tx, &partial, command.version).await? == 0 {
        return Err(conflict(partial.version).into());
    }
    Ok(partial)
}

fn checked(html: &str, text: &str) -> Result<()> {
    let refused = |problems: Vec<TemplateProblem>| Error::Refused(problems.into_iter().map(Refusal::from).collect());
    validate_partial(html, text).map_err(refused)
}

/// A page of partials, oldest first.
pub async fn partials(_: &Grant<ReadMessages>, tx: &mut TenantTx, page: &Page<PartialId>) -> Result<Paged<Partial>> {
    store::partials_list(tx, page).await
}

/// Partials by id, in no order; unknown ids are left out.
pub async fn find_partials(
    _: &Grant<ReadMessages>,
    tx: &mut TenantTx,
    ids: impl IntoIterator<Item = PartialId>,
) -> Result<Vec<Partial>> {
    store::partials_find(tx, ids).await
}

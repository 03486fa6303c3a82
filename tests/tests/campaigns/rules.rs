//! Approval, lists in use, and who may do what.

use std::cell::Cell;

use carillon_domain::campaigns::{self, Audience, CampaignDraft, CampaignRules};
use carillon_domain::ids::CampaignId;
use carillon_domain::tenancy::{ApproveCampaigns, PublishCampaigns, Role, WriteContacts};
use carillon_tests::access::code;
use carillon_tests::post::member;

use super::setup::Stand;

async fn rule(stand: &Stand, approve_above: Option<i64>, four_eyes: bool) {
    let grant = stand.admin.grant::<ApproveCampaigns>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let rules = CampaignRules { approve_above, four_eyes };
    campaigns::set_campaign_rules(&grant, &mut tx, stand.ports(), rules).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn c202_what_the_rules_name_waits_for_somebody_who_may_approve_it() {
    let stand = Stand::new().await;
    stand.people(3).await;
    rule(&stand, Some(2), false).await;
    let id = stand.started(stand.to_all("Large")).await;
    stand.drain().await;
    assert_eq!((stand.state(id).await, stand.told(id).await.as_str()), ("awaiting_approval", "waiting 3"));
    assert!(stand.approve(&stand.marketer, id).await.is_err(), "a marketer approves nothing");
    assert_eq!(code(stand.pause(id).await), "CAMPAIGN_STATE");
    stand.approve(&stand.admin, id).await.unwrap();
    stand.finish().await;
    assert_eq!((stand.state(id).await, stand.told(id).await.as_str()), ("completed", "sent 3"));
    rule(&stand, Some(3), false).await;
    let id = stand.started(stand.to_all("Small")).await;
    stand.finish().await;
    assert_eq!(stand.state(id).await, "completed");
}

/// Without rules of its own a tenant's first large campaign waits, and the next does not.
#[tokio::test]
async fn c202_the_first_large_campaign_waits() {
    let stand = Stand::new().await;
    stand.people(1).await;
    let small = stand.started(stand.to_all("Small")).await;
    stand.finish().await;
    assert_eq!(stand.state(small).await, "completed", "one is not many");
    let id = large(&stand, "First").await;
    assert_eq!(stand.state(id).await, "awaiting_approval");
    stand.approve(&stand.admin, id).await.unwrap();
    stand.finish().await;
    assert_eq!(stand.state(id).await, "completed");
    let id = large(&stand, "Next").await;
    assert_eq!(stand.state(id).await, "running");
    stand.finish().await;
}

/// A campaign to many, of whom all but one are refused.
async fn large(stand: &Stand, name: &str) -> CampaignId {
    let many = "INSERT INTO campaign_recipients (tenant_id, campaign_id, contact_id, state, release_at)";
    let id = stand.started(stand.to_all(name)).await;
    stand.visit().await;
    let filled = if stand.wall().is_postgres() {
        format!(
            "{many} SELECT tenant_id, id, gen_random_uuid(), 'refused', now() FROM campaigns, generate_series(1, 50001) \
             WHERE name = '{name}'"
        )
    } else {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50001) \
             {many} SELECT tenant_id, id, randomblob(16), 'refused', created_at FROM campaigns, n WHERE name = '{name}'"
        )
    };
    stand.execute(&filled).await;
    stand.visit().await;
    id
}

#[tokio::test]
async fn four_eyes_are_those_of_another() {
    let stand = Stand::new().await;
    stand.people(1).await;
    rule(&stand, Some(0), true).await;
    let own = stand.admin.clone();
    let grant = own.grant().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let draft = campaigns::create_campaign(&grant, &mut tx, stand.ports(), stand.to_all("Own")).await.unwrap();
    tx.commit().await.unwrap();
    let id = stand.try_start(&draft).await.unwrap().campaign.id;
    stand.drain().await;
    assert_eq!(code(stand.approve(&own, id).await), "FOUR_EYES");
    let other = member(&stand, stand.tenant, Role::Admin).await;
    stand.approve(&other, id).await.unwrap();
    stand.finish().await;
    assert_eq!(stand.state(id).await, "completed");
}

#[tokio::test]
async fn a_list_that_a_campaign_has_yet_to_ask_stays() {
    let stand = Stand::new().await;
    let people = stand.people(2).await;
    let list = stand.list("Some", &people[..1]).await;
    let audience = Audience { lists: vec![list], ..Audience::default() };
    let id = stand.started(CampaignDraft { audience, ..stand.to_all("Listed") }).await;
    let grant = stand.marketer.grant::<WriteContacts>().unwrap();
    let delete = async || {
        let mut tx = grant.begin().await?;
        campaigns::delete_list(&grant, &mut tx, (list, 1)).await?;
        tx.commit().await.map_err(carillon_domain::error::Error::from)
    };
    assert_eq!(code(delete().await), "LIST_IN_USE");
    stand.finish().await;
    assert_eq!(stand.told(id).await, "sent 1");
    delete().await.unwrap();
    assert_eq!(code(delete().await), "NOT_FOUND");
    assert_eq!(stand.number("SELECT COUNT(*) AS amount FROM list_members").await, 0);
}

/// Nobody is written to because the list that kept them out is gone.
#[tokio::test]
async fn a_campaign_does_not_start_without_a_list_that_it_names() {
    let stand = Stand::new().await;
    let people = stand.people(2).await;
    let (some, but) = (stand.list("Some", &people).await, stand.list("But", &people[..1]).await);
    let audience = Audience { lists: vec![some], excluded: vec![but], ..Audience::default() };
    let draft = stand.draft(CampaignDraft { audience, ..stand.to_all("Listed") }).await.unwrap();
    let grant = stand.marketer.grant::<WriteContacts>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    campaigns::delete_list(&grant, &mut tx, (but, 1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(code(stand.try_start(&draft).await), "NOT_FOUND");
    assert_eq!(stand.state(draft.id).await, "draft");
}

/// Whoever deletes a list waits for a campaign that is being started, and is told so then.
#[tokio::test]
async fn a_list_stays_for_a_campaign_that_is_being_started() {
    let stand = Stand::new().await;
    let people = stand.people(1).await;
    let list = stand.list("Some", &people).await;
    let audience = Audience { lists: vec![list], ..Audience::default() };
    let draft = stand.draft(CampaignDraft { audience, ..stand.to_all("Listed") }).await.unwrap();
    let starts = stand.marketer.grant::<PublishCampaigns>().unwrap();
    let mut first = starts.begin().await.unwrap();
    campaigns::start_campaign(&starts, &mut first, stand.ports(), (draft.id, draft.version)).await.unwrap();
    let is_over = Cell::new(false);
    let deletion = async {
        let grant = stand.marketer.grant::<WriteContacts>().unwrap();
        let mut tx = grant.begin().await?;
        let deleted = campaigns::delete_list(&grant, &mut tx, (list, 1)).await;
        is_over.set(true);
        deleted
    };
    let ends = async {
        stand.until_waiting(|| is_over.get()).await;
        first.commit().await.unwrap();
    };
    let deleted = Box::pin(async { futures::future::join(deletion, ends).await.0 }).await;
    assert_eq!(code(deleted), "LIST_IN_USE");
    stand.finish().await;
    assert_eq!(stand.told(draft.id).await, "sent 1");
}

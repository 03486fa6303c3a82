//! Variants on a sample, and the rest.

use carillon_domain::campaigns::{CampaignDraft, CampaignVariant};
use carillon_domain::ids::CampaignId;
use carillon_tests::access::code;

use super::setup::Stand;

async fn tried(stand: &Stand, people: usize, sample_bp: Option<u32>) -> CampaignId {
    stand.people(people).await;
    let other = stand.another_template("Another").await;
    let variant = |label: &str, template| CampaignVariant { label: label.to_owned(), template, weight_bp: 5_000 };
    let variants = vec![variant("a", stand.template), variant("b", other)];
    stand.started(CampaignDraft { variants, sample_bp, ..stand.to_all("Tried") }).await
}

/// Within the bounds that a hash keeps: four standard deviations.
fn near(amount: i64, of: i64, share_bp: i64) -> bool {
    let expected = of * share_bp / 10_000;
    (amount - expected).pow(2) <= 16 * of * share_bp * (10_000 - share_bp) / 100_000_000 + 1
}

#[tokio::test]
async fn c183_a_sample_is_tried_and_the_rest_waits_for_a_choice() {
    let stand = Stand::new().await;
    let id = tried(&stand, 120, Some(4_000)).await;
    stand.finish().await;
    let counts = stand.counts(id).await;
    let (resting, sent) = (counts.all.of("resting".parse().unwrap()), counts.all.of("sent".parse().unwrap()));
    assert_eq!((resting + sent, stand.state(id).await), (120, "running"), "it is not over");
    assert!(near(sent, 120, 4_000), "{sent} of 120");
    let labels: Vec<_> = counts.variants.iter().map(|one| one.variant.as_deref()).collect();
    assert_eq!(labels, [None, Some("a"), Some("b")]);
    assert!(near(counts.variants[1].recipients(), sent, 5_000));

    assert_eq!(code(stand.choose(id, "c").await), "NOT_FOUND");
    stand.choose(id, "b").await.unwrap();
    assert_eq!(code(stand.choose(id, "a").await), "VARIANT_CHOSEN");
    stand.choose(id, "b").await.unwrap();
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 120", "completed"));
    let after = stand.counts(id).await;
    assert_eq!(after.variants[0].recipients(), counts.variants[1].recipients(), "nobody changed variants");
    let subjects = stand.number("SELECT COUNT(*) AS amount FROM messages WHERE variant = 'b'").await;
    assert_eq!(subjects, after.variants[1].recipients());
}

#[tokio::test]
async fn without_a_sample_everybody_gets_a_variant_and_nothing_is_chosen() {
    let stand = Stand::new().await;
    let id = tried(&stand, 60, None).await;
    stand.finish().await;
    assert_eq!((stand.told(id).await.as_str(), stand.state(id).await), ("sent 60", "completed"));
    let counts = stand.counts(id).await;
    assert!(near(counts.variants[0].recipients(), 60, 5_000), "{counts:?}");
    assert_eq!(code(stand.choose(id, "a").await), "CAMPAIGN_STATE");
}

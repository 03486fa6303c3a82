//! Who is tracked how, and how that is chosen (C-16, C-77 to C-80).

use super::stage::{CHROME, GOOGLE, MPP, Stage, get};
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use carillon_domain::contacts;
use carillon_domain::keys::{ClickToken, HitKind, Tracked};
use carillon_domain::messaging::{self, TrackingMode};
use carillon_domain::tenancy::{Role, WriteContacts};
use carillon_entities::ids::ContactId;
use carillon_tests::post::token;
use serde_json::{Value, json};

#[actix_web::test]
async fn c016_ways_out_and_what_is_no_web_link_stay_as_they_are() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (html, text) = stage.parts("ada@example.org");
    for kept in [
        "href=\"https://carillon.test/unsubscribe/",
        "href=\"https://shop.example/plain\"",
        "href=\"mailto:shop@shop.example\"",
        "href=\"#top\"",
    ] {
        assert!(html.contains(kept), "{kept} is not in {html}");
    }
    assert!(text.contains("https://shop.example/a") && !text.contains("/c/"), "{text}");
    let (links, pixel) = stage.tracked("ada@example.org");
    assert_eq!((links.len(), pixel.is_some()), (3, true));
    assert!(!html.contains("https://shop.example/a"), "a tracked link does not say where it leads");
    // The header's link is the header's link: it opens as one, and counts as no click.
    stage.post.one_click(&stage.post.mail_to("ada@example.org"));
    let page = html.split("https://carillon.test").find(|part| part.starts_with("/unsubscribe/")).unwrap();
    stage.visit(page.split('"').next().unwrap(), CHROME).await;
    assert_eq!(stage.number("message_hits").await, 0);
}

#[actix_web::test]
async fn c077_who_is_in_the_eea_gets_no_link_or_pixel_of_their_own() {
    let stage = Stage::new().await;
    for (email, country) in [("a@example.org", "DE"), ("b@example.org", "AT"), ("d@example.org", "US")] {
        let contact = stage.person(email, country).await;
        stage.send(email, contact).await;
    }
    let nowhere = stage.post.person("c@example.org").await;
    stage.send("c", nowhere).await;
    let aggregate = stage.tracked("a@example.org");
    assert_eq!(aggregate.0.len(), 3);
    for email in ["b@example.org", "c@example.org"] {
        assert_eq!(stage.tracked(email), aggregate, "all have the same, so it names nobody");
    }
    let (individual, pixel) = stage.tracked("d@example.org");
    assert!(individual.iter().all(|link| !aggregate.0.contains(link)) && pixel != aggregate.1);
    // What a service message or a test holds leads straight to where it leads.
    let receipt = stage.post.receipt("receipt", nowhere);
    stage.post.send(&[receipt]).await;
    stage.post.drain().await;
    assert_eq!(stage.tracked("c@example.org"), (Vec::new(), None));
}

#[actix_web::test]
async fn c077_without_their_consent_nobody_in_france_or_italy_gets_a_pixel() {
    let stage = Stage::new().await;
    let german = stage.person("de@example.org", "DE").await;
    stage.send("de", german).await;
    let (links, _) = stage.tracked("de@example.org");
    for country in ["FR", "IT"] {
        let email = format!("{country}@example.org").to_lowercase();
        let person = stage.person(&email, country).await;
        stage.send(country, person).await;
        assert_eq!(stage.tracked(&email), (links.clone(), None), "{country}: links that name nobody, and no pixel");
        assert!(!stage.parts(&email).0.contains("<img"), "{country}");
        // Whoever agreed has one, and who took it back has none again.
        for (key, mode, has_pixel) in [("yes", TrackingMode::Individual, true), ("no", TrackingMode::None, false)] {
            stage.choose(person, mode).await;
            stage.send(&format!("{country}-{key}"), person).await;
            assert_eq!(stage.tracked(&email).1.is_some(), has_pixel, "{country} {mode}");
        }
    }
    // Who moves there before a mail is rendered gets none either.
    let american = stage.person("us@example.org", "US").await;
    let intent = messaging::Intent { template_version: stage.version, ..stage.post.intent("us", american) };
    stage.post.send(&[intent]).await;
    stage.move_to("us@example.org", "FR").await;
    stage.post.drain().await;
    assert_eq!(stage.tracked("us@example.org"), (links, None));
}

#[actix_web::test]
async fn c078_aggregate_hits_are_counted_by_content_and_day_without_ids() {
    let stage = Stage::new().await;
    let contact = stage.person("a@example.org", "DE").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("a@example.org");
    let pixel = pixel.unwrap();
    for (path, agent) in
        [(&links[0], CHROME), (&links[1], CHROME), (&pixel, GOOGLE), (&pixel, MPP), (&links[2], "curl/8")]
    {
        stage.visit(path, agent).await;
    }
    stage.ask(get(&links[0], CHROME, "203.0.113.9").method(Method::HEAD)).await;
    assert_eq!(stage.number("message_hits").await, 0);
    assert_eq!(
        stage.post.lines("SELECT kind || count AS line FROM tracking_counts ORDER BY kind").await,
        ["click2", "open1"]
    );
    let token = token(&stage.post, stage.post.tenant, Role::Viewer).await;
    let query = "query($id: ID) { trackingCounts(templateVersionId: $id) { day origin opens clicks } }";
    let day = stage.post.ports().now().date_naive().to_string();
    let expected = json!([{ "day": day, "origin": "", "opens": 1, "clicks": 2 }]);
    let version = stage.version.to_string();
    assert_eq!(stage.graphql(&token, query, json!({ "id": version })).await["trackingCounts"], expected);
    assert_eq!(stage.graphql(&token, query, json!({})).await["trackingCounts"], expected);
    let other = stage.post.marketing.to_string();
    assert_eq!(stage.graphql(&token, query, json!({ "id": other })).await["trackingCounts"], json!([]));
    // A tenant that wants to know nothing counts nothing any more, and its next mail tells nothing.
    stage.choose_for_all(TrackingMode::None).await;
    stage.visit(&links[0], CHROME).await;
    assert_eq!(stage.number("tracking_counts WHERE count > 2").await, 0);
    stage.send("two", contact).await;
    assert_eq!(stage.tracked("a@example.org"), (Vec::new(), None));
}

#[actix_web::test]
async fn c078_a_tenant_may_be_stricter_and_never_looser() {
    let stage = Stage::new().await;
    let (french, american) = (stage.person("fr@example.org", "FR").await, stage.person("us@example.org", "US").await);
    stage.choose_for_all(TrackingMode::Individual).await;
    let of = async |key: &str, contact| stage.post.message(stage.send(key, contact).await).await.tracking;
    assert_eq!(of("one", french).await, TrackingMode::Aggregate);
    assert_eq!(of("two", american).await, TrackingMode::Individual);
    assert_eq!(stage.choose(french, TrackingMode::Individual).await, TrackingMode::Individual);
    assert_eq!(of("three", french).await, TrackingMode::Individual);
    stage.choose_for_all(TrackingMode::Aggregate).await;
    assert_eq!(of("four", american).await, TrackingMode::Aggregate);
    assert_eq!(stage.choose(french, TrackingMode::Individual).await, TrackingMode::Aggregate);
}

#[actix_web::test]
async fn c078_what_became_stricter_before_a_mail_is_rendered_counts() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let intent = messaging::Intent { template_version: stage.version, ..stage.post.intent("one", contact) };
    let message = stage.post.send(&[intent]).await[0];
    assert_eq!(stage.post.message(message).await.tracking, TrackingMode::Individual);
    stage.move_to("ada@example.org", "FR").await;
    stage.post.drain().await;
    assert_eq!(stage.post.message(message).await.tracking, TrackingMode::Aggregate);
    let (links, _) = stage.tracked("ada@example.org");
    let token =
        ClickToken::decode(&stage.post.ports().keys, HitKind::Click, links[0].trim_start_matches("/c/")).unwrap();
    assert!(matches!(token.tracked, Tracked::Content { .. }));
    assert!(!stage.engagement(message).await.tracked);
}

#[actix_web::test]
async fn c079_what_was_withdrawn_is_not_recorded_in_mails_already_sent() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let pixel = pixel.unwrap();
    stage.visit(&links[0], CHROME).await;
    assert!(stage.engagement(message).await.tracked);
    stage.choose(contact, TrackingMode::Aggregate).await;
    let answer = stage.visit(&pixel, CHROME).await;
    assert_eq!((answer.status, &answer.body[..6]), (StatusCode::OK, &b"GIF89a"[..]));
    assert_eq!(stage.visit(&links[0], CHROME).await.location(), Some("https://shop.example/a?x=1&y=2#part"));
    assert_eq!(stage.number("message_hits").await, 1);
    assert!(!stage.engagement(message).await.tracked, "nothing can be said of an untracked person");
    // The tenant's choice, the country and the end of the contact do the same.
    stage.choose(contact, TrackingMode::Individual).await;
    stage.choose_for_all(TrackingMode::Aggregate).await;
    stage.visit(&pixel, CHROME).await;
    stage.choose_for_all(TrackingMode::Individual).await;
    stage.visit(&pixel, CHROME).await;
    assert_eq!(stage.number("message_hits").await, 2);
    let grant = stage.post.marketer.grant::<WriteContacts>().unwrap();
    let mut tx = grant.begin().await.unwrap();
    let version = stage.post.number("SELECT version AS amount FROM contacts").await;
    contacts::delete_contact(&grant, &mut tx, stage.post.ports(), contact, version).await.unwrap();
    tx.commit().await.unwrap();
    stage.visit(&pixel, CHROME).await;
    assert_eq!(stage.number("message_hits").await, 2);
}

#[actix_web::test]
async fn c080_every_tracked_mail_leads_to_a_way_to_refuse_tracking_and_stay_on_the_list() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, _) = stage.tracked("ada@example.org");
    let html = stage.parts("ada@example.org").0;
    let page = html.split("https://carillon.test").find(|part| part.starts_with("/unsubscribe/")).unwrap();
    let page = page.split('"').next().unwrap();
    // A GET shows the way and goes none.
    let shown = String::from_utf8(stage.ask(get(page, CHROME, "203.0.113.9")).await.body).unwrap();
    assert!(shown.contains("value=\"no_tracking\""), "{shown}");
    assert_eq!(stage.number("tracking_modes").await, 0);
    let choice = || TestRequest::post().uri(page).set_form([("choice", "no_tracking")]);
    for _ in 0..2 {
        let done = stage.ask(choice()).await;
        assert_eq!(done.status, StatusCode::OK);
        let done = String::from_utf8(done.body).unwrap();
        assert!(done.contains("You are not tracked any more") && done.contains("value=\"topic\""), "{done}");
    }
    assert_eq!(stage.number("tracking_modes WHERE mode = 'none'").await, 1);
    assert_eq!(stage.number("suppressions").await, 0);
    assert_eq!(
        stage.number("contact_changes WHERE actor_kind = 'subject'").await,
        1,
        "that they said so is kept, once"
    );
    stage.visit(&links[0], CHROME).await;
    assert_eq!(stage.number("message_hits").await, 0);
    // They stay on the list, and the next mail tells nothing.
    stage.send("two", contact).await;
    assert_eq!(stage.number("messages WHERE state = 'sent'").await, 2);
    assert_eq!(stage.tracked("ada@example.org"), (Vec::new(), None));
    // The way from the header leads there, too.
    let header = stage.post.mail_to("ada@example.org");
    let header = String::from_utf8_lossy(&header.raw).replace("\r\n ", "").replace("\r\n\t", "");
    let path = header.split("https://carillon.test").find(|part| part.starts_with("/u/")).unwrap();
    let shown = stage.ask(get(path.split('>').next().unwrap(), CHROME, "203.0.113.9")).await;
    assert!(String::from_utf8(shown.body).unwrap().contains("value=\"no_tracking\""));
}

#[actix_web::test]
async fn modes_are_set_and_shown_over_the_api() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "FR").await.to_string();
    let admin = token(&stage.post, stage.post.tenant, Role::Admin).await;
    let show = "query($id: ID!) { contact(id: $id) { trackingMode } tenant { trackingMode } }";
    let shown = async || stage.graphql(&admin, show, json!({ "id": contact })).await;
    let modes = |contact: &str, tenant: Value| json!({ "contact": { "trackingMode": contact }, "tenant": { "trackingMode": tenant } });
    assert_eq!(shown().await, modes("AGGREGATE", Value::Null));
    let set = "mutation($input: SetContactTrackingModeInput!) { setContactTrackingMode(input: $input) { trackingMode \
        userErrors { code field } } }";
    let input = json!({ "contactId": contact, "mode": "INDIVIDUAL", "idempotencyKey": "one" });
    for _ in 0..2 {
        let done = stage.graphql(&admin, set, json!({ "input": input })).await;
        assert_eq!(done["setContactTrackingMode"], json!({ "trackingMode": "INDIVIDUAL", "userErrors": [] }));
    }
    assert_eq!(stage.number("tracking_modes").await, 1);
    let nobody = json!({ "contactId": stage.post.ports().new_id::<ContactId>().to_string(), "mode": "NONE" });
    let done = stage.graphql(&admin, set, json!({ "input": nobody })).await;
    assert_eq!(done["setContactTrackingMode"]["userErrors"], json!([{ "code": "NOT_FOUND", "field": ["contactId"] }]));
    let set = "mutation($input: SetTrackingModeInput!) { setTrackingMode(input: $input) { trackingMode userErrors { code } } }";
    let done = stage.graphql(&admin, set, json!({ "input": { "mode": "NONE" } })).await;
    assert_eq!(done["setTrackingMode"], json!({ "trackingMode": "NONE", "userErrors": [] }));
    assert_eq!(shown().await, modes("NONE", json!("NONE")));
    assert_eq!(stage.number("audit_events WHERE action = 'tracking.set'").await, 1);
}

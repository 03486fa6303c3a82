//! Links lead where they were signed to lead, whatever happens, and nothing personal is kept (C-84, C-85).

use std::sync::Arc;

use super::stage::{CHROME, Stage, get};
use actix_web::http::{Method, StatusCode};
use carillon_domain::entropy::SeededEntropy;
use carillon_domain::keys::{ClickToken, Keyring, LinkPlace, Tracked};
use carillon_domain::messaging::HITS_MAX;
use carillon_domain::ports::{Ports, Wall};
use carillon_entities::wall::DatabaseSettings;
use carillon_tests::gateway::gateway;
use chrono::TimeDelta;

#[actix_web::test]
async fn c084_a_link_leads_where_it_was_signed_to_lead_and_nowhere_else() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let good = stage.visit(&links[0], CHROME).await;
    assert_eq!((good.status, good.location()), (StatusCode::FOUND, Some("https://shop.example/a?x=1&y=2#part")));
    let of = |name| good.headers.get(name).unwrap().to_str().unwrap();
    assert_eq!((of("cache-control"), of("referrer-policy")), ("no-store", "no-referrer"));
    let by_url = stage.visit(&format!("{}?url=https://evil.example/&to=//evil.example", links[0]), CHROME).await;
    assert_eq!(by_url.location(), good.location());
    let token = links[0].trim_start_matches("/c/");
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let altered = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    let pixels = pixel.as_ref().unwrap().trim_start_matches("/o/").trim_end_matches(".gif");
    for token in
        [&altered, &token[..middle], "x", "javascript:alert(1)", "%2F%2Fevil.example", pixels, &"A".repeat(20_000)]
    {
        for path in [format!("/c/{token}"), format!("/c/{token}/")] {
            let refused = stage.ask(get(&path, CHROME, "203.0.113.9")).await;
            assert_eq!((refused.status, refused.location()), (StatusCode::NOT_FOUND, None), "{path}");
        }
    }
    for path in [
        "/c//evil.example",
        "/c/https://evil.example/",
        "/o/x.gif",
        &format!("/o/{token}.gif"),
        pixel.as_ref().unwrap().trim_end_matches(".gif"),
    ] {
        let refused = stage.ask(get(path, CHROME, "203.0.113.9")).await;
        assert_eq!((refused.status, refused.location()), (StatusCode::NOT_FOUND, None), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = stage.ask(get(&links[0], CHROME, "203.0.113.9").method(method)).await;
        assert_eq!((refused.status, refused.location()), (StatusCode::METHOD_NOT_ALLOWED, None));
    }
    assert_eq!(stage.number("message_hits").await, 2, "what is refused leaves nothing behind");
}

/// Tokens that are whole, under keys of the same numbers that are not ours; and our own pixel with one letter changed.
#[actix_web::test]
async fn c084_what_somebody_else_signed_is_neither_link_nor_pixel_and_leaves_nothing_behind() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let signer = Keyring::generate(&SeededEntropy::new(5)).click_signer();
    let mut paths = Vec::new();
    for tracked in [Tracked::Message(message), Tracked::Content { version: stage.version, origin: String::new() }] {
        let token = |target| ClickToken { tenant: stage.post.tenant, tracked: tracked.clone(), target };
        let link = (LinkPlace { number: 1, of: 1 }, "https://evil.example/".to_owned());
        paths.push(format!("/c/{}", signer.sign(&token(Some(link))).unwrap()));
        paths.push(format!("/o/{}.gif", signer.sign(&token(None)).unwrap()));
    }
    let ours = pixel.as_ref().unwrap().trim_end_matches(".gif");
    let middle = ours.len() / 2;
    let other = if ours.as_bytes()[middle] == b'A' { "B" } else { "A" };
    paths.push(format!("{}{other}{}.gif", &ours[..middle], &ours[middle + 1..]));
    paths.push(format!("/o/{}.gif", "A".repeat(20_000)));
    paths.push(format!("{}{}", links[0], "A".repeat(20_000)));
    for path in &paths {
        for method in [Method::GET, Method::HEAD] {
            let refused = stage.ask(get(path, CHROME, "203.0.113.9").method(method)).await;
            assert_eq!((refused.status, refused.location()), (StatusCode::NOT_FOUND, None), "{path}");
            assert!(!refused.body.starts_with(b"GIF89a"), "{path}");
        }
    }
    assert_eq!([stage.number("message_hits").await, stage.number("tracking_counts").await], [0, 0]);
    assert_eq!(stage.visit(pixel.as_ref().unwrap(), CHROME).await.status, StatusCode::OK);
    assert_eq!(stage.number("message_hits").await, 1, "and our own does");
}

#[actix_web::test]
async fn c084_retired_keys_lead_on_and_keys_that_are_not_here_yet_are_asked_for_again() {
    let mut stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let rotated = |ports: &Ports| Ports { keys: Arc::new(ports.keys.rotated(&SeededEntropy::new(9))), ..ports.clone() };
    stage.gateway = gateway(rotated(stage.post.ports()));
    assert_eq!(stage.visit(&links[0], CHROME).await.location(), Some("https://shop.example/a?x=1&y=2#part"));
    assert_eq!(stage.number("message_hits").await, 1);
    let other = carillon_domain::keys::Keyring::generate(&SeededEntropy::new(5));
    let other = other.rotated(&SeededEntropy::new(6)).to_secret_text().split(',').next().unwrap().parse().unwrap();
    stage.gateway = gateway(Ports { keys: Arc::new(other), ..stage.post.ports().clone() });
    for path in [&links[0], pixel.as_ref().unwrap()] {
        let later = stage.ask(get(path, CHROME, "203.0.113.9")).await;
        assert_eq!((later.status, later.location()), (StatusCode::SERVICE_UNAVAILABLE, None));
    }
}

#[actix_web::test]
async fn c084_links_lead_on_while_the_database_is_away() {
    let mut stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    stage.send("one", contact).await;
    let (links, pixel) = stage.tracked("ada@example.org");
    let away = Wall::open(&DatabaseSettings::single("sqlite::memory:")).await.unwrap();
    away.close().await;
    stage.gateway = gateway(Ports { wall: away, ..stage.post.ports().clone() });
    assert_eq!(stage.visit(&links[1], CHROME).await.location(), Some("https://shop.example/b"));
    assert_eq!(stage.visit(&pixel.unwrap(), CHROME).await.status, StatusCode::OK);
    assert_eq!(stage.number("message_hits").await, 0);
}

#[actix_web::test]
async fn c084_of_a_flood_of_hits_so_many_are_kept() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let pixel = stage.tracked("ada@example.org").1.unwrap();
    stage.scanned(message, HITS_MAX - 3).await;
    assert!(!stage.engagement(message).await.is_full);
    for _ in 0..5 {
        stage.visit(&pixel, CHROME).await;
    }
    assert_eq!(stage.number("message_hits").await, HITS_MAX);
    assert!(stage.engagement(message).await.is_full, "what is not kept is not an absence");
}

#[actix_web::test]
async fn c085_no_address_and_no_user_agent_is_kept_of_a_hit() {
    let stage = Stage::new().await;
    let contact = stage.person("ada@example.org", "US").await;
    let message = stage.send("one", contact).await;
    let links = stage.tracked("ada@example.org").0;
    let agent = format!("{CHROME} Quexalot/1.0");
    stage.post.advance(TimeDelta::minutes(5));
    for from in ["203.0.113.9", "203.0.113.200", "198.51.100.7", "[2001:db8::7]"] {
        stage.ask(get(&links[0], &agent, from)).await;
    }
    stage.judge().await;
    assert_eq!(stage.number("message_hits WHERE agent = 'browser' AND length(source_hash) = 16").await, 4);
    let networks = stage.post.number("SELECT COUNT(DISTINCT source_hash) AS amount FROM message_hits").await;
    assert_eq!(networks, 3, "two addresses of one network are one");
    // All that is kept of a hit, and all that its history says.
    let columns = carillon_migration::schema::tables().find(|table| table.name == "message_hits").unwrap();
    let names: Vec<_> = carillon_tests::schema::columns(columns).iter().map(|column| column.name).collect();
    let kept = "id message_id kind link links agent is_head source_hash class rule_id at due_at";
    assert_eq!(names.join(" "), kept);
    let history =
        stage.post.lines("SELECT CAST(detail AS TEXT) AS line FROM message_events WHERE kind = 'clicked'").await;
    assert_eq!(history.len(), 4);
    for text in ["203.0.113", "198.51.100", "2001:db8", "Quexalot", "Mozilla"] {
        assert!(history.iter().all(|line| !line.contains(text)), "{text} in {history:?}");
    }
    assert!(stage.engagement(message).await.clicked_at.is_some());
}

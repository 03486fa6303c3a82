//! Hostile texts in every place that takes a text: they are refused or stored as they are, and never a fault of ours.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::places::{Side, places};
use crate::sdl::Sdl;
use crate::setup::{Api, code};

/// Each ends something somewhere: a text of Postgres, a line, a header, a statement, a tag, a template, a path, a file.
const HOSTILE: &[&str] = &[
    "\0",
    "a\0b",
    "x\r\nX-Injected: 1\r\n\r\n",
    "x\u{2028}y\u{85}z",
    "\u{1b}[31m\u{7f}\u{feff}\u{202e}",
    "'; DROP TABLE contacts; --\\",
    "\"}],\"level\":\"ERROR",
    "<script>alert(1)</script>\"'><img src=x>",
    "{{ 7 * 7 }}{% for a in vars %}",
    "\u{10ffff}\u{1f468}\u{200d}\u{1f469}",
];

/// What would tell how we are made (C-226).
const OURS: &[&str] =
    &["panicked", "src/", ".rs", "sqlx", "sea_orm", "sqlite", "postgres", "SELECT ", "INSERT INTO", "error at or near"];

/// What an answer says that it should not.
fn fault(answer: &Value) -> Option<String> {
    if ["INTERNAL", "UNAVAILABLE"].contains(&code(answer)) {
        return Some(answer.to_string());
    }
    let said = answer["errors"].to_string();
    OURS.iter().any(|word| said.contains(word)).then_some(said)
}

#[actix_web::test]
async fn c226_no_text_anywhere_is_a_fault_of_ours() {
    let side = Box::pin(Side::new(Api::new().await, 0)).await;
    let sdl = Sdl::of(&side.api.schema);
    let (texts, objects) = (places(&sdl, &["String"]), places(&sdl, &["JSON"]));
    assert!(texts.len() > 100 && objects.len() > 3, "{} and {}: the search is wrong", texts.len(), objects.len());
    let long = "x".repeat(20_000);
    let mut faults = Vec::new();
    for text in HOSTILE.iter().copied().chain([long.as_str()]) {
        let as_text = texts.iter().map(|place| (place, json!(text)));
        let as_value = objects.iter().map(|place| (place, json!({ "a": [text] })));
        let as_name = objects.iter().map(|place| (place, json!({ text: 1 })));
        for (place, tried) in as_text.chain(as_value).chain(as_name) {
            side.api.world.advance(TimeDelta::milliseconds(1));
            let answer = side.told(&sdl, place, &tried).await;
            let shown: String = text.chars().take(40).collect();
            faults.extend(fault(&answer).map(|said| format!("{} with {shown:?}: {said}", place.name())));
        }
    }
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
    // Whoever was refused everything would have met no fault either.
    let tenant = side.api.ask("{ tenant { id } }", json!({})).await;
    assert_eq!(tenant["data"]["tenant"]["id"], json!(side.api.tenant), "{tenant}");
}

//! The README's tour and the integration guide, typed as they stand: bash runs every command against an embedded process of
//! their own, and what it answers is held against what they show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use carillon::app::App;
use carillon::config::{Config, Source};
use carillon_tests::{Backend, WorldOptions};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::task::AbortOnDropHandle;

const README: &str = include_str!("../../README.md");
const GUIDE: &str = include_str!("../../frontend-contract/INTEGRATION.md");
const CODES: &str = include_str!("../../frontend-contract/error-codes.json");
/// Where the documents say that it is.
const SHOWN: &str = "http://127.0.0.1:8080";
/// What ends the output of a block.
const MARK: char = '\u{1e}';
/// What never comes fails by this.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is typed, and what is shown to come of it.
#[derive(Debug)]
struct Block {
    commands: String,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Json(Value),
    Text(String),
}

/// The commands of a document in their order, each with the answer that follows.
fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let inside = inside.join("\n");
        let shown = match kind {
            "sh" => {
                blocks.push(Block { commands: inside, shown: Shown::Nothing });
                continue;
            }
            "json" => Shown::Json(serde_json::from_str(&inside).unwrap_or_else(|error| panic!("{error}: {inside}"))),
            "text" => Shown::Text(inside),
            other => panic!("neither commands nor an answer: {other}"),
        };
        let block = blocks.last_mut().expect("an answer follows commands");
        assert!(matches!(block.shown, Shown::Nothing), "two answers to {}", block.commands);
        block.shown = shown;
    }
    blocks
}

/// Two dots at the end stand for whatever comes there.
fn is_text(shown: &str, answer: &str) -> bool {
    shown.strip_suffix("..").map_or(shown == answer, |start| answer.starts_with(start))
}

fn is_json(shown: &Value, answer: &Value) -> bool {
    match (shown, answer) {
        (Value::String(shown), Value::String(answer)) => is_text(shown, answer),
        (Value::Array(shown), Value::Array(answer)) => {
            shown.len() == answer.len() && shown.iter().zip(answer).all(|(shown, answer)| is_json(shown, answer))
        }
        (Value::Object(shown), Value::Object(answer)) => {
            let has = |name: &String, shown: &Value| answer.get(name).is_some_and(|answer| is_json(shown, answer));
            shown.len() == answer.len() && shown.iter().all(|(name, shown)| has(name, shown))
        }
        (shown, answer) => shown == answer,
    }
}

impl Shown {
    fn is(&self, answer: &str) -> bool {
        match self {
            Self::Nothing => answer.is_empty(),
            Self::Json(shown) => serde_json::from_str(answer).is_ok_and(|mut answer: Value| {
                // What a request cost is left out.
                answer.as_object_mut().map(|answer| answer.remove("extensions"));
                is_json(shown, &answer)
            }),
            Self::Text(shown) => {
                let mut lines = shown.lines().zip(answer.lines());
                shown.lines().count() == answer.lines().count() && lines.all(|(shown, answer)| is_text(shown, answer))
            }
        }
    }
}

/// Runs all commands in one shell; what each block printed.
async fn type_all(blocks: &[Block], home: &Path) -> Vec<String> {
    let mut script = "set -euo pipefail\n".to_owned();
    for block in blocks {
        script.push_str(&block.commands);
        script.push_str("\nprintf '\\036'\n");
    }
    let mut bash = Command::new("bash");
    // No settings of whoever runs this, and no proxy of theirs.
    bash.args(["--norc", "-c", &script]).env("HOME", home).env("no_proxy", "*").kill_on_drop(true);
    let done = tokio::time::timeout(PATIENCE, bash.output()).await.expect("in time").unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}\n{printed}\n{said}", done.status);
    printed.split_terminator(MARK).map(|answer| answer.trim().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_show_is_what_happens() {
    if WorldOptions::default().backend == Backend::Postgres {
        eprintln!("skipped: the embedded mode is the same whatever the other tests run on");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let base = format!("http://{address}");
    let settings = [
        ("CARILLON_MODE", "embedded"),
        ("CARILLON_BIND", address.as_str()),
        ("CARILLON_PUBLIC_URL", base.as_str()),
        ("CARILLON_DATA", folder.path().to_str().unwrap()),
    ];
    let app = App::build(Config::new(&Source::of(settings).unwrap()).unwrap()).await.unwrap();
    let server = app.serve_on(listener).unwrap();
    let serving = AbortOnDropHandle::new(tokio::spawn(async move { server.await.unwrap() }));
    let engine = app.start_engine().unwrap();

    let tour = README.split("<!-- tour -->").nth(1).expect("the README's tour");
    let [mut typed, guide] = [tour, GUIDE].map(|document| blocks(&document.replace(SHOWN, &base)));
    assert!(typed.len() > 20 && guide.len() > 5, "{} and {} blocks", typed.len(), guide.len());
    typed.extend(guide);
    let answers = type_all(&typed, folder.path()).await;
    assert_eq!(answers.len(), typed.len());
    for (block, answer) in typed.iter().zip(&answers) {
        assert!(block.shown.is(answer), "{}\n\nanswered\n{answer}\n\nbut shown is\n{:#?}", block.commands, block.shown);
    }

    engine.stop(Duration::from_secs(5)).await;
    drop(serving);
    app.ports().wall.close().await;
}

#[test]
fn an_answer_that_is_not_the_one_shown_is_noticed() {
    let document = "```sh\ncall\n```\n\n```json\n{ \"id\": \"contact_..\", \"tags\": [1], \"none\": null }\n```\n```sh\nnext\n```\n";
    let typed = blocks(document);
    assert_eq!((typed.len(), typed[0].commands.as_str()), (2, "call"));
    let answer = json!({ "id": "contact_01h4", "tags": [1], "none": null, "extensions": { "cost": 1 } });
    assert!(typed[0].shown.is(&answer.to_string()) && typed[1].shown.is(""));
    let others = [("id", json!("topic_01h4")), ("tags", json!([1, 2])), ("none", json!("x")), ("more", json!(1))];
    for (name, value) in others {
        let mut other = answer.clone();
        other[name] = value;
        assert!(!typed[0].shown.is(&other.to_string()), "{other}");
    }
    assert!(!typed[1].shown.is("something"));
    assert!(Shown::Text("<h1>Yes..\nb".to_owned()).is("<h1>Yes</h1>\nb"));
    assert!(!Shown::Text("<h1>Yes..".to_owned()).is("<h1>Yes</h1>\nb"));
}

#[test]
fn the_guide_says_of_every_code_that_may_pass_when_to_try_again() {
    let codes: Vec<Value> = serde_json::from_str(CODES).unwrap();
    let text = |code: &Value, name: &str| code[name].as_str().unwrap().to_owned();
    let passing: Vec<_> = codes.iter().map(|code| (text(code, "retry"), text(code, "code"))).collect();
    for (retry, code) in passing.iter().filter(|(retry, _)| retry != "NEVER") {
        let is_row = |line: &str| line.starts_with(&format!("| `{retry}` |")) && line.contains(&format!("`{code}`"));
        assert_eq!(GUIDE.lines().filter(|line| is_row(line)).count(), 1, "{code} {retry}");
    }
}

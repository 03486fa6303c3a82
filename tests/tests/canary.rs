//! Canaries (C-199): personal data and secrets go through every surface and every failure, and no log line, no error
//! and no trace shows one.
//!
//! A binary of its own, with one test: the log belongs to the process. Everything personal holds one word, so it is found
//! however it was cut or spelled; secrets are collected where they are given.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use carillon::application;
use carillon::traces::{Export, TraceSettings};
use carillon_jobs::catcher::{Action, Behaviour, Moment, Rule, Whom};
use carillon_tests::access::AccessWorld;
use carillon_tests::collector::Collector;
use carillon_tests::gateway::gateway_with;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// In every address, name, password and text.
const WORD: &str = "quexalot";
/// In every phone number.
const DIGITS: &str = "6609876543";
const EMAIL: &str = "Quexalot@example.org";
const PASSWORD: &str = "Quexalot-lamp-shelf-9";
/// Production's filter, and everything of our own on top.
const FILTER: &str = "info,actix_server=warn,sea_orm_migration=warn,sqlx=warn,carillon=trace,carillon_domain=trace,\
                      carillon_entities=trace,carillon_jobs=trace";

/// Where the log goes.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What must be seen nowhere, and what was seen of errors.
#[derive(Default)]
struct Seen {
    secrets: Vec<String>,
    errors: Vec<String>,
}

impl Seen {
    /// Keeps what an answer says of errors, wherever in it.
    fn errors_of(&mut self, answer: &Value) {
        match answer {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let tells = matches!(name.as_str(), "errors" | "userErrors") && value.is_array();
                    if tells && value != &json!([]) {
                        self.errors.push(value.to_string());
                    } else {
                        self.errors_of(value);
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.errors_of(item)),
            _ => {}
        }
    }

    fn check(&self, what: &str, text: &str) {
        let text = text.to_lowercase();
        for canary in [WORD, DIGITS].into_iter().chain(self.secrets.iter().map(String::as_str)) {
            assert!(!text.contains(&canary.to_lowercase()), "{what} shows {canary}: {text}");
        }
    }
}

struct Stage {
    world: AccessWorld,
    gateway: actix_web::web::Data<carillon::http::Gateway>,
    seen: Mutex<Seen>,
    log: Captured,
}

impl Stage {
    /// The log so far.
    fn logged(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    async fn http(&self, request: TestRequest) -> (StatusCode, String) {
        let app = init_service(application!(self.gateway.clone())).await;
        let response = call_service(&app, request.to_request()).await;
        let status = response.status();
        let body = String::from_utf8_lossy(&read_body(response).await).into_owned();
        let mut seen = self.seen.lock().unwrap();
        match serde_json::from_str(&body) {
            Ok(answer) => seen.errors_of(&answer),
            Err(_) if !status.is_success() => seen.errors.push(body.clone()),
            Err(_) => {}
        }
        (status, body)
    }

    async fn ask(&self, token: &str, query: &str, variables: Value) -> Value {
        let request = TestRequest::post().uri("/graphql").insert_header(("accept", "application/json"));
        let request = match token {
            "" => request,
            token => request.insert_header(("authorization", format!("Bearer {token}"))),
        };
        let (_, body) = self.http(request.set_json(json!({ "query": query, "variables": variables }))).await;
        serde_json::from_str(&body).unwrap_or(Value::Null)
    }

    /// One mutation; its payload.
    async fn change(&self, token: &str, name: &str, object: &str, input: Value) -> Value {
        self.world.advance(TimeDelta::milliseconds(1));
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {object} userErrors {{ code field message }} }} }}"
        );
        self.ask(token, &query, json!({ "input": input })).await["data"][name].clone()
    }

    /// One mutation that is taken; its payload.
    async fn done(&self, token: &str, name: &str, object: &str, input: Value) -> Value {
        let payload = self.change(token, name, object, input).await;
        assert_eq!(payload["userErrors"], json!([]), "{name}: {payload}");
        payload
    }

    /// A secret that was given to somebody.
    fn secret(&self, value: &Value) -> String {
        let text = value.as_str().filter(|text| text.len() >= 16).unwrap_or_else(|| panic!("no secret: {value}"));
        self.seen.lock().unwrap().secrets.push(text.to_owned());
        text.to_owned()
    }

    /// The token in a link of the newest mail to an address.
    async fn mailed(&self, email: &str, marks: &[&str]) -> String {
        self.world.drain().await;
        let mail = self.world.catcher().await.latest(None, Some(email), 1).pop().expect("a mail");
        let text = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap();
        let text = format!("{}\n{}", text.header_raw("List-Unsubscribe").unwrap_or(""), text.body_text(0).unwrap());
        let compact: String = text.split("\r\n\t").chain(text.split("\r\n ")).collect();
        let token = marks.iter().find_map(|mark| compact.split(mark).nth(1)).expect("a link");
        let end = token.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.~".contains(c))).unwrap_or(token.len());
        self.secret(&json!(&token[..end]))
    }
}

/// Signs up and in, fails at both, and enters a tenant of one's own; the token inside it.
async fn access(stage: &Stage) -> String {
    let sign_up = json!({ "email": EMAIL, "password": PASSWORD, "name": "Quexalot", "accountName": "Quexalot's" });
    stage.change("", "signUp", "", sign_up.clone()).await;
    let mut bad = sign_up;
    (bad["email"], bad["name"]) = (json!("quexalot@@"), json!("quexalot\r\nx"));
    stage.change("", "signUp", "", bad.clone()).await;
    (bad["email"], bad["password"]) = (json!("quexalot2@example.org"), json!("quexalot"));
    stage.change("", "signUp", "", bad).await;
    let token = stage.mailed(EMAIL, &["token=", "verify-email/", "/verify/"]).await;
    for password in ["quexalot-wrong", PASSWORD, PASSWORD] {
        stage.change("", "verifyEmail", "", json!({ "token": token, "password": password })).await;
    }
    stage
        .change("", "signIn", "session { accessToken }", json!({ "email": EMAIL, "password": "quexalot-wrong" }))
        .await;
    let input = json!({ "email": EMAIL, "password": PASSWORD });
    let session = stage.change("", "signIn", "session { accessToken refreshToken }", input).await;
    let access = stage.secret(&session["session"]["accessToken"]);
    let refresh = json!({ "refreshToken": stage.secret(&session["session"]["refreshToken"]) });
    for _ in 0..2 {
        // The second time it counts as stolen, which is logged.
        stage.change("", "refreshSession", "session { accessToken refreshToken }", refresh.clone()).await;
    }
    stage.change("", "requestPasswordReset", "", json!({ "email": EMAIL })).await;
    stage.change("", "resetPassword", "", json!({ "token": "quexalot-token", "newPassword": "quexalot" })).await;
    let viewer = stage.ask(&access, "{ viewer { accounts { nodes { account { id } } } } }", json!({})).await;
    let account = viewer["data"]["viewer"]["accounts"]["nodes"][0]["account"]["id"].clone();
    let tenant = json!({
        "accountId": account, "name": "Quexalot", "defaultZone": "Europe/Vienna", "defaultLocale": "de-AT",
        "defaultCountry": "AT",
    });
    let tenant = stage.done(&access, "createTenant", "tenant { id }", tenant).await["tenant"]["id"].clone();
    let invite = json!({ "to": { "tenantId": tenant }, "email": "quexalot.bob@example.org", "role": "VIEWER" });
    stage.done(&access, "inviteMember", "", invite).await;
    let entered = stage.done(&access, "enterTenant", "session { accessToken }", json!({ "tenantId": tenant })).await;
    stage.secret(&entered["session"]["accessToken"])
}

/// Contacts one by one and from a file, with mistakes.
async fn contacts(stage: &Stage, token: &str) -> Value {
    let person = json!({
        "email": EMAIL, "phone": format!("+43{DIGITS}"), "firstName": "Quexalot", "lastName": "Quexalot",
        "externalId": "quexalot-7", "tags": ["quexalot"], "country": "US",
    });
    let made = stage.done(token, "createContact", "contact { id }", person.clone()).await;
    stage.change(token, "createContact", "contact { id }", person).await;
    for (field, value) in [
        ("email", json!("quexalot at home")),
        ("phone", json!(format!("quexalot {DIGITS}"))),
        ("firstName", json!("quexalot\u{0}")),
        ("locale", json!("quexalot!")),
        ("zone", json!("Quexalot/City")),
        ("country", json!("quexalot")),
        ("attributes", json!({ "colour": "quexalot" })),
        ("tags", json!(["quexalot\n"])),
        ("email", json!({ "quexalot": 1 })),
    ] {
        stage.change(token, "createContact", "contact { id }", json!({ field: value })).await;
    }
    let file = format!(
        "email,first name,phone\nquexalot.a@example.org,Quexalot,\nquexalot@@,Quexalot,\n\
         quexalot.b@example.org,Quexalot,quexalot{DIGITS}\n"
    );
    let upload = json!({ "fileName": "quexalot.csv", "size": file.len() });
    let upload = stage.done(token, "createUpload", "upload { id url }", upload).await["upload"].clone();
    let url = upload["url"].as_str().unwrap().strip_prefix("https://carillon.test").unwrap().to_owned();
    stage.secret(&json!(url.rsplit('/').next()));
    stage.http(TestRequest::put().uri(&url).set_payload(format!("{file}quexalot"))).await;
    stage.http(TestRequest::put().uri(&url).set_payload(file)).await;
    stage.done(token, "startImport", "import { id }", json!({ "uploadId": upload["id"] })).await;
    stage.world.drain().await;
    let imports = "{ imports(first: 1) { nodes { state errors(first: 9) { nodes { line code message } } } } }";
    let imports = stage.ask(token, imports, json!({})).await;
    assert_eq!(imports["data"]["imports"]["nodes"][0]["state"], "COMPLETED", "{imports}");
    let shown = imports["data"]["imports"]["nodes"][0]["errors"]["nodes"].to_string();
    stage.seen.lock().unwrap().errors.push(shown);
    made["contact"]["id"].clone()
}

/// Sends, bounces with the address in the relay's words, and unsubscribes by the mail's own link.
async fn mail(stage: &Stage, token: &str, contact: &Value) {
    let brands = stage.ask(token, "{ brands(first: 1) { nodes { id } } }", json!({})).await;
    let brand = &brands["data"]["brands"]["nodes"][0]["id"];
    let topic = json!({ "brandId": brand, "key": "news", "name": "Quexalot" });
    let topic = stage.done(token, "createTopic", "topic { id }", topic).await["topic"]["id"].clone();
    let sender = json!({
        "brandId": brand, "fromName": "Quexalot", "fromEmail": "news@quexalot.example",
        "postalAddress": "Quexalot 1, 1010 Wien",
    });
    let sender = stage.done(token, "createSender", "sender { id }", sender).await["sender"]["id"].clone();
    let template = json!({ "name": "Quexalot", "class": "MARKETING" });
    let template = stage.done(token, "createTemplate", "template { id }", template).await["template"]["id"].clone();
    let version = |text: &str| {
        let html = format!(
            "<p>{text}</p><a href=\"https://quexalot.example/?mail={{{{ contact.email }}}}\">Shop</a>\
             <a href=\"{{{{ unsubscribe_url }}}}\">Leave</a>"
        );
        json!({ "templateId": template, "locale": "en", "subject": "Quexalot", "html": html, "text": text })
    };
    let publish = "templateVersion { id }";
    stage.change(token, "publishTemplateVersion", publish, version("{{ quexalot")).await;
    let good = version("Dear {{ vars.who.quexalot }} {{ unsubscribe_url }} {{ sender.postal_address }}");
    let version = stage.done(token, "publishTemplateVersion", publish, good).await["templateVersion"]["id"].clone();
    let agree = json!({ "contactId": contact, "topicId": topic, "basis": "CONSENT",
        "evidence": { "ip": "quexalot", "text": "Quexalot agreed" } });
    stage.change(token, "recordOptIn", "", agree.clone()).await;
    let mut agreed = agree;
    agreed["evidence"]["ip"] = json!("192.0.2.7");
    stage.done(token, "recordOptIn", "", agreed).await;
    let intent = |key: &str, variables: Value| {
        json!({ "messages": [{ "idempotencyKey": key, "class": "MARKETING", "topicId": topic, "senderId": sender,
            "templateVersionId": version, "to": { "contactId": contact }, "variables": variables }] })
    };
    let results = "results { messageId userErrors { code field message } }";
    let named = json!({ "who": { "quexalot": "Quexalot" } });
    stage.done(token, "sendMessages", results, intent("one", named.clone())).await;
    let link = stage.mailed(EMAIL, &["/u/"]).await;
    clicks(stage, token, contact).await;
    // A template that cannot be filled, then replies that quote the recipient.
    stage.done(token, "sendMessages", results, intent("two", json!({ "who": "Quexalot" }))).await;
    stage.world.drain().await;
    let catcher = stage.world.catcher().await;
    for (code, at) in [(451, Moment::Recipient), (550, Moment::Content), (550, Moment::Recipient)] {
        let text = format!("5.1.1 <{EMAIL}> Quexalot is unknown here");
        let action = Action::Answer { at, code, text };
        catcher.set_behaviour(Behaviour { rules: vec![Rule { whom: Whom::Everyone, first: None, action }] });
        stage.done(token, "sendMessages", results, intent(&format!("{code}{at:?}"), named.clone())).await;
        stage.world.drain().await;
    }
    for path in [format!("/u/{link}"), format!("/u/{link}x"), "/u/quexalot".to_owned()] {
        stage.http(TestRequest::get().uri(&path)).await;
        stage.http(TestRequest::post().uri(&path).set_payload("List-Unsubscribe=One-Click")).await;
    }
}

/// Follows the tracked link of the newest mail and asks for its pixel, before and after its person withdrew; no line tells
/// of which mail that was (C-79).
async fn clicks(stage: &Stage, token: &str, contact: &Value) {
    let mail = stage.world.catcher().await.latest(None, Some(EMAIL), 1).pop().expect("a mail");
    let html = mail_parser::MessageParser::default().parse(&mail.raw[..]).unwrap().body_html(0).unwrap().into_owned();
    let paths = ["/c/", "/o/"].map(|mark| {
        let text = html.split(mark).nth(1).expect("a tracked link").split('"').next().unwrap();
        format!("{mark}{}", stage.secret(&json!(text)))
    });
    let message = stage.ask(token, "{ messages(first: 1) { nodes { id } } }", json!({})).await;
    let ids =
        [&message["data"]["messages"]["nodes"][0]["id"], contact].map(|id| id.as_str().expect("an id").to_owned());
    let bare = ids.clone().map(|id| id.rsplit('_').next().unwrap().to_owned());
    let from = stage.logged().len();
    for mode in ["INDIVIDUAL", "AGGREGATE"] {
        for path in &paths {
            let (status, _) =
                stage.http(TestRequest::get().uri(path).insert_header(("user-agent", "Mozilla/5.0 Quexalot"))).await;
            assert!(status == StatusCode::FOUND || status == StatusCode::OK, "{status}");
            stage.http(TestRequest::get().uri(&format!("{path}x"))).await;
        }
        stage.gateway.hits.idle().await;
        assert_eq!(stage.world.number("SELECT COUNT(*) AS amount FROM message_hits").await, 2, "{mode}");
        let withdrawn = json!({ "contactId": contact, "mode": "AGGREGATE" });
        stage.done(token, "setContactTrackingMode", "trackingMode", withdrawn).await;
    }
    let log = stage.logged().split_off(from);
    assert!(log.contains("/c/{token}") && log.contains("/o/{token}.gif"), "{log}");
    for id in ids.iter().chain(&bare) {
        assert!(!log.contains(id.as_str()), "{id} is in {log}");
    }
}

/// Requests that are wrong in every way, and failures of ours.
async fn failures(stage: &Stage, token: &str) {
    for query in [
        "{ contacts(filter: { email: \"quexalot@example.org\" ",
        "{ contact(id: \"quexalot@example.org\") { id nickname } }",
        "{ nobody(email: \"quexalot@example.org\") }",
        "query($id: ID!) { contact(id: $id) { id } }",
        "mutation { createContact(input: { email: QUEXALOT, phone: 3 }) { userErrors { code } } }",
        "mutation { sendMessages(input: { messages: [\"quexalot\"] }) { userErrors { code } } }",
        "mutation { createTemplate(input: { name: \"x\", class: \"quexalot\" }) { userErrors { code } } }",
        "mutation { createTemplate(input: { name: \"x\", class: quexalot }) { userErrors { code } } }",
        "mutation($quexalot: MessageClass!) { createTemplate(input: { name: \"x\", class: $quexalot }) { __typename } }",
        "mutation { createUpload(input: { fileName: \"x\", size: \"quexalot\" }) { userErrors { code } } }",
        "mutation { createApiKey(input: { name: \"quexalot\", role: VIEWER, scopes: [\"quexalot\"], \
            expiresAt: \"quexalot\" }) { userErrors { code } } }",
        "{ contacts(first: 1, after: \"quexalot\") { nodes { id } } }",
    ] {
        stage.ask(token, query, json!({ "quexalot": "quexalot", "id": { "quexalot": "quexalot" } })).await;
    }
    stage.ask("quexalot.quexalot.quexalot", "{ __typename }", json!({})).await;
    stage.http(TestRequest::post().uri("/graphql").set_payload("{\"quexalot\": quexalot")).await;
    stage.http(TestRequest::get().uri("/graphql?query=%7Bquexalot")).await;
    for path in ["/quexalot@example.org", "/files/quexalot", "/unsubscribe/quexalot", "/files/quexalot/errors.csv"] {
        stage.http(TestRequest::get().uri(path)).await;
        stage.http(TestRequest::put().uri(path).set_payload("quexalot")).await;
    }
    headers(stage).await;
    // The database refuses a statement whose arguments are personal.
    stage.world.execute("ALTER TABLE contact_identities RENAME TO contact_identities_gone").await;
    let person = json!({ "email": "quexalot.c@example.org", "firstName": "Quexalot" });
    stage.change(token, "createContact", "contact { id }", person).await;
    stage.world.execute("ALTER TABLE contact_identities_gone RENAME TO contact_identities").await;
    std::thread::spawn(|| panic!("{EMAIL} {PASSWORD}")).join().unwrap_err();
}

/// What a header says reaches no line, however it tries to end one and to begin another (C-200).
async fn headers(stage: &Stage) {
    for (name, value) in [
        ("x-request-id", "quexalot\",\"level\":\"ERROR"),
        ("x-request-id", "quexalot\tquexalot"),
        ("x-request-id", "quexalot%0d%0aquexalot"),
        ("user-agent", "quexalot\\r\\n{\"level\":\"ERROR\"}"),
        ("x-forwarded-for", "quexalot, \"status\":200"),
        ("forwarded", "for=quexalot"),
        ("traceparent", "00-quexalot-quexalot-01"),
        ("authorization", "Bearer quexalot\\n"),
        ("accept", "quexalot/quexalot"),
        ("origin", "https://quexalot.example"),
        ("referer", "https://quexalot.example/\"}"),
        ("cookie", "quexalot=quexalot"),
    ] {
        let query = json!({ "query": "{ serverTime }" });
        stage.http(TestRequest::post().uri("/graphql").insert_header((name, value)).set_json(query)).await;
    }
}

/// What a collector got of all that shows no canary either.
async fn traced(collector: &Collector, export: Arc<Export>, seen: &Seen) {
    assert!(tokio::task::spawn_blocking(move || export.flush()).await.unwrap(), "not all spans went");
    for batch in collector.batches() {
        seen.check("a trace", &format!("{batch:?}"));
    }
    let spans = collector.spans();
    for heard in ["POST /graphql", "POST /u/{token}", "GET /c/{token}", "transaction", "deliver", "gate"] {
        assert!(spans.iter().any(|span| span.name == heard), "{heard} is in no trace");
    }
}

#[actix_web::test]
async fn c199_no_log_line_and_no_error_shows_a_canary() {
    let captured = Captured::default();
    let writer = captured.clone();
    let collector = Collector::start();
    // This thread does everything, and may be long about it.
    let settings = TraceSettings { timeout: std::time::Duration::from_secs(30), ..collector.settings() };
    let export = Arc::new(Export::start(&settings, &tokio::runtime::Handle::current()).unwrap());
    carillon::commands::logs::start_on(FILTER, false, move || writer.clone(), Some(&export)).unwrap();
    // Production's hook goes on as it is; whoever reads a failed test sees more.
    let logged = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        logged(panic);
        eprintln!("{panic}");
    }));
    let world = AccessWorld::with(|settings| settings.embedded = true).await;
    let gateway = gateway_with(world.ports().clone(), world.files().clone());
    let stage = Stage { world, gateway, seen: Mutex::default(), log: captured };
    let token = access(&stage).await;
    let contact = contacts(&stage, &token).await;
    mail(&stage, &token, &contact).await;
    failures(&stage, &token).await;

    stage.http(TestRequest::get().uri("/nowhere").insert_header(("x-request-id", "asked-by-us-1"))).await;

    let log = stage.logged();
    let answers = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let answers: Vec<Value> = answers.filter(|line| line["span"]["id"] == "asked-by-us-1").collect();
    let told = |line: &Value| line["fields"]["message"] == "answered" && line["fields"]["status"] == 404;
    assert!(answers.iter().any(told), "C-200: a line of a request has its id: {answers:?}");
    let seen = std::mem::take(&mut *stage.seen.lock().unwrap());
    traced(&collector, export, &seen).await;
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("C-200: not a line of JSON: {line}"));
        seen.check("a log line", line);
    }
    for error in &seen.errors {
        seen.check("an error", error);
    }
    // It was heard at all: requests, the stolen session, the failed statement, the panic; and mail came and bounced.
    for heard in ["\"answered\"", "/graphql", "/u/{", "/c/{", "C-212", "\"ERROR\"", "panicked"] {
        assert!(log.contains(heard), "{heard} is not in the log:\n{log}");
    }
    assert!(seen.errors.len() > 30 && seen.secrets.len() >= 6, "{} errors", seen.errors.len());
    assert!(stage.world.catcher().await.totals().rejected >= 1);
    let suppressed = stage.world.number("SELECT COUNT(*) AS amount FROM suppressions").await;
    assert!(suppressed >= 2, "the bounce and the link were heard: {suppressed}");
}

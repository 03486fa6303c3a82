//! Templates through the API: partials, formats, what is refused when a version is published, and previews.

use carillon_domain::messaging::PARTIALS_MAX;
use carillon_domain::tenancy::{Role, WriteContacts};
use carillon_entities::ids::{AttributeId, EventDefinitionId};
use carillon_entities::rows::contacts::{attribute_definitions, event_definitions, event_properties};
use carillon_entities::rows::messaging::template_partials;
use carillon_entities::wall::OnConflict;
use carillon_tests::gateway::gateway;
use carillon_tests::post::token;
use sea_orm::ActiveValue::{NotSet, Set};
use serde_json::{Value, json};

use crate::gate::join;
use crate::graphql::{ask_at, is};
use crate::setup::{Setup, user};

const OUT: &str = "<p><a href=\"{{ unsubscribe_url }}\">Abmelden</a></p>";
const PREVIEW: &str = "query($input: PreviewTemplateInput!) { previewTemplate(input: $input) { \
    subject html text warnings { code } userErrors { code field message } } }";
const VERSION: &str = "templateVersion { id version format source html text } warnings { code }";

impl Setup {
    async fn template(&self, name: &str, class: &str) -> Value {
        let input = json!({ "name": name, "class": class });
        self.change("createTemplate", "template { id }", input).await["template"]["id"].clone()
    }

    async fn publish(&self, template: &Value, html: &str, more: Value) -> Value {
        let mut input = json!({ "templateId": template, "locale": "de", "subject": "S", "html": html });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.change("publishTemplateVersion", VERSION, input).await
    }

    /// The attribute `size`, and the event `order placed` with its properties.
    async fn declared(&self) {
        let (now, ports) = (self.ports().now(), self.ports());
        let mut tx = self.world.grant::<WriteContacts>(self.tenant).begin().await.unwrap();
        let (tenant_id, created_at) = (NotSet, Set(now));
        let (id, name, kind) = (Set(ports.new_id::<AttributeId>()), Set("size".to_owned()), Set("number".to_owned()));
        tx.insert(attribute_definitions::ActiveModel { tenant_id, id, name, kind, created_at }).await.unwrap();
        let event: EventDefinitionId = ports.new_id();
        let row = event_definitions::ActiveModel {
            tenant_id: NotSet,
            id: Set(event),
            name: Set("order placed".to_owned()),
            is_declared: Set(true),
            created_at: Set(now),
        };
        tx.insert(row).await.unwrap();
        for (name, kind) in [("total", "number"), ("shop", "string")] {
            let row = event_properties::ActiveModel {
                tenant_id: NotSet,
                event_id: Set(event),
                name: Set(name.to_owned()),
                kind: Set(kind.to_owned()),
                is_declared: Set(false),
                created_at: Set(now),
            };
            tx.insert(row).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// So many partials of so many octets, named `p0`, `p1`, ..
    async fn partials(&self, many: i64, octets: usize) {
        let (now, ports) = (self.ports().now(), self.ports());
        let row = |n| template_partials::ActiveModel {
            id: Set(ports.new_id()),
            name: Set(format!("p{n}")),
            html: Set("x".repeat(octets)),
            body_text: Set("x".repeat(octets)),
            version: Set(1),
            created_at: Set(now),
            updated_at: Set(now),
            ..Default::default()
        };
        let mut tx = self.world.grant::<WriteContacts>(self.tenant).begin().await.unwrap();
        tx.insert_many((0..many).map(row).collect(), OnConflict::Fail).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn preview(&self, input: Value) -> Value {
        let answer = self.ask(PREVIEW, json!({ "input": input })).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"]["previewTemplate"].clone()
    }
}

#[actix_web::test]
async fn a_version_holds_its_partials_for_ever() {
    let setup = Setup::new().await;
    let partial = json!({ "name": "footer", "html": OUT, "text": "{{ unsubscribe_url }}", "idempotencyKey": "p" });
    let object = "partial { id name html text version }";
    let made = setup.change("createPartial", object, partial.clone()).await;
    assert_eq!(made["partial"]["version"], 1, "{made}");
    assert_eq!(setup.change("createPartial", object, partial).await, made, "the same key, the same answer");
    is(
        &setup.change("createPartial", object, json!({ "name": "footer", "html": "x" })).await,
        "PARTIAL_EXISTS",
        "name",
    );
    is(&setup.change("createPartial", object, json!({ "name": "a\"b", "html": "x" })).await, "BAD_NAME", "name");
    let broken = json!({ "name": "broken", "html": "\n{% if x %}" });
    is(&setup.change("createPartial", object, broken).await, "TEMPLATE_SYNTAX", "html");

    let template = setup.template("News", "MARKETING").await;
    let html = "<p>News</p>{% include \"footer\" %}";
    let first = setup.publish(&template, html, json!({ "text": "News {% include \"footer\" %}" })).await;
    assert_eq!(first["templateVersion"]["html"], format!("<p>News</p>{OUT}"), "{first}");
    assert_eq!(first["templateVersion"]["source"], html);
    assert_eq!(first["templateVersion"]["text"], "News {{ unsubscribe_url }}");

    let id = made["partial"]["id"].clone();
    let change = |version: i64| json!({ "id": id, "version": version, "html": format!("<hr>{OUT}") });
    let changed = setup.change("updatePartial", object, change(1)).await;
    assert_eq!((&changed["partial"]["version"], &changed["partial"]["text"]), (&json!(2), &made["partial"]["text"]));
    is(&setup.change("updatePartial", object, change(1)).await, "CONFLICT", "version");
    let query = "query($id: ID!) { node(id: $id) { ... on TemplateVersion { html } } }";
    let still = setup.ask(query, json!({ "id": first["templateVersion"]["id"] })).await;
    assert_eq!(still["data"]["node"]["html"], first["templateVersion"]["html"]);
    let mail = setup.preview(json!({ "of": { "templateVersionId": first["templateVersion"]["id"] } })).await;
    assert!(mail["html"].as_str().unwrap().starts_with("<p>News</p><p>"), "what is sent is as it was, too: {mail}");
    let second = setup.publish(&template, html, json!({})).await;
    assert_eq!(second["templateVersion"]["html"], format!("<p>News</p><hr>{OUT}"), "{second}");
    assert_eq!(second["templateVersion"]["text"], "News\n\n---\n\nAbmelden <{{ unsubscribe_url }}>");
    is(&setup.publish(&template, "\n{% include \"nothing\" %}", json!({})).await, "TEMPLATE_INCLUDE", "html");
    let listed = setup.ask("{ partials(first: 5) { nodes { name version } } }", json!({})).await;
    assert_eq!(listed["data"]["partials"]["nodes"], json!([{ "name": "footer", "version": 2 }]));
}

#[actix_web::test]
async fn c229_partials_that_are_not_there_or_have_no_end_are_refused_by_line() {
    let setup = Setup::new().await;
    let make = async |name: &str, html: &str| {
        let input = json!({ "name": name, "html": html, "text": html });
        let made = setup.change("createPartial", "partial { id version }", input).await;
        assert_eq!(made["userErrors"], json!([]), "{made}");
        made["partial"].clone()
    };
    // Each is written before the one it includes: what a partial names is looked for when a version is published.
    for n in 1..6 {
        make(&format!("p{n}"), &format!("{{% include \"p{}\" %}}", n + 1)).await;
    }
    let last = make("p6", "x").await;
    make("self", "{% include \"self\" %}").await;
    make("to", "{% include \"fro\" %}").await;
    make("fro", "{% include \"to\" %}").await;
    let template = setup.template("Order", "TRANSACTIONAL").await;
    for (name, why) in [
        ("nothing", "There is no partial \"nothing\"."),
        ("self", "The partial \"self\" includes itself."),
        ("to", "The partial \"to\" includes itself."),
        ("p1", "Partials lie within each other no deeper than 5."),
    ] {
        let include = format!("\n{{% include \"{name}\" %}}");
        let refused = setup.publish(&template, &include, json!({ "text": "x" })).await;
        is(&refused, "TEMPLATE_INCLUDE", "html");
        assert_eq!(refused["userErrors"][0]["message"], format!("Line 2: {why}"), "{refused}");
        is(&setup.publish(&template, "x", json!({ "text": include })).await, "TEMPLATE_INCLUDE", "text");
        let source = json!({ "class": "TRANSACTIONAL", "subject": "S", "html": include, "text": "x" });
        is(&setup.preview(json!({ "of": { "source": source } })).await, "TEMPLATE_INCLUDE", "html");
    }
    // One level less is well, until somebody makes the last one go round.
    let publish = async || setup.publish(&template, "{% include \"p2\" %}", json!({ "text": "x" })).await;
    assert_eq!(publish().await["templateVersion"]["html"], "x");
    let change = json!({ "id": last["id"], "version": last["version"], "html": "{% include \"p3\" %}" });
    assert_eq!(setup.change("updatePartial", "partial { version }", change).await["partial"]["version"], 2);
    is(&publish().await, "TEMPLATE_INCLUDE", "html");
    assert_eq!(setup.count("template_versions").await, 3, "the two there were, and the one that is well");
}

#[actix_web::test]
async fn l2_who_may_not_see_personal_data_previews_a_sample_and_nobody() {
    let setup = Setup::new().await;
    let contact = setup.contact("ada@example.org").await.to_string();
    let version = json!({ "templateVersionId": setup.marketing.to_string() });
    let sample = json!({ "of": version });
    let own = json!({ "of": version, "contactId": contact });
    let ask = async |token: Option<&str>, input: &Value| {
        ask_at(gateway(setup.ports().clone()), token, PREVIEW, json!({ "input": input })).await
    };
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    for (role, may) in [(Role::Viewer, false), (Role::Analyst, false), (Role::Marketer, true)] {
        let token = token(&setup.world, setup.tenant, role).await;
        let seen = ask(Some(&token), &sample).await;
        assert_eq!(seen["data"]["previewTemplate"]["subject"], "Hello Kim", "{role}: {seen}");
        let seen = ask(Some(&token), &own).await;
        if may {
            assert_eq!(seen["data"]["previewTemplate"]["subject"], "Hello Ada", "{role}: {seen}");
        } else {
            assert_eq!((code(&seen).as_str(), &seen["data"]), ("FORBIDDEN", &Value::Null), "{role}: {seen}");
        }
    }
    for input in [&sample, &own] {
        assert_eq!(code(&ask(None, input).await), "UNAUTHENTICATED");
    }
    // Another tenant's marketer finds neither.
    let other = setup.world.tenant("Other").await;
    let token = token(&setup.world, other, Role::Marketer).await;
    for (input, field) in [(&sample, "of.templateVersionId"), (&own, "contactId")] {
        is(&ask(Some(&token), input).await["data"]["previewTemplate"], "NOT_FOUND", field);
    }
}

#[actix_web::test]
async fn mjml_and_style_sheets_become_html() {
    let setup = Setup::new().await;
    let template = setup.template("Letter", "MARKETING").await;
    let mjml = "<mjml><mj-head><mj-style>.big { letter-spacing: 2px }</mj-style></mj-head><mj-body><mj-section><mj-column>\
        <mj-text><p class=\"big\">Hi {{ contact.first_name|default(\"you\") }}</p></mj-text>\
        <mj-text><a href=\"{{ unsubscribe_url }}\">Abmelden</a></mj-text></mj-column></mj-section></mj-body></mjml>";
    let published = setup.publish(&template, mjml, json!({ "format": "MJML" })).await;
    let version = &published["templateVersion"];
    assert_eq!((&version["format"], &version["source"]), (&json!("MJML"), &json!(mjml)), "{published}");
    let html = version["html"].as_str().unwrap();
    assert!(html.contains("<p class=\"big\" style=\"") && html.contains("letter-spacing: 2px"), "{html}");
    assert!(!html.contains("mj-") || !html.contains("<mj-"), "{html}");
    assert_eq!(version["text"], "Hi {{ contact.first_name|default(\"you\") }}\n\nAbmelden <{{ unsubscribe_url }}>");
    for (html, code) in [
        (mjml.replace("<mj-text><a", "<mj-text font-size=\"0px\"><a"), "TEMPLATE_UNSUBSCRIBE"),
        (mjml.replace("<mj-section>", "<mj-include path=\"x.mjml\" /><mj-section>"), "TEMPLATE_MJML"),
        (mjml.replace(".big", "a { display: none } .big"), "TEMPLATE_UNSUBSCRIBE"),
        (mjml.replace("<mj-body>", ""), "TEMPLATE_NESTING"),
    ] {
        is(&setup.publish(&template, &html, json!({ "format": "MJML" })).await, code, "html");
    }
}

#[actix_web::test]
async fn publishing_refuses_what_nobody_declared() {
    let setup = Setup::new().await;
    setup.declared().await;
    let template = setup.template("Order", "TRANSACTIONAL").await;
    let html = "<p>{{ contact.attributes.size|default(1) }}</p>\n<p>{{ event.total }} {{ vars.anything }}</p>";
    let named = json!({ "eventName": "order placed" });
    let published = setup.publish(&template, html, named.clone()).await;
    assert_eq!(published["templateVersion"]["version"], 1, "{published}");
    let refused = setup.publish(&template, &html.replace("total", "totl"), named.clone()).await;
    is(&refused, "TEMPLATE_VARIABLE", "html");
    assert_eq!(
        refused["userErrors"][0]["message"],
        "Line 2: The event has no property \"totl\"; declare it, or send one such event."
    );
    is(&setup.publish(&template, html, json!({})).await, "TEMPLATE_VARIABLE", "html");
    is(&setup.publish(&template, &html.replace("size", "sise"), named.clone()).await, "TEMPLATE_VARIABLE", "html");
    is(&setup.publish(&template, html, json!({ "eventName": "nothing" })).await, "NOT_FOUND", "eventName");
    let link = "<a href=\"example.org\">x</a>";
    is(&setup.publish(&template, link, json!({})).await, "TEMPLATE_LINK", "html");
}

#[actix_web::test]
async fn a_preview_shows_the_mail_and_makes_nothing() {
    let setup = Setup::new().await;
    setup.declared().await;
    let contact = setup.contact("ada@example.org").await.to_string();
    let source = |html: &str| json!({ "class": "MARKETING", "subject": "Hi {{ contact.first_name }}", "html": format!("{html}{OUT}"), "eventName": "order placed" });
    let html = "<p>{{ event.total }} {{ event.shop }} {{ contact.attributes.size|default(0) }} {{ brand.name }} {{ vars.x }}</p>";
    let vars = json!({ "x": "<b>" });
    let tables = ["templates", "template_versions", "messages"];
    let mut before = Vec::new();
    for table in tables {
        before.push(setup.count(table).await);
    }
    let preview = setup.preview(json!({ "of": { "source": source(html) }, "variables": vars })).await;
    assert_eq!(preview["subject"], "Hi Kim", "{preview}");
    assert!(preview["html"].as_str().unwrap().starts_with("<p>1 shop 1 Example Ltd &lt;b&gt;</p>"), "{preview}");
    assert!(preview["text"].as_str().unwrap().contains("/unsubscribe/preview>"), "{preview}");
    let own = json!({
        "of": { "source": source(html) }, "contactId": contact, "senderId": setup.sender.to_string(),
        "variables": vars, "event": { "total": 7 },
    });
    let preview = setup.preview(own).await;
    assert_eq!(preview["subject"], "Hi Ada", "{preview}");
    assert!(preview["html"].as_str().unwrap().starts_with("<p>7 shop 0 Confiserie &lt;b&gt;</p>"), "{preview}");
    let published = setup.preview(json!({ "of": { "templateVersionId": setup.marketing.to_string() } })).await;
    assert_eq!(published["subject"], "Hello Kim", "{published}");

    let missing = setup.preview(json!({ "of": { "source": source(html) } })).await;
    is(&missing, "RENDER_UNDEFINED", "html");
    assert_eq!(missing["html"], Value::Null);
    let broken = setup.preview(json!({ "of": { "source": source("\n{{ event.nothing }}") } })).await;
    is(&broken, "TEMPLATE_VARIABLE", "html");
    let mut unknown = source("x");
    unknown["eventName"] = json!("nothing");
    is(&setup.preview(json!({ "of": { "source": unknown } })).await, "NOT_FOUND", "of.source.eventName");
    let endless = source(
        "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}x{% endfor %}{% endfor %}{% endfor %}",
    );
    is(&setup.preview(json!({ "of": { "source": endless } })).await, "RENDER_STEPS", "html");
    let nobody = json!({ "of": { "source": source("x") }, "contactId": setup.ports().new_id::<carillon_entities::ids::ContactId>().to_string() });
    is(&setup.preview(nobody).await, "NOT_FOUND", "contactId");
    for (table, before) in tables.into_iter().zip(before) {
        assert_eq!(setup.count(table).await, before, "{table}");
    }
}

/// Whoever writes a template says what is read for it.
#[actix_web::test]
async fn what_a_template_includes_is_bounded_before_it_is_read() {
    let setup = Setup::new().await;
    setup.partials(20, 90_000).await;
    let template = setup.template("Many", "TRANSACTIONAL").await;
    let includes =
        |from: usize, to: usize| (from..to).map(|n| format!("{{%include 'p{n}'%}}")).collect::<Vec<_>>().concat();
    // The first is too long to be looked through, and no statement could name as many as the second has.
    for (html, text) in [
        (includes(0, 40_000), "x".to_owned()),
        (includes(0, 25_000), includes(25_000, 50_000)),
        (includes(0, 20), "x".to_owned()),
    ] {
        let refused = setup.publish(&template, &html, json!({ "text": text })).await;
        is(&refused, "TEMPLATE_TOO_LARGE", "html");
        let source = json!({ "class": "TRANSACTIONAL", "subject": "S", "html": html, "text": text });
        let refused = setup.preview(json!({ "of": { "source": source } })).await;
        assert_eq!(refused["userErrors"][0]["code"], "TEMPLATE_TOO_LARGE", "{refused}");
    }
    let good = setup.publish(&template, &includes(0, 5), json!({ "text": "x" })).await;
    assert!(good["templateVersion"]["id"].is_string(), "{}", good["userErrors"]);
}

#[actix_web::test]
async fn a_tenant_has_so_many_partials_and_no_more() {
    let setup = Setup::new().await;
    setup.partials(PARTIALS_MAX - 1, 1).await;
    let make =
        async |name: &str| setup.change("createPartial", "partial { id }", json!({ "name": name, "html": "x" })).await;
    assert!(make("last").await["partial"]["id"].is_string());
    is(&make("one more").await, "TOO_MANY_PARTIALS", "name");
}

#[actix_web::test]
async fn a_test_is_sent_in_the_locale_that_is_asked_for() {
    let setup = Setup::new().await;
    join(&setup, user(&setup.world, "ann@confiserie.test", true).await).await;
    let template = setup.template("Receipt", "TRANSACTIONAL").await;
    let mut german = Value::Null;
    for locale in ["fr", "fr", "de"] {
        let published = setup.publish(&template, "<p>x</p>", json!({ "locale": locale })).await;
        german = published["templateVersion"]["id"].clone();
        assert!(german.is_string(), "{published}");
    }
    let sender = setup.sender.to_string();
    let test = |locale: Value| json!({ "templateVersionId": german, "senderId": sender, "to": "ann@confiserie.test", "locale": locale });
    let object = "message { templateVersion { locale version } }";
    for (locale, sent, version) in
        [(json!("fr-CA"), "fr", 2), (Value::Null, "de", 1), (json!("de-AT"), "de", 1), (json!("it"), "de", 1)]
    {
        let made = setup.change("sendTest", object, test(locale)).await;
        assert_eq!(made["message"]["templateVersion"], json!({ "locale": sent, "version": version }), "{made}");
    }
    is(&setup.change("sendTest", object, test(json!("no locale"))).await, "BAD_LOCALE", "locale");
    setup.world.leave_unsettled();
}

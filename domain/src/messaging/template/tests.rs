//! Templates as tenants write them, honest and hostile.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::contacts::{AttributeName, AttributeValue};

const OUT: &str = "<p><a href=\"{{ unsubscribe_url }}\">Abmelden</a></p>";
const URL: &str = "https://example.org/u/abc?x=1&y=2";

fn source(subject: &str, html: &str, text: &str) -> TemplateSource {
    TemplateSource { subject: subject.into(), html: html.into(), text: text.into() }
}

/// A marketing template around a piece of html.
fn marketing(html: &str) -> TemplateSource {
    source("Hi", &format!("{html}{OUT}"), "{{ unsubscribe_url }}")
}

fn data(vars: &serde_json::Value) -> RenderData {
    let mut data = RenderData {
        unsubscribe_url: Some(URL.into()),
        brand_name: "Brot & Co".into(),
        postal_address: "Weg 1, Köln".into(),
        vars: Variables::parse(vars).expect("variables"),
        ..RenderData::default()
    };
    data.contact.first_name = Some("Jörg".into());
    let size = AttributeName::parse("size").expect("a name");
    data.contact.attributes.insert(size, AttributeValue::Number(42.0));
    data
}

/// Renders a piece of html in a transactional mail.
fn html(piece: &str, vars: &serde_json::Value) -> Result<String, RenderErrorKind> {
    let template = CompiledTemplate::compile(&source("s", piece, "t"), MessageClass::Transactional).expect("compiles");
    template.render(&data(vars)).map(|rendered| rendered.html).map_err(|error| error.kind)
}

fn codes(source: &TemplateSource, class: MessageClass) -> Vec<(&'static str, Part, Option<u32>)> {
    let problems = validate(source, class).expect_err("refused");
    problems.into_iter().map(|problem| (problem.code, problem.part, problem.line)).collect()
}

fn forbidden(piece: &str) -> bool {
    let problems = validate(&source("s", piece, "t"), MessageClass::Transactional).err().unwrap_or_default();
    problems.iter().any(|problem| problem.code == "TEMPLATE_FORBIDDEN" || problem.code == "TEMPLATE_SYNTAX")
}

#[test]
fn a_mail_is_rendered() {
    let source = source(
        " {{ brand.name }} für {{ contact.first_name|default(\"dich\") }} ",
        &format!(
            "{{% for item in vars.items if item.n > 1 %}}<b>{{{{ loop.index }}}}. {{{{ item.name|upper }}}}</b>{{% endfor %}}\
             {{% if contact.last_name %}}x{{% else %}}Größe {{{{ contact.attributes.size + 1 }}}}{{% endif %}}{OUT}"
        ),
        "{{ vars.items|length }} {{ sender.postal_address }} {{ unsubscribe_url }}",
    );
    let checked = validate(&source, MessageClass::Marketing).expect("good");
    let used: Vec<_> = checked.variables.iter().map(String::as_str).collect();
    assert_eq!(
        used,
        [
            "brand.name",
            "contact.attributes.size",
            "contact.first_name",
            "contact.last_name",
            "sender.postal_address",
            "unsubscribe_url",
            "vars.items",
        ]
    );
    let template = CompiledTemplate::compile(&source, MessageClass::Marketing).expect("compiles");
    let vars = json!({"items": [{"name": "a<b", "n": 2}, {"name": "c", "n": 1}]});
    let mail = template.render(&data(&vars)).expect("renders");
    assert_eq!(mail.subject, "Brot & Co für Jörg");
    let out = "<p><a href=\"https://example.org/u/abc?x=1&amp;y=2\">Abmelden</a></p>";
    assert_eq!(mail.html, format!("<b>1. A&lt;B</b>Größe 43{out}"));
    assert_eq!(mail.text, format!("2 Weg 1, Köln {URL}"));
}

#[test]
fn c033_merge_data_is_never_a_template() {
    let vars = json!({"name": "{{ 7*7 }}{% for i in range(9) %}x{% endfor %}"});
    assert_eq!(html("{{ vars.name }}", &vars).as_deref(), Ok("{{ 7*7 }}{% for i in range(9) %}x{% endfor %}"));
}

#[test]
fn c229_merge_data_is_escaped_in_html() {
    let vars = json!({"name": "<script>'\"&"});
    assert_eq!(html("{{ vars.name }}", &vars).as_deref(), Ok("&lt;script&gt;&#39;&quot;&amp;"));
    assert!(forbidden("{{ vars.name|safe }}") && forbidden("{% autoescape false %}x{% endautoescape %}"));
}

#[test]
fn c229_loops_and_growth_are_stopped() {
    let nested = "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}";
    assert_eq!(html(nested, &json!({})), Err(RenderErrorKind::TooManySteps));
    let big = "x".repeat(20_000);
    let wide = "{% for a in range(500) %}{{ vars.big }}{% endfor %}";
    assert_eq!(html(wide, &json!({"big": big})), Err(RenderErrorKind::TooLarge));
    assert_eq!(
        html("{{ vars.big|replace(\"x\", \"xxxxxxxx\") }}", &json!({"big": big})),
        Err(RenderErrorKind::TooLarge)
    );
    assert!(html("{{ range(10001)|length }}", &json!({})).is_err());
    assert!(html("{{ range(-9223372036854775807, 9223372036854775807)|length }}", &json!({})).is_err());
    for piece in [
        "{% set a = vars.a ~ vars.a %}",
        "{{ \"a\" * 100000000 }}",
        "{{ vars.a * vars.b }}",
        "{{ vars.a + vars.a }}",
        "{{ 10 ** 10 }}",
        "{% set a = [vars.a, vars.a] %}",
        "{% set a = {\"x\": vars.a} %}",
        "{% set a %}{{ vars.a }}{{ vars.a }}{% endset %}",
        "{% filter upper %}x{% endfilter %}",
        "{% for a in vars.a recursive %}{{ loop(a) }}{% endfor %}",
        "{% include \"x\" %}",
        "{% extends \"x\" %}",
        "{% macro x() %}{% endmacro %}",
        "{% do vars.a() %}",
        "{{ vars.a() }}",
        "{{ debug() }}",
        "{{ namespace() }}",
        "{{ vars.a|tojson }}",
        "{{ vars.a is sameas vars.b }}",
        "{% set unsubscribe_url = \"x\" %}",
        "{% set contact.first_name = \"x\" %}",
    ] {
        assert!(forbidden(piece), "{piece}");
    }
    for piece in ["{{ vars.a|float * 2 }}", "{{ loop_count + 1 }}{% set loop_count = 1 %}", "{{ 7 * 7 }}"] {
        assert!(!forbidden(piece), "{piece}");
    }
}

#[test]
fn c229_scripts_are_refused() {
    for piece in [
        "<script>x</script>",
        "<a href=\"java&#115;cript:x\">x</a>",
        "<a href=' JAVA\tSCRIPT:x'>x</a>",
        "<img src=x onerror=alert(1)>",
    ] {
        assert!(
            codes(&marketing(piece), MessageClass::Marketing).iter().any(|code| code.0 == "TEMPLATE_SCRIPT"),
            "{piece}"
        );
    }
    let link = "<a href=\"{{ vars.url }}\">x</a>";
    assert_eq!(html(link, &json!({"url": "java\nscript:alert(1)"})), Err(RenderErrorKind::Script));
    assert!(html(link, &json!({"url": "https://example.org/?a=1&b=2"})).is_ok());
    assert!(forbidden("<a href={{ vars.url }}>x</a>") && forbidden("<a href={{vars.url}}>x</a>"));
    assert!(forbidden("<td {{ vars.x }}>x</td>"));
    assert!(!forbidden("<td {% if vars.x %}class=\"{{ vars.x }}\"{% endif %}>x</td>"));
}

#[test]
fn c024_a_subject_is_one_line() {
    let template = CompiledTemplate::compile(&source("Hi {{ vars.name }}", "h", "t"), MessageClass::Transactional);
    let template = template.expect("compiles");
    for name in ["a\r\nBcc: v@x", "a\0", "a\u{2028}b", "a\u{7f}"] {
        let error = template.render(&data(&json!({"name": name}))).expect_err("refused");
        assert_eq!((error.part, error.kind), (Part::Subject, RenderErrorKind::HeaderControl), "{name:?}");
    }
    for nul in [source("a\0", "h", "t"), source("s", "a\0", "t"), source("s", "h", "a\0")] {
        assert!(codes(&nul, MessageClass::Transactional).iter().any(|(code, ..)| *code == "TEMPLATE_CONTROL"));
    }
    let twolines = source("Hi\nthere", "h", "t");
    assert_eq!(codes(&twolines, MessageClass::Transactional), [("TEMPLATE_SUBJECT", Part::Subject, None)]);
}

#[test]
fn c015_marketing_needs_a_visible_way_out() {
    let bad = [
        "no link",
        "{{ unsubscribe_url }}",
        "<!-- <a href=\"{{ unsubscribe_url }}\">x</a> -->",
        "<a href=\"{{ unsubscribe_url }}\"> &nbsp;</a>",
        "<a href=\"{{ unsubscribe_url }}\"><img src=\"x.png\" alt=\"x\"></a>",
        "<a href=\"{{ unsubscribe_url }}\" style=\"display: none !important\">x</a>",
        "<div style='DISPLAY:none'><p><a href=\"{{ unsubscribe_url }}\">x</a></p></div>",
        "<a href=\"{{ unsubscribe_url }}\" style=\"font-size:0px\">x</a>",
        "<a href=\"{{ unsubscribe_url }}\" style=\"color: #FFF\">x</a>",
        "<td bgcolor=\"#336699\"><a href=\"{{ unsubscribe_url }}\"><span style=\"color:#369\">x</span></a></td>",
        "<div hidden><a href=\"{{ unsubscribe_url }}\">x</a></div>",
    ];
    for html in bad {
        let template = source("s", html, "{{ unsubscribe_url }}");
        let expected = [("TEMPLATE_UNSUBSCRIBE", Part::Html, None)];
        assert_eq!(codes(&template, MessageClass::Marketing), expected, "{html}");
        assert!(validate(&template, MessageClass::Transactional).is_ok());
    }
    let textless = source("s", OUT, "bye");
    assert_eq!(codes(&textless, MessageClass::Marketing), [("TEMPLATE_UNSUBSCRIBE", Part::Text, None)]);
    for html in [OUT, "<br><a href='{{unsubscribe_url}}' style='color:#fff;background:#000'><b>x</b></a>"] {
        assert!(validate(&source("s", html, "{{ unsubscribe_url }}"), MessageClass::Marketing).is_ok(), "{html}");
    }
}

#[test]
fn c015_a_condition_cannot_take_the_way_out_away() {
    let source = source("s", &format!("{{% if vars.on %}}{OUT}{{% endif %}}x"), "{{ unsubscribe_url }}");
    let template = CompiledTemplate::compile(&source, MessageClass::Marketing).expect("compiles");
    assert!(template.render(&data(&json!({"on": true}))).is_ok());
    let error = template.render(&data(&json!({"on": false}))).expect_err("refused");
    assert_eq!((error.part, error.kind), (Part::Html, RenderErrorKind::NoUnsubscribe));
}

#[test]
fn c031_long_html_is_refused_for_marketing() {
    let long = |n| marketing(&"x".repeat(n));
    assert_eq!(codes(&long(150_000), MessageClass::Marketing), [("TEMPLATE_TOO_LARGE", Part::Html, None)]);
    assert!(validate(&long(150_000), MessageClass::Transactional).is_ok());
    let checked = validate(&long(85_000), MessageClass::Marketing).expect("good");
    assert_eq!(checked.warnings.first().map(|warning| warning.code), Some("TEMPLATE_LARGE"));
    let grows = marketing("{% for i in range(600) %}{{ vars.text }}{% endfor %}");
    let template = CompiledTemplate::compile(&grows, MessageClass::Marketing).expect("compiles");
    let error = template.render(&data(&json!({"text": "x".repeat(200)}))).expect_err("refused");
    assert_eq!(error.kind, RenderErrorKind::TooLarge);
    let empty = source(" ", "", "\n");
    assert_eq!(codes(&empty, MessageClass::Transactional).len(), 3);
}

#[test]
fn c229_elements_without_end_are_refused() {
    let deep = |depth: usize| source("s", &format!("{}x{}", "<p>".repeat(depth), "</b></p>".repeat(depth)), "t");
    assert!(validate(&deep(1_000), MessageClass::Transactional).is_ok());
    assert_eq!(codes(&deep(1_001), MessageClass::Transactional), [("TEMPLATE_TOO_COMPLEX", Part::Html, Some(1))]);
    assert_eq!(codes(&deep(40_000), MessageClass::Transactional).len(), PROBLEMS);
}

#[test]
fn errors_tell_their_line() {
    let broken = source("s", "a\n{% if %}", "t");
    assert_eq!(codes(&broken, MessageClass::Transactional), [("TEMPLATE_SYNTAX", Part::Html, Some(2))]);
    let unknown = source("s", "a\n\n{{ kontakt.name }}{{ contact.surname }}{{ contact }}", "t");
    assert_eq!(codes(&unknown, MessageClass::Transactional), [("TEMPLATE_VARIABLE", Part::Html, Some(3)); 3]);
    let refusal = Refusal::from(TemplateProblem::new("X", Part::Text, Some(3), "why"));
    assert_eq!((refusal.field.as_str(), refusal.message.as_str()), ("text", "Line 3: why"));
}

#[test]
fn what_is_not_there_fails_and_can_be_asked_for() {
    assert_eq!(html("{{ contact.last_name }}", &json!({})), Err(RenderErrorKind::Undefined));
    assert_eq!(html("{{ vars.a.b }}", &json!({})), Err(RenderErrorKind::Undefined));
    let asked =
        "{{ contact.last_name|default(\"x\") }}{% if vars.a is defined %}y{% endif %}{% if vars.b %}z{% endif %}";
    assert_eq!(html(asked, &json!({})).as_deref(), Ok("x"));
    assert_eq!(
        html("{{ vars.n }} {{ vars.f }} {{ vars.t }}", &json!({"n": null, "f": 2.5, "t": true})).as_deref(),
        Ok(" 2.5 true")
    );
    assert_eq!(html("{{ vars.list }}", &json!({"list": [1]})), Err(RenderErrorKind::Value));
    assert_eq!(html("{{ vars.list|join(\", \") }}", &json!({"list": [1, "b"]})).as_deref(), Ok("1, b"));
}

#[test]
fn variables_are_bounded() {
    let deep = (0..9).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(Variables::parse(&json!([])).err(), Some(InvalidVariables::NotAnObject));
    assert_eq!(Variables::parse(&json!({"a": deep})).err(), Some(InvalidVariables::TooDeep));
    assert_eq!(Variables::parse(&json!({"a": "x".repeat(40_000)})).err(), Some(InvalidVariables::TooLarge));
}

proptest! {
    #[test]
    fn c229_no_source_panics(piece in "([{%<>\"a-z =|.~*+0-9\\[\\]()]|\\{\\{|\\}\\}|\\{%|%\\}| for a in vars| if | endfor | range){0,40}") {
        let template = source("s", &piece, "t");
        if validate(&template, MessageClass::Transactional).is_ok() {
            let compiled = CompiledTemplate::compile(&template, MessageClass::Transactional);
            let _ = compiled.expect("what may be published compiles").render(&data(&json!({"a": [1, "x"]})));
        }
    }

    #[test]
    fn c229_merged_text_starts_no_tag(name in "\\PC{0,40}") {
        let out = html("<p title=\"{{ vars.name }}\">{{ vars.name }}</p>", &json!({"name": name})).expect("renders");
        prop_assert_eq!(out.matches('<').count(), 2);
        prop_assert_eq!(out.matches('"').count(), 2);
    }
}

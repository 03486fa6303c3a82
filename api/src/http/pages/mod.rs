//! Pages behind the links of mails: plain HTML that works without scripts, styles and cookies (C-87).

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::{Environment, Value, context};

/// Seconds after which a client may try again while the database is away.
const RETRY_AFTER_S: u32 = 30;

const STYLE: &str = "body{font:1.1rem/1.5 sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}\
    button,input{font:inherit;padding:.6rem 1rem}input{display:block;box-sizing:border-box;width:100%}";

/// What stands around every page.
const LAYOUT: &str = "layout.html";

static PAGES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    let texts = [
        (LAYOUT, include_str!("layout.html")),
        ("unsubscribe.html", include_str!("unsubscribe.html")),
        ("forms.html", include_str!("forms.html")),
        ("notice.html", include_str!("notice.html")),
        ("mails.html", include_str!("mails.html")),
        ("mail.html", include_str!("mail.html")),
    ];
    for (name, text) in texts {
        pages.add_template(name, text).expect("the pages are compiled in and tested");
    }
    pages
});

/// Nothing but the page's own style, named by its hash, and forms to this very origin.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let style = STANDARD.encode(digest);
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// What the unsubscribe page shows.
#[derive(Debug, Default)]
pub struct UnsubscribeView {
    /// The brand's name, unless it is gone.
    pub brand: Option<String>,
    /// The topic's name, unless it is gone.
    pub topic: Option<String>,
    /// True when the link is about all marketing.
    pub is_all_marketing: bool,
    /// What was just done: `topic`, `all_marketing` or `no_tracking`.
    pub done: Option<&'static str>,
    /// Where the forms go, if not to the page itself.
    pub action: Option<String>,
}

/// The unsubscribe page.
pub fn unsubscribe(view: UnsubscribeView) -> HttpResponse {
    let title = match view.done {
        None => "Unsubscribe",
        Some("no_tracking") => "You are not tracked any more",
        Some(_) => "You are unsubscribed",
    };
    let page = context! {
        title, brand => view.brand, topic => view.topic, is_all_marketing => view.is_all_marketing,
        done => view.done, action => view.action,
    };
    render(StatusCode::OK, "unsubscribe.html", &page)
}

/// The answer to every one-click, the first and all that repeat it (C-09).
pub fn unsubscribed() -> HttpResponse {
    notice(StatusCode::OK, "You are unsubscribed", "You will get no more of this mail.")
}

/// The answer to a link that is none of ours, whatever is wrong with it (C-07).
pub fn unknown_link() -> HttpResponse {
    notice(StatusCode::NOT_FOUND, "This link is not known", "Please use the link as it stands in the mail.")
}

/// A field of a form.
#[derive(Debug, Clone, Copy)]
pub struct FieldView {
    /// Its name in what is sent.
    pub name: &'static str,
    /// What it is called on the page.
    pub label: &'static str,
    /// The kind of input.
    pub kind: &'static str,
    /// What a browser may fill in.
    pub autocomplete: &'static str,
}

/// A form of a page.
#[derive(Debug, Clone, Copy)]
pub struct FormView {
    /// What stands above it.
    pub text: &'static str,
    /// What is asked for.
    pub fields: &'static [FieldView],
    /// What its button sends as `choice`.
    pub choice: &'static str,
    /// What stands on its button.
    pub button: &'static str,
}

impl FormView {
    fn value(&self) -> Value {
        let field = |field: &FieldView| {
            let FieldView { name, label, kind, autocomplete } = *field;
            context! { name, label, kind, autocomplete }
        };
        let fields: Vec<Value> = self.fields.iter().map(field).collect();
        context! { text => self.text, fields, choice => self.choice, button => self.button }
    }
}

/// A page with forms that send a token to `action`; `said` is why the last try was refused.
pub fn forms(title: &str, forms: &[FormView], (action, token): (&str, &str), said: Option<&str>) -> HttpResponse {
    let status = if said.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let forms: Vec<Value> = forms.iter().map(FormView::value).collect();
    let page = context! { title, forms, action, token, said };
    render(status, "forms.html", &page)
}

/// The answer to something that was done.
pub fn done(title: &str, text: &str) -> HttpResponse {
    notice(StatusCode::OK, title, text)
}

/// The answer to a link about access that opens nothing, or nothing any more.
pub fn dead_link() -> HttpResponse {
    let text = "It was used before, is too old, or is not complete. Please ask for another mail.";
    notice(StatusCode::NOT_FOUND, "This link is not valid any more", text)
}

/// The answer to what no form of ours sends.
pub fn not_a_form() -> HttpResponse {
    notice(StatusCode::BAD_REQUEST, "This did not work", "Please open the link of the mail again and use its form.")
}

/// The answer to somebody who tries too often (C-216).
pub fn too_many(retry_after_s: u32) -> HttpResponse {
    let mut answer =
        notice(StatusCode::TOO_MANY_REQUESTS, "Please wait a little", "There were too many tries. Please wait.");
    answer.headers_mut().insert(RETRY_AFTER, retry_after_s.into());
    answer
}

/// What the catcher's pages show of a mail.
#[derive(Debug)]
pub struct MailView {
    /// Number of arrival.
    pub seq: u64,
    /// Envelope recipients.
    pub to: String,
    /// Decoded subject.
    pub subject: String,
    /// Header fields, in their order.
    pub headers: Vec<(String, String)>,
    /// The text part.
    pub text: String,
    /// True when there is an html part.
    pub has_html: bool,
}

impl MailView {
    fn value(&self) -> Value {
        let headers: Vec<Value> =
            self.headers.iter().map(|(name, value)| Value::from(vec![name.clone(), value.clone()])).collect();
        context! {
            seq => self.seq, to => self.to.clone(), subject => self.subject.clone(), headers,
            text => self.text.clone(), has_html => self.has_html,
        }
    }
}

/// The list of caught mails; `older` is where the next page starts.
pub fn mails(mails: &[MailView], older: Option<u64>) -> HttpResponse {
    render(
        StatusCode::OK,
        "mails.html",
        &context! { title => "Caught mail", mails => mails.iter().map(MailView::value).collect::<Vec<_>>(), older },
    )
}

/// One caught mail.
pub fn mail(mail: &MailView) -> HttpResponse {
    render(StatusCode::OK, "mail.html", &context! { title => mail.subject.clone(), mail => mail.value() })
}

/// The answer to the number of a mail that is not kept.
pub fn no_mail() -> HttpResponse {
    notice(StatusCode::NOT_FOUND, "There is no such mail", "The catcher keeps the newest mails only.")
}

/// The answer while the database is away (C-11).
pub fn unavailable() -> HttpResponse {
    let mut answer =
        notice(StatusCode::SERVICE_UNAVAILABLE, "Please try again", "This did not work. Please try again in a minute.");
    answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
    answer
}

fn notice(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    render(status, "notice.html", &context! { title, text })
}

/// A page within the layout; both see the same values, `title` among them.
fn html(name: &str, page: &Value) -> Result<String, minijinja::Error> {
    let body = PAGES.get_template(name)?.render(page)?;
    PAGES.get_template(LAYOUT)?.render(context! { style => STYLE, body, ..page.clone() })
}

fn render(status: StatusCode, name: &str, page: &Value) -> HttpResponse {
    match html(name, page) {
        Ok(html) => guarded(status).insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(html),
        Err(error) => {
            tracing::error!(%error, name, "a page does not render");
            guarded(StatusCode::INTERNAL_SERVER_ERROR).finish()
        }
    }
}

/// A response with the headers that every page of a link has: the link itself is a secret of the recipient.
pub fn guarded(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header(("x-robots-tag", "noindex, nofollow"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_its_own_inside_and_one_frame() {
        let pages = ["unsubscribe.html", "forms.html", "notice.html", "mails.html", "mail.html"];
        let values = context! { title => "A & B", text => "<b>", mail => context! {}, forms => (), mails => () };
        let shown = pages.map(|name| html(name, &values).expect(name));
        for (name, page) in pages.iter().zip(&shown) {
            assert_eq!(page.matches("<title>A &amp; B</title>").count(), 1, "{name}");
            assert_eq!((page.matches("<html").count(), page.matches("<h1>").count()), (1, 1), "{name}");
            assert!(page.contains(STYLE) && page.trim_end().ends_with("</html>"), "{name}");
        }
        assert!(shown[2].contains("<p>&lt;b&gt;</p>"), "{}", shown[2]);
    }
}

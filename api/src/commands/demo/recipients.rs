//! What recipients and machines on their way do: most of it nobody asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Response;
use tokio::time::{MissedTickBehavior, interval};
use url::{Url, form_urlencoded};

use super::client::Api;
use super::mailbox::Mail;

/// Requests at the same time.
const AT_ONCE: usize = 8;
/// How forms are sent.
const FORM: &str = "application/x-www-form-urlencoded";

/// One reader after the other looks at the mail: nobody's note is lost because of too many at once.
const ONE_READER: Duration = Duration::from_millis(30);
/// What a browser calls itself, and a scanner that does not want to be known.
const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
/// Where the scanner sits.
const SCANNER: &str = "198.51.100.7";

/// Presses the button of a mail program: the POST of RFC 8058, taken from the mail's own header.
pub async fn one_click(api: &Api, mails: &[&Mail]) -> Result<()> {
    let press = |mail: &Mail| {
        let link = mail.one_click.clone().context("a mail without List-Unsubscribe");
        async move {
            let request = api.http().post(link?).header("content-type", FORM);
            let answer = request.body("List-Unsubscribe=One-Click").send().await?;
            ensure!(answer.status().is_success(), "one click was answered with {}", answer.status());
            Ok(())
        }
    };
    stream::iter(mails.iter().map(|mail| press(mail))).buffer_unordered(AT_ONCE).try_collect().await
}

/// Opens the html part of each mail, whose pixel that fetches if it has one (C-77), and follows a link where that is wanted: everybody with a
/// browser, from a network of their own. Where the links lead is the answer; nobody goes there.
pub async fn read(api: &Api, mails: &[(&Mail, bool)]) -> Result<Vec<String>> {
    let mut pace = interval(ONE_READER);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut led_to = Vec::new();
    for (at, (mail, clicks)) in mails.iter().enumerate() {
        pace.tick().await;
        let home = format!("2001:db8:{at:x}::1");
        let link =
            |path: &str| mail.links.iter().find(|link| link.contains(path)).context("a mail that is not tracked");
        if let Ok(pixel) = link("/o/") {
            visit(api, pixel, &home).await?;
        }
        if *clicks {
            let answer = visit(api, link("/c/")?, &home).await?;
            let target = answer.headers().get("location").and_then(|target| target.to_str().ok());
            led_to.push(target.context("a link that leads nowhere")?.to_owned());
        }
    }
    Ok(led_to)
}

/// Asks for a link from a network.
async fn visit(api: &Api, link: &str, from: &str) -> Result<Response> {
    let request = api.http().get(link).header("user-agent", BROWSER).header("x-forwarded-for", from);
    let answer = request.send().await?;
    let status = answer.status();
    ensure!(status.is_success() || status.is_redirection(), "a link was answered with {status}");
    Ok(answer)
}

/// Opens every link of every mail, as filters at companies' doors do; how many pages were shown.
pub async fn scan(api: &Api, mails: &[&Mail]) -> Result<usize> {
    let links: BTreeSet<&String> = mails.iter().flat_map(|mail| &mail.links).collect();
    let open = links.into_iter().map(|link| visit(api, link, SCANNER));
    let shown: Vec<Response> = stream::iter(open).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(shown.len())
}

/// Opens a link as a browser does, fills in the page's first form, which asks for a password, and presses its button.
pub async fn follow(api: &Api, link: &str, password: &str) -> Result<()> {
    let answer = api.http().get(link).send().await?;
    ensure!(answer.status().is_success(), "the mail's link was answered with {}", answer.status());
    let page = answer.url().clone();
    let (action, fields) = form(&page, &answer.text().await?).context("the page of the mail's link has no form")?;
    let mut body = form_urlencoded::Serializer::new(String::new());
    let body = body.extend_pairs(&fields).append_pair("password", password).finish();
    let answer = api.http().post(action).header("content-type", FORM).body(body).send().await?;
    ensure!(answer.status().is_success(), "the page's form was answered with {}", answer.status());
    Ok(())
}

/// Where the first form of one of our pages goes, and what it sends as it stands.
fn form(page: &Url, html: &str) -> Option<(Url, Vec<(String, String)>)> {
    let (_, rest) = html.split_once("<form ")?;
    let (form, _) = rest.split_once("</form>")?;
    let (open, inside) = form.split_once('>')?;
    let action = page.join(attribute(open, "action").unwrap_or_default()).ok()?;
    let elements = inside.split('<').filter(|element| element.starts_with("input ") || element.starts_with("button "));
    let field = |element| Some((attribute(element, "name")?.to_owned(), attribute(element, "value")?.to_owned()));
    Some((action, elements.filter_map(field).collect()))
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = element.split_once(&format!(" {name}=\""))?;
    value.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_sent_where_and_as_its_page_says() {
        let page = Url::parse("http://127.0.0.1:1/verify-email?token=t").unwrap();
        let html = "<form method=\"post\" action=\"verify-email\"><input type=\"hidden\" name=\"token\" value=\"t\">\
                    <p><button type=\"submit\" name=\"choice\" value=\"confirm\">Go</button></p></form>";
        let (action, fields) = form(&page, html).unwrap();
        assert_eq!(action.as_str(), "http://127.0.0.1:1/verify-email");
        assert_eq!(fields, [("token".into(), "t".into()), ("choice".into(), "confirm".into())]);
        assert!(form(&page, "<p>no form</p>").is_none());
    }
}

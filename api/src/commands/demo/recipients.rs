//! What recipients and machines on their way do: most of it nobody asked for.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::client::Api;
use super::mailbox::Mail;

/// Requests at the same time.
const AT_ONCE: usize = 8;

/// Presses the button of a mail program: the POST of RFC 8058, taken from the mail's own header.
pub async fn one_click(api: &Api, mails: &[&Mail]) -> Result<()> {
    let press = |mail: &Mail| {
        let link = mail.one_click.clone().context("a mail without List-Unsubscribe");
        async move {
            let request = api.http().post(link?).header("content-type", "application/x-www-form-urlencoded");
            let answer = request.body("List-Unsubscribe=One-Click").send().await?;
            ensure!(answer.status().is_success(), "one click was answered with {}", answer.status());
            Ok(())
        }
    };
    stream::iter(mails.iter().map(|mail| press(mail))).buffer_unordered(AT_ONCE).try_collect().await
}

/// Opens every link of every mail, as filters at companies' doors do; how many pages were shown.
pub async fn scan(api: &Api, mails: &[&Mail]) -> Result<usize> {
    let links: BTreeSet<&String> = mails.iter().flat_map(|mail| &mail.links).collect();
    let open = async |link: &String| {
        let answer = api.http().get(link).send().await?;
        ensure!(answer.status().is_success(), "a link was answered with {}", answer.status());
        anyhow::Ok(())
    };
    let shown: Vec<()> = stream::iter(links.into_iter().map(open)).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(shown.len())
}

//! The one-click links of the mails at the sink, by recipient.

use std::collections::HashMap;
use std::sync::Arc;

use carillon_jobs::catcher::Catcher;

/// Links read so far.
pub struct Links {
    sink: Arc<Catcher>,
    read_to: u64,
    paths: HashMap<String, String>,
}

impl Links {
    pub fn new(sink: Arc<Catcher>) -> Self {
        Self { sink, read_to: 0, paths: HashMap::new() }
    }

    /// Reads what came since.
    pub fn read(&mut self) {
        loop {
            let mails = self.sink.mails(self.read_to, 500);
            let Some(last) = mails.last() else { return };
            self.read_to = last.seq;
            for mail in &mails {
                if let (Some(address), Some(path)) = (mail.recipients.first(), one_click_path(&mail.raw)) {
                    self.paths.entry(address.clone()).or_insert(path);
                }
            }
        }
    }

    /// The link of the first mail an address got.
    pub fn of(&self, address: &str) -> Option<String> {
        self.paths.get(address).cloned()
    }
}

/// The path of the one-click URL in the List-Unsubscribe field.
fn one_click_path(raw: &[u8]) -> Option<String> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let message = mail_parser::MessageParser::default().parse(&raw[..end + 4])?;
    let field = message.header_raw("List-Unsubscribe")?.replace(['\r', '\n', ' ', '\t'], "");
    let url = field.trim_start_matches('<').split('>').next()?.to_owned();
    let rest = url.split_once("://")?.1;
    Some(rest[rest.find('/')?..].to_owned())
}

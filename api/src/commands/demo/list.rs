//! What the imported list says of people, read from the file itself and not from what the product made of it.
//!
//! The words are those of `generate-demo-contacts.py`; whoever changes one changes the other.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use carillon_domain::contacts::import::{Format, RecordReader};
use url::Host;

/// A list as a spreadsheet saves it, with everything such lists have.
pub const LIST: &[u8] = include_bytes!("../../../assets/demo-contacts.csv");
/// Rows of the list.
pub const ROWS: u64 = 1_000;
/// Rows of the list that hold a mistake, one each.
pub const BAD_ROWS: u64 = 20;
/// People in the list, however often they are in it.
pub const PEOPLE: usize = 950;
/// Rows with a mistake have customer numbers from here on, or none.
const MISTAKES_FROM: u32 = 12_000;

/// The people of the list, by their addresses in lower case.
#[derive(Debug, Default)]
pub struct People {
    /// Who agreed, and may be written to.
    pub agreed: BTreeSet<String>,
    /// Who agreed, but has an address that the catcher's SMTP cannot take: characters beyond ASCII before the @.
    pub unreachable: BTreeSet<String>,
    /// Who said no in any row.
    pub said_no: BTreeSet<String>,
    /// Who has not confirmed.
    pub pending: BTreeSet<String>,
    /// Of whom nobody knows when or where they agreed.
    pub unproven: BTreeSet<String>,
    /// How many have no address.
    pub without_address: usize,
    /// Lines of the rows with a mistake.
    pub bad_lines: BTreeSet<u64>,
    /// Lines of the rows that say yes of people who say no in another.
    pub contradicted_lines: BTreeSet<u64>,
}

/// What all rows of a person say together.
#[expect(clippy::struct_excessive_bools, reason = "rows may say all of it of one person")]
#[derive(Debug, Default)]
struct Person {
    email: String,
    yes: bool,
    no: bool,
    pending: bool,
    proven: bool,
    lines_of_yes: Vec<u64>,
}

impl People {
    /// Reads the list.
    pub fn read() -> Result<Self> {
        let format = Format::detect(LIST).context("the list is no table")?;
        let mut reader = RecordReader::new(&format, format.start);
        reader.feed(Bytes::from_static(&LIST[usize::try_from(format.start.offset)?..]));
        reader.finish();
        let header = reader.next_record().context("the list is empty")?.map_err(|error| error.kind)?;
        let column = |name| header.cells().position(|cell| cell == name).with_context(|| format!("no column {name}"));
        let names = ["E-Mail-Adresse", "Kundennummer", "Status", "Anmeldedatum", "Quelle"];
        let columns = names.into_iter().map(column).collect::<Result<Vec<_>>>()?;
        let (mut people, mut bad_lines) = (BTreeMap::<u32, Person>::new(), BTreeSet::new());
        while let Some(record) = reader.next_record() {
            let record = record.map_err(|error| error.kind)?;
            let cells: Vec<&str> = columns.iter().filter_map(|column| record.get(*column)).collect();
            let [email, number, status, since, source] = cells[..] else { continue };
            let number = number.strip_prefix("K-").and_then(|number| number.parse().ok());
            let Some(number) = number.filter(|number| *number < MISTAKES_FROM) else {
                bad_lines.insert(record.line);
                continue;
            };
            let proven = !since.is_empty() && !source.is_empty();
            people.entry(number).or_default().hear(record.line, email, (status, proven));
        }
        ensure!(people.len() == PEOPLE, "{} people in the list instead of {PEOPLE}", people.len());
        Ok(Self { bad_lines, ..people.into_values().collect() })
    }

    /// True for somebody who must not get a mail, whatever else is known of them.
    pub fn forbid(&self, address: &str) -> bool {
        [&self.said_no, &self.pending, &self.unproven].iter().any(|people| people.contains(address))
    }
}

/// An address as an envelope has it: in lower case, its domain in letters DNS knows.
fn as_delivered(email: &str) -> String {
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let domain = Host::parse(domain).map_or_else(|_| domain.to_lowercase(), |host| host.to_string());
    if local.is_empty() { String::new() } else { format!("{}@{domain}", local.to_lowercase()) }
}

impl Person {
    fn hear(&mut self, line: u64, email: &str, (status, proven): (&str, bool)) {
        if self.email.is_empty() {
            self.email = as_delivered(email);
        }
        match status {
            "ja" | "angemeldet" | "subscribed" => {
                self.yes = true;
                self.lines_of_yes.push(line);
            }
            "nein" | "abgemeldet" | "unsubscribed" => self.no = true,
            _ => self.pending = true,
        }
        self.proven |= proven;
    }
}

impl FromIterator<Person> for People {
    fn from_iter<I: IntoIterator<Item = Person>>(all: I) -> Self {
        let mut people = Self::default();
        for person in all {
            let local = person.email.split('@').next().unwrap_or_default();
            people.contradicted_lines.extend(person.lines_of_yes.iter().filter(|_| person.no));
            let place = match &person {
                Person { email, .. } if email.is_empty() => {
                    people.without_address += 1;
                    continue;
                }
                Person { no: true, .. } => &mut people.said_no,
                Person { yes: false, .. } => &mut people.pending,
                Person { proven: false, .. } => &mut people.unproven,
                _ if !local.is_ascii() => &mut people.unreachable,
                _ => &mut people.agreed,
            };
            place.insert(person.email);
        }
        people
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_its_generator_meant() {
        let people = People::read().unwrap();
        // 55 said no, and five more under another spelling of their address.
        assert_eq!((people.said_no.len(), people.unproven.len(), people.pending.len()), (60, 12, 10));
        assert_eq!((people.without_address, people.unreachable.len()), (8, 3));
        assert_eq!((people.bad_lines.len() as u64, people.contradicted_lines.len()), (BAD_ROWS, 5));
        assert_eq!(people.agreed.len(), PEOPLE - 60 - 12 - 10 - 8 - 3);
        assert_eq!(as_delivered("Ada@BÜCHEREI.example"), "ada@xn--bcherei-n2a.example");
        assert!(people.said_no.iter().all(|address| people.forbid(address)));
        assert!(!people.agreed.iter().any(|address| people.forbid(address)));
    }
}

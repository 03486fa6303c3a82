//! Rows as files have them.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::{Format, HeaderRules, RecordReader};
use super::*;
use crate::contacts::{AttributeKind, AttributeName};

type Rows = Vec<Result<Option<ImportRow>, RefusedRow>>;

fn name(text: &str) -> AttributeName {
    AttributeName::parse(text).expect("a name")
}

fn read(file: &str) -> Rows {
    let format = Format::detect(file.as_bytes()).expect("text");
    let mut reader = RecordReader::new(&format, format.start);
    reader.feed(Bytes::from(file.to_owned()));
    reader.finish();
    let mut header_rules = HeaderRules::default();
    header_rules.attributes.insert(name("size"), AttributeKind::Number);
    header_rules.attributes.insert(name("note"), AttributeKind::String);
    let header = reader.next_record().expect("a header").expect("good");
    let header = Header::read(&header, &header_rules).expect("known columns");
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
    let rules = RowRules { default_country: Country::parse("DE").ok(), now };
    let mut rows = Vec::new();
    while let Some(record) = reader.next_record() {
        rows.push(match record {
            Ok(record) => header.read_row(&record, &rules),
            Err(error) => Err(error.into()),
        });
    }
    rows
}

fn row(file: &str) -> ImportRow {
    read(file).remove(0).expect("no errors").expect("not empty")
}

fn errors(file: &str) -> Vec<(u64, String, &'static str)> {
    let errors = read(file).into_iter().filter_map(Result::err).flat_map(|refused| refused.errors);
    errors.map(|error| (error.line, error.field, error.code)).collect()
}

#[test]
fn a_full_row() {
    let row = row(
        "mail;vorname;nachname;telefon;land;zeitzone;sprache;tags;status;opt-in date;quelle;id;size;note\r\n\
         Jane@EXÄMPLE.de; Jane ;Doe;043 123456789;CH;Europe/Zurich;de_ch;VIP|neu, VIP;Ja;31.12.2025 10:30;Messe;007;12,5;x\r\n",
    );
    assert_eq!(row.line, 2);
    assert_eq!(row.email.map(|email| email.as_sent().to_owned()).as_deref(), Some("Jane@xn--exmple-cua.de"));
    assert_eq!((row.first_name.as_deref(), row.external_id.as_deref()), (Some("Jane"), Some("007")));
    let phone = row.phone.map(|phone| phone.as_e164().to_owned());
    assert_eq!(phone.as_deref(), Some("+4143123456789"), "read by the row's own country");
    assert_eq!(row.locale.map(|locale| locale.as_str().to_owned()).as_deref(), Some("de-CH"));
    assert_eq!(row.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["VIP", "neu"]);
    assert_eq!(row.subscription, Subscription::Subscribed);
    assert_eq!(row.consent_at.map(|at| at.to_rfc3339()).as_deref(), Some("2025-12-31T10:30:00+00:00"));
    assert_eq!(row.attributes.get(&name("size")), Some(&AttributeValue::Number(12.5)));
}

#[test]
fn c030_a_long_local_part_is_a_row_error_and_the_rest_is_imported() {
    let file = format!("email\na@example.com\n{}@example.com\nb@example.com\n", "x".repeat(65));
    let rows = read(&file);
    assert_eq!(rows.iter().filter(|row| row.is_ok()).count(), 2);
    assert_eq!(errors(&file), [(3, "email".to_owned(), "INVALID_EMAIL")]);
}

#[test]
fn c230_our_own_prefix_is_undone() {
    let row = row("email,phone,first_name,note\na@example.com,'+4917112345678,'=Jane,'-1\n");
    assert_eq!(row.phone.map(|phone| phone.as_e164().to_owned()).as_deref(), Some("+4917112345678"));
    assert_eq!(row.first_name.as_deref(), Some("=Jane"));
    assert_eq!(row.attributes.get(&name("note")), Some(&AttributeValue::String("-1".into())));
}

#[test]
fn all_errors_of_a_row_are_told_without_its_content() {
    let file = "email,phone,country,status,consent_at,size,tags\n\
        secret,secret,secret,secret,secret,secret,a\n\
        a@example.com,,,,2999-01-01,,\n\
        a@example.com\n\
        ,,DE,,,,\n\
        ,,,,,,\n\
        a@example.com,,,,,,,,\n\
        a@example.com,,,,,,,extra\n";
    let told = errors(file);
    let first: Vec<_> = told.iter().filter(|error| error.0 == 2).map(|error| error.1.as_str()).collect();
    assert_eq!(first, ["email", "country", "subscription", "consentAt", "attributes.size", "phone"]);
    let rest: Vec<_> = told.iter().filter(|error| error.0 > 2).map(|error| (error.0, error.2)).collect();
    assert_eq!(rest, [(3, "INVALID_DATE"), (4, "ROW_WIDTH"), (5, "ROW_NO_IDENTITY"), (8, "ROW_WIDTH")]);
    let messages: String = read(file)
        .into_iter()
        .filter_map(Result::err)
        .flat_map(|refused| refused.errors)
        .map(|error| error.message)
        .collect();
    assert!(!messages.contains("secret"));
    assert_eq!(read(file)[4], Ok(None), "a row of empty cells is no row");
}

#[test]
fn a_refused_row_keeps_its_no_and_nothing_else() {
    let rows =
        read("email,phone,status,first_name\na@example.com,12,nein,Ada\nb@example.com,12,ja,Bea\n,12,nein,Eve\n");
    let heard: Vec<_> = rows.into_iter().map(|row| row.expect_err("a number that is none").withdrawal).collect();
    let a = heard[0].as_ref().expect("heard");
    assert_eq!((a.is_refused, a.line, a.subscription), (true, 2, Subscription::Unsubscribed));
    assert_eq!(a.email.as_ref().map(EmailAddress::norm), Some("a@example.com"));
    assert_eq!((&a.first_name, &a.phone), (&None, &None));
    assert_eq!(heard[1..], [None, None]);
}

#[test]
fn c024_cells_with_line_breaks_are_refused_where_headers_would_break() {
    let file = "email,first_name,note\na@example.com,\"a\r\nBcc: v@x\",ok\na@example.com,a,\"two\nlines\"\n";
    assert_eq!(errors(file), [(2, "firstName".to_owned(), "INVALID_TEXT")]);
}

proptest! {
    #[test]
    fn no_file_panics(body in "([a-z@.,;\"\r\n'=+0-9ä|-]{0,12}\n){0,12}") {
        let _ = read(&format!("email,phone,status,consent_at,size,tags\n{body}"));
    }
}

//! What is kept of a server's words: one line, without addresses, without the names in them and without links (C-199).

/// Longest text that is kept, in characters.
const KEPT: usize = 200;
/// A name this short is a part of too many words.
const NAME_MIN: usize = 3;

/// The words of a text with everything masked that is, or is a part of, one of the addresses.
pub(super) fn redact(text: &str, addresses: &[String]) -> String {
    let locals = addresses.iter().map(|address| address.rsplit_once('@').map_or(address.as_str(), |(local, _)| local));
    let names: Vec<String> = locals.map(str::to_lowercase).filter(|local| local.chars().count() >= NAME_MIN).collect();
    let mut kept = String::with_capacity(KEPT);
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let lower = word.to_lowercase();
        let shown = if word.contains(['@', '\u{ff20}']) || names.iter().any(|name| lower.contains(name.as_str())) {
            "<address>"
        } else if lower.contains("://") {
            "<link>"
        } else {
            word
        };
        length += shown.chars().count() + 1;
        if length > KEPT {
            break;
        }
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(shown);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c199_neither_the_address_nor_its_name_is_kept() {
        let address = ["Jane.Doe@example.org".to_owned()];
        let text = "5.1.1 <jane.doe@example.org>: mailbox jane.doe\r\nis gone, see https://help.example/?u=1";
        assert_eq!(redact(text, &address), "5.1.1 <address> mailbox <address> is gone, see <link>");
        assert!(redact(&"wörd ".repeat(999), &address).chars().count() <= KEPT);
        assert_eq!(redact("it is full", &["i@example.org".to_owned()]), "it is full");
    }
}

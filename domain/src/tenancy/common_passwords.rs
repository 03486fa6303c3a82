//! Passwords that attackers try first (C-214): what zxcvbn finds in its lists of breached passwords, names and words, in
//! their disguises, in dates, keyboard walks and repetitions, and among the account's own words.

use zxcvbn::zxcvbn;

/// A password that so many guesses find is one of the first that are tried; limits of sign-ins keep out the rest (C-216).
const GUESSES: u64 = 1_000_000;
/// Characters that are judged: the time this takes grows faster than the length.
const JUDGED: usize = 64;
/// Characters of one of the account's own words.
const WORD: usize = 100;
/// What is chosen where the library's lists do not come from, and our own name.
const ALSO: [&str; 7] = ["carillon", "willkommen", "bienvenue", "prinzessin", "fruehling", "frühling", "firma"];

/// True for a password that is found soon; `known` are the account's own words: address, name.
pub fn is_common(password: &str, known: &[&str]) -> bool {
    let judged: String = password.chars().take(JUDGED).collect();
    let whole = known.iter().map(|text| text.chars().take(WORD).collect());
    let pieces = known.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    let pieces = pieces.filter(|piece| (3..=WORD).contains(&piece.chars().count())).take(WORD);
    let words: Vec<String> = whole.chain(pieces.map(str::to_owned)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).chain(ALSO).collect();
    // A sign before or behind is no work for anybody.
    let is_sign = |c: char| !c.is_alphanumeric();
    let core = judged.strip_suffix(is_sign).unwrap_or(&judged);
    let core = core.strip_prefix(is_sign).unwrap_or(core);
    [judged.as_str(), core].iter().any(|text| zxcvbn(text, &words).guesses() < GUESSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Well-known lines of published breaches, without those below 8 characters.
    const BREACHED: &str = "password 12345678 123456789 1234567890 baseball football superman iloveyou trustno1 sunshine \
        princess starwars whatever computer michelle jennifer butterfly midnight samantha elizabeth zaq12wsx blink182 \
        metallica babygirl ncc1701d qwertyuiop 1q2w3e4r 1qaz2wsx charlotte liverpool passw0rd password1 letmein1 \
        welcome1 abc12345 qwerty123 chocolate anthony1 jordan23 mercedes corvette rangers1 scooter1 victoria maverick \
        william1 lovelove snowball dolphins cocacola startrek slipknot nintendo darkness marlboro swordfish";

    #[test]
    fn c214_breached_passwords_are_found() {
        let taken: Vec<&str> = BREACHED.split_whitespace().filter(|password| !is_common(password, &[])).collect();
        assert!(taken.is_empty(), "{taken:?}");
    }

    #[test]
    fn c214_patterns_and_disguises_are_found() {
        let common = [
            "Password1",
            "P@ssw0rd!",
            "87654321",
            "123456789012",
            "aaaaaaaa",
            "abcabcabc",
            "Welcome2024!",
            "letmein123",
            "sunshine99",
            "passwordpassword",
            "19841224",
            "24.12.1984",
            "Sommer2025",
            "Willkommen1",
            "$uperman1",
            "abcd1234",
            "admin123!",
            "carillon2026",
            "qwertzuiop",
        ];
        let taken: Vec<_> = common.iter().filter(|password| !is_common(password, &[])).collect();
        assert!(taken.is_empty(), "{taken:?}");
    }

    #[test]
    fn c214_the_accounts_own_words_are_no_password() {
        let known = ["ada.lovelace@example.org", "Ada Lovelace"];
        assert!(is_common("lovelace1815", &known));
        assert!(is_common("ada.lovelace@example.org", &known));
        assert!(!is_common("lovelace tames the engine", &known));
    }

    #[test]
    fn c214_ordinary_good_passwords_pass() {
        let good = [
            "correct horse battery staple",
            "xK9#mPq2vL",
            "tischbein-lampe-nebel",
            "blaue Stunde am Kai",
            "7f3a9c2e1b",
            "$#%^7&*@!(",
            "пароль-который-никто-не-знает",
            "zebra quilt 81 harbour",
        ];
        for password in good {
            assert!(!is_common(password, &["ada@example.org"]), "{password}");
        }
    }

    #[test]
    fn c216_a_password_of_any_length_is_judged_by_its_beginning() {
        let long = "password".repeat(1 << 16);
        let words = [long.as_str(), &"x ".repeat(1 << 16)];
        assert!(is_common(&long, &words));
        assert!(!is_common(&"zebra quilt 81 harbour ".repeat(1 << 10), &words));
    }
}

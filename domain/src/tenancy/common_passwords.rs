//! Passwords that attackers try first (C-214): words people choose, the ways they dress them up, and plain patterns.
//!
//! A list of its own instead of a download: bases are compared after undoing case, letter-for-digit swaps and what is
//! put before and behind, so each line stands for hundreds of passwords.

/// Lower-case bases. Only letters: digits around them are undone before comparing.
const BASES: &[&str] = &[
    "password",
    "passwort",
    "passwd",
    "passw",
    "pass",
    "motdepasse",
    "contrasena",
    "senha",
    "parola",
    "haslo",
    "letmein",
    "welcome",
    "willkommen",
    "bienvenue",
    "admin",
    "administrator",
    "root",
    "login",
    "guest",
    "user",
    "test",
    "testing",
    "tester",
    "demo",
    "default",
    "changeme",
    "change",
    "secret",
    "geheim",
    "master",
    "access",
    "monkey",
    "dragon",
    "tiger",
    "eagle",
    "lion",
    "bear",
    "horse",
    "shadow",
    "sunshine",
    "princess",
    "prinzessin",
    "flower",
    "football",
    "fussball",
    "baseball",
    "basketball",
    "hockey",
    "soccer",
    "liverpool",
    "arsenal",
    "chelsea",
    "barcelona",
    "madrid",
    "iloveyou",
    "loveyou",
    "lovely",
    "love",
    "trustno",
    "superman",
    "batman",
    "spiderman",
    "starwars",
    "pokemon",
    "minecraft",
    "michael",
    "jennifer",
    "jordan",
    "thomas",
    "daniel",
    "andrea",
    "nicole",
    "jessica",
    "ashley",
    "charlie",
    "robert",
    "hannah",
    "matthew",
    "andrew",
    "joshua",
    "anthony",
    "computer",
    "internet",
    "samsung",
    "google",
    "facebook",
    "microsoft",
    "windows",
    "apple",
    "iphone",
    "android",
    "summer",
    "sommer",
    "winter",
    "spring",
    "autumn",
    "herbst",
    "fruehling",
    "january",
    "december",
    "monday",
    "freitag",
    "hello",
    "hallo",
    "freedom",
    "whatever",
    "cheese",
    "cookie",
    "chocolate",
    "pepper",
    "ginger",
    "buster",
    "killer",
    "hunter",
    "ranger",
    "soldier",
    "mustang",
    "ferrari",
    "porsche",
    "mercedes",
    "harley",
    "corvette",
    "matrix",
    "qwerty",
    "qwertz",
    "azerty",
    "qwert",
    "asdf",
    "asdfgh",
    "zxcvbn",
    "zxcvbnm",
    "yxcvbnm",
    "qazwsx",
    "qweasd",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "abc",
    "abcd",
    "abcdef",
    "company",
    "firma",
    "office",
    "server",
    "database",
    "marketing",
    "newsletter",
    "carillon",
    "god",
    "jesus",
    "angel",
    "blessed",
    "money",
    "business",
];

/// Runs of characters that lie beside each other on a keyboard or in the alphabet.
const RUNS: &[&str] = &[
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgb",
    "147258369",
];

/// True for a password that is among the first an attacker tries, or is made of what they know of the account.
pub(super) fn is_common(password: &str, known: &[&str]) -> bool {
    let lower = password.to_lowercase();
    let plain = undressed(&lower);
    let letters: String = lower.chars().filter(|c| c.is_alphabetic()).collect();
    let base = |candidate: &str| BASES.contains(&candidate) || is_doubled_base(candidate);
    base(&plain) || base(&letters) || is_pattern(&lower) || is_known(&lower, known)
}

/// Undoes the usual swaps, after taking off what is put before and behind.
fn undressed(lower: &str) -> String {
    let bare = lower.trim_matches(|c: char| !c.is_alphabetic() && !"@$".contains(c));
    let swap = |c| match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        '8' => 'b',
        other => other,
    };
    bare.chars().map(swap).filter(|c| c.is_alphabetic()).collect()
}

fn is_doubled_base(text: &str) -> bool {
    BASES.iter().any(|base| text.len() >= 2 * base.len() && text.replace(base, "").is_empty())
}

/// Few different characters, a short piece repeated, digits only up to a date's length, or a run.
fn is_pattern(lower: &str) -> bool {
    let chars: Vec<char> = lower.chars().collect();
    let repeats = |piece: usize| chars.iter().zip(chars.iter().skip(piece)).all(|(a, b)| a == b);
    let short_piece = (1..=4.min(chars.len() / 2)).any(repeats);
    let date_like = chars.len() <= 10 && chars.iter().all(|c| c.is_ascii_digit() || ".-/ ".contains(*c));
    short_piece || date_like || RUNS.iter().any(|run| is_run(lower, run))
}

fn is_run(lower: &str, run: &str) -> bool {
    let reversed: String = lower.chars().rev().collect();
    run.contains(lower) || run.contains(&reversed)
}

/// The account's own words (address, name), with nothing but a little decoration.
fn is_known(lower: &str, known: &[&str]) -> bool {
    let words = known.iter().flat_map(|text| {
        let text = text.to_lowercase();
        let pieces: Vec<String> = text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
        [vec![text], pieces].concat()
    });
    words.filter(|word| word.chars().count() >= 4).any(|word| {
        let rest = lower.replacen(&word, "", 1);
        rest.len() < lower.len() && rest.chars().filter(|c| c.is_alphabetic()).count() < 4
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c214_common_passwords_and_their_disguises_are_found() {
        let common = [
            "password",
            "Password1",
            "P@ssw0rd!",
            "12345678",
            "87654321",
            "123456789012",
            "qwertyuiop",
            "aaaaaaaa",
            "abcabcabc",
            "Welcome2024!",
            "letmein123",
            "iloveyou",
            "1q2w3e4r",
            "sunshine99",
            "passwordpassword",
            "19841224",
            "24.12.1984",
            "Sommer2025",
            "$uperman1",
            "abcd1234",
            "admin123!",
            "carillon2026",
            "qwerty123",
        ];
        for password in common {
            assert!(is_common(password, &[]), "{password}");
        }
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
            "пароль-который-никто-не-знает",
            "zebra quilt 81 harbour",
        ];
        for password in good {
            assert!(!is_common(password, &["ada@example.org"]), "{password}");
        }
    }
}

//! Judges a document's text before it is parsed (C-221).
//!
//! The parser calls itself for every bracket, so brackets without end would take the stack, and with it the process. What
//! is skipped here as a string or a comment must be one to the parser as well, or brackets could hide in it: where the
//! two might differ, the text is no GraphQL and is refused.

use std::collections::HashSet;

use async_graphql::ServerError;

use super::{BRACKETS, TOKENS, refused};

/// Refuses a text with too many tokens, with too many brackets within each other, or with an input object that names a field
/// twice: the parser keeps one of them, and the specification none (5.6.3).
pub fn check_text(query: &str) -> Result<(), ServerError> {
    tokens(query, TOKENS).map(drop)
}

/// Counts lexical tokens as the GraphQL specification does, roughly, and no further than to `limit`.
fn tokens(query: &str, limit: usize) -> Result<usize, ServerError> {
    let mut rest = query.as_bytes();
    let (mut count, mut depth, mut keys) = (0, 0_usize, Keys::default());
    while let [first, ..] = rest {
        let length = match first {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                rest = &rest[1..];
                continue;
            }
            b'#' => {
                rest = &rest[rest.iter().position(|byte| ends_line(*byte)).unwrap_or(rest.len())..];
                continue;
            }
            b'"' => string_length(rest).ok_or_else(unfinished)?,
            byte if word(*byte) => rest.iter().position(|byte| !word(*byte)).unwrap_or(rest.len()),
            _ => 1,
        };
        match first {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        count += 1;
        if count > limit {
            return Err(refused("tokens", limit));
        }
        if depth > BRACKETS {
            return Err(refused("brackets within each other", BRACKETS));
        }
        if keys.is_repeated(&rest[..length]) {
            return Err(ServerError::new("An input object names a field twice.", None));
        }
        rest = &rest[length..];
    }
    Ok(count)
}

/// The fields that were named in the input objects around a token. Braces within parentheses are those of input objects.
#[derive(Default)]
struct Keys<'a> {
    /// For each bracket around it, the names in it if it is that of an input object.
    around: Vec<Option<HashSet<&'a [u8]>>>,
    parentheses: usize,
    previous: &'a [u8],
}

impl<'a> Keys<'a> {
    /// Takes the next token; true where it ends a name that was there before.
    fn is_repeated(&mut self, token: &'a [u8]) -> bool {
        let previous = std::mem::replace(&mut self.previous, token);
        match token {
            b"(" => {
                self.parentheses += 1;
                self.around.push(None);
            }
            b"[" => self.around.push(None),
            b"{" => self.around.push((self.parentheses > 0).then(HashSet::new)),
            b")" => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.around.pop();
            }
            b"]" | b"}" => {
                self.around.pop();
            }
            b":" => {
                return self.around.last_mut().and_then(Option::as_mut).is_some_and(|names| !names.insert(previous));
            }
            _ => {}
        }
        false
    }
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte >= 0x80
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Length of the string or block string that the text starts with, if it has an end.
fn string_length(text: &[u8]) -> Option<usize> {
    const BLOCK: &[u8] = b"\"\"\"";
    let block = text.starts_with(BLOCK);
    let mut at = if block { BLOCK.len() } else { 1 };
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' if !block => return Some(at + 1),
            b'"' if text[at..].starts_with(BLOCK) => return Some(at + BLOCK.len()),
            // A block string knows one escape only.
            b'\\' if block && text[at + 1..].starts_with(BLOCK) => at += 1 + BLOCK.len(),
            b'\\' if !block => at += 2,
            byte if !block && ends_line(*byte) => return None,
            _ => at += 1,
        }
    }
    None
}

fn unfinished() -> ServerError {
    ServerError::new("The document is not GraphQL: a string does not end.", None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str) -> String {
        check_text(query).expect_err("refused").message
    }

    #[test]
    fn tokens_are_counted_like_words() {
        let count = |query: &str| tokens(query, 100).map_err(|error| error.message);
        assert_eq!(count("{ a(b: \"c d e\", f: -1.5) # g h\n  ...I }"), Ok(13));
        assert_eq!(count("\"\"\" a \"b\" \\\"\"\" c \"\"\" d"), Ok(2));
        assert_eq!(count("\"a \\\" b\" \"\" \"\"\"\\\"\"\" \\\\\"\"\" \"\"\""), Ok(3));
        assert!(tokens(&"a ".repeat(1_000_000), 10).is_err());
        for unfinished in ["\"a", "\"a \\", "\"a\n\"", "\"a\r\"", "\"\"\" a", "\"\"\"\"", "\"\"\"\\\"\"\""] {
            assert!(refusal(unfinished).contains("does not end"), "{unfinished}");
        }
    }

    #[test]
    fn an_input_object_names_a_field_once() {
        for query in [
            "{ a(x: { b: 1, c: 2 }) { b: c b: d } a(x: 1) }",
            "{ a(x: [{ b: 1 }, { b: 2 }], y: { b: { b: { b: 1 } } }) }",
            "query($b: A = { b: 1 }, $c: A = { b: 2 }) { a(x: { b: $b, c: \"b: b:\" }) b: c }",
            "{ a(x: { b: c }) { b(x: { b: c }) } b: a }",
        ] {
            assert!(check_text(query).is_ok(), "{query}");
        }
        for query in [
            "{ a(x: { b: 1, b: 2 }) }",
            "{ a(x: { b: 1 c: [{ b: 1 }] b: 2 }) }",
            "{ a { b(x: [{ c: { d: 1 d: 1 } }]) } }",
            "query($b: A = { b: 1 b: 1 }) { a }",
            "{ a @b(c: { d: 1 # d\n d: 2 }) }",
        ] {
            assert!(refusal(query).contains("twice"), "{query}");
        }
    }

    #[test]
    fn c221_brackets_are_counted_where_the_parser_sees_them() {
        let deep = "[".repeat(BRACKETS + 1);
        let nested = |depth: usize| format!("{{a(x:{}{})}}", "[{y:".repeat(depth), "}]".repeat(depth));
        assert!(check_text(&nested(BRACKETS / 2 - 1)).is_ok());
        // Each hides its brackets from who reads strings or comments another way than the parser.
        for query in [
            nested(BRACKETS / 2),
            format!("{{a(x: \"]\" #\"\r{deep}"),
            format!("{{a(x: \"\"\"\\\\\"\"\" \"\"\" {deep}"),
            format!("{{a(x: {}", "[\"]]\" # ]\n".repeat(BRACKETS)),
        ] {
            assert!(refusal(&query).contains("brackets"), "{query}");
        }
        assert!(check_text(&format!("{{a(x: \"{deep}\", y: \"\"\"{deep}\"\"\") # {deep}\n}}")).is_ok());
    }
}

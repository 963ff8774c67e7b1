//! How a line of the log is written: `event=NAME`, then `key=value` pairs in an order that stays, so that programs can read
//! it as well as people.
//!
//! Invariant: whatever a value holds, a line is one line, and splits again into the pairs that it was made of. A value
//! that needs it stands in double quotes, where a backslash begins an escape.

use std::fmt::{self, Display, Write};

/// One line, from its event on.
pub(crate) struct Line(String);

impl Line {
    /// A line that says what has happened.
    pub(crate) fn of(event: &'static str) -> Line {
        Line(format!("event={event}"))
    }

    /// The same with one fact more.
    pub(crate) fn with(mut self, key: &'static str, value: impl Display) -> Line {
        let value = value.to_string();
        self.0.push(' ');
        self.0.push_str(key);
        self.0.push('=');
        if value.is_empty() || !value.chars().all(may_stand_bare) {
            self.0.push('"');
            value.chars().for_each(|c| self.escape(c));
            self.0.push('"');
        } else {
            self.0.push_str(&value);
        }
        self
    }

    fn escape(&mut self, c: char) {
        match c {
            '"' | '\\' => self.0.extend(['\\', c]),
            '\n' => self.0.push_str("\\n"),
            '\r' => self.0.push_str("\\r"),
            '\t' => self.0.push_str("\\t"),
            // What a terminal or a viewer would act on, and not show.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _infallible = write!(self.0, "\\u{{{:x}}}", u32::from(c));
            }
            c => self.0.push(c),
        }
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What no reader can take for the end of a value or for a quote.
fn may_stand_bare(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a line as its description tells a stranger to.
    fn read(line: &str) -> Option<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        let mut rest = line;
        loop {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let end = after.find(' ').unwrap_or(after.len());
                    (after[..end].to_owned(), &after[end..])
                }
            };
            pairs.push((key.to_owned(), value));
            match after.strip_prefix(' ') {
                Some(more) => rest = more,
                None if after.is_empty() => return Some(pairs),
                None => return None,
            }
        }
    }

    fn unquote(quoted: &str) -> Option<(String, &str)> {
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        loop {
            match chars.next()? {
                (at, '"') => return Some((value, &quoted[at + 1..])),
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let digits: String = chars.by_ref().map(|(_, c)| c).take_while(|c| *c != '}').skip(1).collect();
                        char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                    }
                    c => c,
                }),
                (_, c) => value.push(c),
            }
        }
    }

    #[test]
    fn what_needs_no_quotes_has_none() {
        let line = Line::of("connect").with("conn", 7_u64).with("peer", "[2001:db8::7]:5123").with("sni", "");
        assert_eq!(line.to_string(), "event=connect conn=7 peer=[2001:db8::7]:5123 sni=\"\"");
        let line = Line::of("x").with("why", "say \"no\"\r\n\tto \x1b[31m\\ and\u{9b}ü=");
        assert_eq!(line.to_string(), "event=x why=\"say \\\"no\\\"\\r\\n\\tto \\u{1b}[31m\\\\ and\\u{9b}ü=\"");
    }

    proptest! {
        /// Nothing that a peer can put into a value breaks a line or forges a pair.
        #[test]
        fn a_line_splits_into_what_it_was_made_of(one in ".*", two in "[ =\"\\\\a\n]*", three in any::<u64>()) {
            let line = Line::of("test").with("one", &one).with("two", &two).with("three", three).to_string();
            let expected = [("event", "test"), ("one", &one), ("two", &two), ("three", &three.to_string())];
            let expected: Vec<_> = expected.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            prop_assert_eq!(read(&line), Some(expected));
            prop_assert!(!line.chars().any(char::is_control));
        }
    }
}

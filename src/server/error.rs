//! What can be wrong with a command, as the client reads it.

use std::ffi::CString;
use std::fmt::Display;

/// An error reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// Too few or too many arguments; the server words it.
    Arity,
    /// The key holds another type; the wording every client knows.
    WrongType,
    /// Ours: what is wrong, and after a comma what would be right.
    Invalid(String),
    /// Ours: what is wrong. What would be right is the command's form, which is added to it.
    Form(String),
    /// Ours, with another mark than ERR, by which clients know what to do: what is wrong, and what would be right.
    Marked(&'static str, String),
    /// A whole line, worded by another node.
    Line(String),
    /// A panic was caught.
    Internal,
}

impl CommandError {
    /// An error of ours, from "what is wrong, what would be right".
    pub fn invalid(text: impl Display) -> CommandError {
        CommandError::Invalid(text.to_string())
    }

    /// An error of ours that is best answered with the form of the command, from "what is wrong".
    pub fn form(text: impl Display) -> CommandError {
        CommandError::Form(text.to_string())
    }

    /// The same with the form where that is wanted.
    pub(super) fn with_form(self, form: impl FnOnce() -> String) -> CommandError {
        match self {
            CommandError::Form(text) => CommandError::Invalid(format!("{text}, write {}", form())),
            other => other,
        }
    }

    /// The text without the marks of an error reply.
    pub fn text(&self) -> String {
        match self {
            CommandError::Arity => "wrong number of arguments".to_owned(),
            CommandError::WrongType => {
                "Operation against a key holding the wrong kind of value".to_owned()
            }
            CommandError::Invalid(text)
            | CommandError::Form(text)
            | CommandError::Marked(_, text)
            | CommandError::Line(text) => text.clone(),
            CommandError::Internal => {
                "internal error, the server's log has the place; nothing was replied".to_owned()
            }
        }
    }

    /// The line of the error reply; `None` for the one the server words itself.
    pub fn line(&self) -> Option<CString> {
        let line = match self {
            CommandError::Arity => return None,
            CommandError::WrongType => format!("WRONGTYPE {}", self.text()),
            CommandError::Marked(mark, text) => format!("{mark} HLL: {text}"),
            CommandError::Line(line) => line.clone(),
            _ => format!("ERR HLL: {}", self.text()),
        };
        Some(CString::new(printable(line.as_bytes(), usize::MAX)).unwrap_or_default())
    }
}

/// Bytes from a client as they may stand in a one-line reply: at most `limit` of them, with a
/// question mark for whatever is not printable ASCII.
pub fn printable(bytes: &[u8], limit: usize) -> String {
    let shown = bytes.iter().take(limit).map(|&b| match b {
        b' '..=b'~' => char::from(b),
        _ => '?',
    });
    let dots = if bytes.len() > limit { "..." } else { "" };
    shown.chain(dots.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_the_client_sent() {
        let error = CommandError::invalid("unknown option 'a\r\n+OK\0é', give none");
        let line = error.line().unwrap();
        assert_eq!(
            line.to_str().unwrap(),
            "ERR HLL: unknown option 'a??+OK???', give none"
        );
    }

    #[test]
    fn long_words_are_cut() {
        assert_eq!(printable(b"abcdef", 3), "abc...");
        assert_eq!(printable(b"abc", 3), "abc");
    }
}

//! The lexer, which splits PTX text into tokens.

use super::PtxError;

/// A kind of token with its content.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// An identifier, register, opcode or directive, dots and double colons included.
    Word(&'a str),
    /// An integer literal; negative numbers are a sign and a literal.
    Integer(u64),
    /// A literal `0f…`, as bits.
    F32(u32),
    /// A literal `0d…` or a decimal literal, as bits.
    F64(u64),
    /// A text `"…"`.
    Text(&'a str),
    /// Any other character.
    Punctuation(char),
}

/// A token and the line it stands on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) line: u32,
}

/// Returns all tokens of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, PtxError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4);
    let (mut i, mut line) = (0, 1);
    while i < bytes.len() {
        let start = i;
        let kind = match bytes[i] {
            b'\n' => {
                line += 1;
                i += 1;
                continue;
            }
            c if c.is_ascii_whitespace() || c == 0 => {
                i += 1;
                continue;
            }
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                i += bytes[i..].iter().take_while(|&&c| c != b'\n').count();
                continue;
            }
            b'/' if bytes.get(i + 1) == Some(&b'*') => {
                let Some(length) = text[i + 2..].find("*/") else {
                    return Err(PtxError { line, message: "comment without an end".into() });
                };
                let end = i + 2 + length + 2;
                line += bytes[i..end].iter().filter(|&&c| c == b'\n').count() as u32;
                i = end;
                continue;
            }
            b'"' => {
                let Some(length) = text[i + 1..].find('"') else {
                    return Err(PtxError { line, message: "string without an end".into() });
                };
                i += length + 2;
                Kind::Text(&text[start + 1..i - 1])
            }
            c if c.is_ascii_digit() => {
                while i < bytes.len() && is_number_byte(bytes, start, i) {
                    i += 1;
                }
                let Some(kind) = number(&text[start..i]) else {
                    let message = format!("'{}' is not a number", &text[start..i]);
                    return Err(PtxError { line, message });
                };
                kind
            }
            c if c.is_ascii_alphabetic() || b"_$%.".contains(&c) => {
                i += 1;
                // Directives need no space between them, as in `.reg.b32 r;`.
                while i < bytes.len() && is_word_byte(bytes, i) && !(c == b'.' && bytes[i] == b'.')
                {
                    i += if bytes[i] == b':' { 2 } else { 1 };
                }
                Kind::Word(&text[start..i])
            }
            c if c.is_ascii() => {
                i += 1;
                Kind::Punctuation(c as char)
            }
            _ => {
                let message = "a character that PTX does not have".into();
                return Err(PtxError { line, message });
            }
        };
        out.push(Token { kind, line });
    }
    Ok(out)
}

fn is_word_byte(bytes: &[u8], i: usize) -> bool {
    let c = bytes[i];
    c.is_ascii_alphanumeric()
        || b"_$.%".contains(&c)
        || (c == b':' && bytes.get(i + 1) == Some(&b':'))
}

fn is_number_byte(bytes: &[u8], start: usize, i: usize) -> bool {
    let c = bytes[i];
    let exponent_sign = (c == b'+' || c == b'-')
        && matches!(bytes[i - 1], b'e' | b'E')
        && !matches!(bytes.get(start + 1), Some(b'x' | b'X' | b'd' | b'D' | b'f' | b'F'))
        && bytes[start..i].contains(&b'.');
    c.is_ascii_alphanumeric() || c == b'.' || exponent_sign
}

fn number(text: &str) -> Option<Kind<'static>> {
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0f").filter(|hex| hex.len() == 8) {
        return Some(Kind::F32(u32::from_str_radix(hex, 16).ok()?));
    }
    if let Some(hex) = lower.strip_prefix("0d").filter(|hex| hex.len() == 16) {
        return Some(Kind::F64(u64::from_str_radix(hex, 16).ok()?));
    }
    if lower.contains('.') {
        return Some(Kind::F64(lower.parse::<f64>().ok()?.to_bits()));
    }
    let digits = lower.strip_suffix('u').unwrap_or(&lower);
    let value = match digits.as_bytes() {
        [b'0', b'x', ..] => u64::from_str_radix(&digits[2..], 16),
        [b'0', b'b', ..] => u64::from_str_radix(&digits[2..], 2),
        [b'0', _, ..] => u64::from_str_radix(&digits[1..], 8),
        _ => digits.parse(),
    };
    Some(Kind::Integer(value.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_words_and_lines() {
        let text = "@%p1 bra $L_1; // x\n/* a\nb */ 0x1F 017 0f3F800000 0d3FF0000000000000 7U -1.5";
        let found: Vec<_> = tokens(text).unwrap().into_iter().map(|t| (t.kind, t.line)).collect();
        assert_eq!(
            found,
            [
                (Kind::Punctuation('@'), 1),
                (Kind::Word("%p1"), 1),
                (Kind::Word("bra"), 1),
                (Kind::Word("$L_1"), 1),
                (Kind::Punctuation(';'), 1),
                (Kind::Integer(31), 3),
                (Kind::Integer(15), 3),
                (Kind::F32(0x3F80_0000), 3),
                (Kind::F64(0x3FF0_0000_0000_0000), 3),
                (Kind::Integer(7), 3),
                (Kind::Punctuation('-'), 3),
                (Kind::F64(1.5f64.to_bits()), 3),
            ]
        );
        assert_eq!(tokens("x\n\"open").unwrap_err().line, 2);
    }
}

//! The text of a table, in whatever encoding it was saved.

use std::borrow::Cow;
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use mechanistic::{Error, Result, ensure_memory};

/// Returns the text of a file without a byte-order mark: UTF-8, UTF-16 with or without its mark, or
/// else Windows-1252, with a warning. Lines that end with carriage returns alone end with line feeds
/// in it.
///
/// # Errors
/// [`Error::Line`] names the first character that is no text.
pub fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<Cow<'a, str>> {
    let marked = Encoding::for_bom(bytes);
    let (encoding, mark) = marked.unwrap_or_else(|| (guess(bytes), 0));
    let bytes = &bytes[mark..];
    if encoding == UTF_8 || encoding == WINDOWS_1252 {
        match std::str::from_utf8(bytes) {
            Ok(text) => return lines_of_feeds(path, without_zeros(path, Cow::Borrowed(text))?),
            Err(error) if marked.is_some() => {
                let sound = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                return Err(at(path, &sound, "is not UTF-8 text: save the table as UTF-8"));
            }
            Err(_) => {}
        }
    }
    // A character of these encodings has up to three bytes in UTF-8.
    ensure_memory(&format!("the table {}", path.display()), &[(bytes.len(), 3)])?;
    let (text, malformed) = encoding.decode_without_bom_handling(bytes);
    if malformed {
        let sound = text.find(char::REPLACEMENT_CHARACTER).unwrap_or(0);
        let message = format!("is not {} text: save the table as UTF-8", encoding.name());
        return Err(at(path, &text[..sound], &message));
    }
    let text = without_zeros(path, text)?;
    if encoding == WINDOWS_1252 {
        tracing::warn!("{}: this is not UTF-8 text, and is read as Windows-1252", path.display());
    }
    lines_of_feeds(path, text)
}

/// Returns the text with line feeds for its carriage returns, if it has no others: readers count
/// these.
fn lines_of_feeds<'a>(path: &Path, text: Cow<'a, str>) -> Result<Cow<'a, str>> {
    if text.contains('\n') || !text.contains('\r') {
        return Ok(text);
    }
    ensure_memory(&format!("the table {}", path.display()), &[(text.len(), 1)])?;
    Ok(Cow::Owned(text.replace('\r', "\n")))
}

/// Returns the encoding of text without a byte-order mark that is not UTF-8: in UTF-16, every second
/// byte of the first characters is zero.
fn guess(bytes: &[u8]) -> &'static Encoding {
    match bytes {
        [low, 0, next, 0, ..] if *low != 0 && *next != 0 => UTF_16LE,
        [0, low, 0, next, ..] if *low != 0 && *next != 0 => UTF_16BE,
        _ => WINDOWS_1252,
    }
}

/// Returns the text unless it has a zero, as the files of spreadsheets and archives have.
fn without_zeros<'a>(path: &Path, text: Cow<'a, str>) -> Result<Cow<'a, str>> {
    match text.find('\0') {
        None => Ok(text),
        Some(zero) => {
            let message = "is zero: this is no text (a spreadsheet must be saved as CSV)";
            Err(at(path, &text[..zero], message))
        }
    }
}

/// Returns an error that names the character after `before`.
fn at(path: &Path, before: &str, message: &str) -> Error {
    // Lines end with line feeds, or with carriage returns alone, of which there are more then.
    let line = 1 + before.matches('\n').count().max(before.matches('\r').count()) as u64;
    let column = 1 + before.chars().rev().take_while(|&c| c != '\n' && c != '\r').count();
    let message = format!("character {column} of the line {message}");
    Error::Line { path: path.to_owned(), line, message }
}

//! Reading and writing of comma-separated values (RFC 4180).

use std::io::{self, BufRead};

/// Returns a CSV field, quoted if necessary.
pub fn csv_field(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Reads the next record, whose quoted fields may contain line breaks; `None` at the end of the file.
///
/// # Errors
/// Returns an error if the file cannot be read, is not UTF-8, or ends within a quoted field.
pub fn read_record(reader: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let mut text = String::new();
    loop {
        if reader.read_line(&mut text)? == 0 {
            if text.is_empty() {
                return Ok(None);
            }
            if !is_closed(&text) {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a quoted field is not closed"));
            }
            break;
        }
        if is_closed(&text) {
            break;
        }
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Some(fields(text.strip_suffix('\r').unwrap_or(text))))
}

/// Returns whether all quoted fields of the text are closed.
fn is_closed(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'"').count().is_multiple_of(2)
}

fn fields(record: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, record.chars().peekable());
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                push(&mut fields, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            char => push(&mut fields, char),
        }
    }
    fields
}

fn push(fields: &mut [String], char: char) {
    if let Some(field) = fields.last_mut() {
        field.push(char);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fields_with_commas_and_quotes_are_quoted() {
        assert_eq!(csv_field("a b"), "a b");
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }

    #[test]
    fn fields_survive_a_round_trip() {
        let record = ["", "a,b", "say \"x\"", "two\nlines\r\n", "Größe", "\""];
        let text = format!("{}\n1,2\r\nlast", record.map(csv_field).join(","));
        let mut reader = text.as_bytes();
        assert_eq!(read_record(&mut reader).unwrap().unwrap(), record);
        assert_eq!(read_record(&mut reader).unwrap().unwrap(), ["1", "2"]);
        assert_eq!(read_record(&mut reader).unwrap().unwrap(), ["last"]);
        assert_eq!(read_record(&mut reader).unwrap(), None);
    }

    #[test]
    fn unclosed_quotes_and_invalid_utf8_are_errors() {
        assert!(read_record(&mut &b"a,\"b\nc"[..]).is_err());
        assert!(read_record(&mut &b"a\xff\n"[..]).is_err());
    }
}

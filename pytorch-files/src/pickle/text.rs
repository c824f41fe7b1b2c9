//! The line formats of protocol 0.

/// Decodes the argument of `UNICODE`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let [byte, tail @ ..] = rest {
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if digits == 0 {
            text.push(char::from(*byte));
            rest = tail;
            continue;
        }
        let code = hexadecimal(tail.get(1..=digits)?)?;
        text.push(char::from_u32(code)?);
        rest = &tail[digits + 1..];
    }
    Some(text)
}

/// Decodes the argument of `STRING`: a quoted literal with Python's escapes.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let [open @ (b'\'' | b'"'), inner @ .., close] = line else {
        return None;
    };
    if open != close {
        return None;
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [byte, tail @ ..] = rest {
        if *byte != b'\\' {
            bytes.push(*byte);
            rest = tail;
            continue;
        }
        let (escape, tail) = tail.split_first()?;
        rest = tail;
        let simple = match escape {
            b'\\' | b'\'' | b'"' => *escape,
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'x' => {
                rest = tail.get(2..)?;
                hexadecimal(&tail[..2])? as u8
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    Some(bytes)
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unicode_lines_are_latin_1_with_escapes() {
        assert_eq!(raw_unicode_escape(b"a\xe9b").as_deref(), Some("a\u{e9}b"));
        assert_eq!(raw_unicode_escape(b"\\u20ac!").as_deref(), Some("\u{20ac}!"));
        assert_eq!(raw_unicode_escape(b"\\U0001f600").as_deref(), Some("\u{1f600}"));
        assert_eq!(raw_unicode_escape(b"\\n").as_deref(), Some("\\n"));
        assert_eq!(raw_unicode_escape(b"\\u20"), None);
        assert_eq!(raw_unicode_escape(b"\\ud800"), None);
    }

    #[test]
    fn quoted_lines_are_python_literals() {
        assert_eq!(quoted(b"'ab'").as_deref(), Some(&b"ab"[..]));
        assert_eq!(quoted(b"\"it's\"").as_deref(), Some(&b"it's"[..]));
        assert_eq!(quoted(b"'\\x41\\n\\\\'").as_deref(), Some(&b"A\n\\"[..]));
        for wrong in [&b""[..], b"'", b"ab", b"'ab\"", b"'\\x4'", b"'\\q'", b"'\\'"] {
            assert_eq!(quoted(wrong), None);
        }
    }
}

//! A message without what varies from one time to the next.
//!
//! `order 8812 of 'ann' at 10.0.0.7:80 timed out` becomes `order <num> of <str> at <ip> timed out`. Replaced are quoted text, UUIDs, IP addresses,
//! hex and mixed ids, and numbers; paths keep their shape with their ids replaced. White space is joined. The rules only ever look at the text,
//! so the same text gives the same result for ever.

/// Longer messages are cut, before and after.
const MESSAGE_BYTES_MAX: usize = 512;
/// A quotation longer than this is taken for two stray quotation marks.
const QUOTED_BYTES_MAX: usize = 200;

/// The message with what varies replaced.
pub fn template_of(message: &str) -> String {
    let text = cut(message.trim(), MESSAGE_BYTES_MAX);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        at += if first.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            first.len_utf8()
        } else if let Some(bytes) = quoted(text, at, first) {
            out.push_str("<str>");
            bytes
        } else if first.is_ascii_alphanumeric() || first == ':' {
            take_token(rest, &mut out)
        } else {
            out.push(first);
            first.len_utf8()
        };
    }
    cut(&out, MESSAGE_BYTES_MAX).to_owned()
}

/// As much of a text as fits, whole characters only.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// The length of a quotation that starts here, marks included.
fn quoted(text: &str, at: usize, mark: char) -> Option<usize> {
    if !matches!(mark, '"' | '\'' | '`') || text[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
        return None; // an apostrophe
    }
    let inside = &text[at + 1..];
    let closes = |(end, _): &(usize, &str)| !inside[end + 1..].starts_with(char::is_alphanumeric);
    let (end, _) = inside.match_indices(mark).find(closes)?;
    (end <= QUOTED_BYTES_MAX).then_some(end + 2)
}

/// Writes what stands for the token at the beginning of `rest`, and answers how long it is.
fn take_token(rest: &str, out: &mut String) -> usize {
    for (find, name) in [(uuid as fn(&str) -> Option<usize>, "<uuid>"), (ip, "<ip>"), (prefixed_hex, "<hex>"), (number, "<num>")] {
        if let Some(bytes) = find(rest) {
            out.push_str(name);
            return bytes;
        }
    }
    let word = run(rest, |byte| byte.is_ascii_alphanumeric());
    if word == 0 {
        out.push(':');
        return 1;
    }
    write_word(&rest[..word], out);
    word
}

/// How many bytes from the beginning satisfy a condition.
fn run(text: &str, is: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is(*byte)).count()
}

fn ends_word(rest: &str) -> bool {
    !rest.starts_with(|next: char| next.is_ascii_alphanumeric())
}

/// 8-4-4-4-12 hex digits.
fn uuid(text: &str) -> Option<usize> {
    let mut at = 0;
    for (index, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            at += text[at..].starts_with('-').then_some(1)?;
        }
        (run(&text[at..], |byte| byte.is_ascii_hexdigit()) == digits).then_some(())?;
        at += digits;
    }
    ends_word(&text[at..]).then_some(at)
}

/// An IPv4 or IPv6 address, and its port.
fn ip(text: &str) -> Option<usize> {
    let dotted = run(text, |byte| byte.is_ascii_digit() || byte == b'.');
    let coloned = run(text, |byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    let address = |bytes: usize| text[..bytes].trim_end_matches(['.', ':']).len();
    let parses = |bytes: &usize| text[..*bytes].parse::<std::net::IpAddr>().is_ok() && ends_word(&text[*bytes..]);
    let whole = |bytes: &usize| text[..*bytes].parse::<std::net::SocketAddr>().is_ok();
    if let Some(bytes) = Some(address(coloned)).filter(|bytes| parses(bytes) || whole(bytes)) {
        return Some(bytes);
    }
    Some(address(dotted)).filter(parses)
}

/// `0x` and hex digits.
fn prefixed_hex(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let bytes = run(digits, |byte| byte.is_ascii_hexdigit());
    (bytes > 0 && ends_word(&digits[bytes..])).then_some(bytes + 2)
}

/// Digits, with points and commas between them.
fn number(text: &str) -> Option<usize> {
    let mut bytes = run(text, |byte| byte.is_ascii_digit());
    if bytes == 0 {
        return None;
    }
    while text[bytes..].starts_with(['.', ',']) {
        let more = run(&text[bytes + 1..], |byte| byte.is_ascii_digit());
        if more == 0 {
            break;
        }
        bytes += 1 + more;
    }
    let has_separators = text[..bytes].contains(['.', ',']);
    (has_separators || ends_word(&text[bytes..])).then_some(bytes)
}

/// A word: an id when digits and letters mix as in one, else itself with its digits replaced.
fn write_word(word: &str, out: &mut String) {
    let digit_runs = word.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty()).count();
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digit_runs > 0 && is_hex && word.len() >= 6 {
        out.push_str("<hex>");
    } else if digit_runs > 1 && word.len() >= 4 {
        out.push_str("<id>");
    } else {
        let mut in_digits = false;
        for letter in word.chars() {
            if !letter.is_ascii_digit() {
                out.push(letter);
            } else if !in_digits {
                out.push_str("<num>");
            }
            in_digits = letter.is_ascii_digit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((cut("aé", 2), cut("aé", 3)), ("a", "aé"));
    }

    #[test]
    fn what_varies_is_replaced_and_the_rest_stays() {
        for (message, expected) in [
            ("order 8812 of 'ann' at 10.0.0.7:80 timed out", "order <num> of <str> at <ip> timed out"),
            ("can't read user's file", "can't read user's file"),
            ("no such row 0f8fad5b-d9cb-469f-a165-70867728950e", "no such row <uuid>"),
            ("at 0xDEADbeef, after 1,234.5ms", "at <hex>, after <num>ms"),
            ("took 12.5 s.", "took <num> s."),
            ("GET /orders/8812/items/4f2a9c failed:\n\tconnection  refused", "GET /orders/<num>/items/<hex> failed: connection refused"),
            ("pod payment-7d9f8b6c5-x2x4z gone", "pod payment-<hex>-<id> gone"),
            ("dial fe80::1: refused", "dial <ip>: refused"),
            ("key \"a b\" missing: NullPointer", "key <str> missing: NullPointer"),
            ("std::io::Error", "std::io::Error"),
            ("café 3 ☕", "café <num> ☕"),
            ("", ""),
        ] {
            assert_eq!(template_of(message), expected, "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(message in "\\PC{0,600}") {
            prop_assert!(template_of(&message).len() <= MESSAGE_BYTES_MAX);
        }

        #[test]
        fn other_numbers_give_the_same_result(a in 0_u32..1_000_000, b in 0_u32..1_000_000) {
            let message = |n: u32| format!("order {n} failed after {n} ms at /orders/{n}?x={n}");
            prop_assert_eq!(template_of(&message(a)), template_of(&message(b)));
        }
    }
}

//! What all pages share: the form, the way around, badges, and text that is nothing but text.

use std::fmt::Write as _;

use haldane_analyzer::rollout::EventKind;
use haldane_analyzer::verdict::VerdictDecision;

use crate::error::Problem;

/// Longest text taken from telemetry, in characters.
const TEXT_MAX: usize = 400;

/// Forbids everything but our own style, script and requests, and an empty icon in place of one that is fetched. Telemetry can put nothing into a page that runs or is fetched.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Keeps pages new, and carries people's decisions to the server.
pub(crate) const SCRIPT: &str = include_str!("live.js");

const STYLE: &str = include_str!("style.css");

/// Whether a page follows what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Follow {
    /// It is taken anew when this stream of events says something.
    Events(String),
    /// It stays as it is, for example in a file.
    Nothing,
}

/// A page around its content.
pub(crate) fn page(title: &str, follow: &Follow, content: &str) -> String {
    opening(title, follow) + content + CLOSING
}

/// What stands behind the content of a page.
pub(crate) const CLOSING: &str = "</main></body></html>";

/// What stands before the content of a page.
pub(super) fn opening(title: &str, follow: &Follow) -> String {
    let (attributes, script) = match follow {
        Follow::Events(path) => {
            let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
            let attributes = format!(" data-events=\"{}\" data-kinds=\"{}\"", text(path), kinds.join(" "));
            (attributes, "<script src=\"/assets/live.js\" defer></script>")
        }
        Follow::Nothing => (String::new(), ""),
    };
    let around = match follow {
        Follow::Events(_) => {
            "<a class=\"skip\" href=\"#live\">Skip to the content</a><header><nav aria-label=\"Pages\"><a href=\"/\">Haldane</a> <a href=\"/docs/\">API</a> \
             <span class=\"state\"><span id=\"state\" role=\"status\"></span> <span id=\"as-of\"></span></span></nav>\
             <p id=\"news\" class=\"unseen\" role=\"status\"></p></header>"
        }
        Follow::Nothing => "",
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><title>{}</title><style>{STYLE}</style>{script}</head>\
         <body>{around}<main id=\"live\" tabindex=\"-1\"{attributes}>",
        text(title)
    )
}

/// What went wrong, and where to go from there.
pub(crate) fn problem(problem: &Problem) -> String {
    let content = format!("<h1>{}</h1>{}", text(&problem.title), trouble(problem));
    page(&problem.title, &Follow::Events(String::new()), &content)
}

/// The same within a page.
pub(crate) fn trouble(problem: &Problem) -> String {
    format!(
        "<p class=\"lead told-bad\" data-trouble>{}</p><p>The <a href=\"/\">start page</a> shows what is rolling out and what ended lately; \
         <a href=\"{}\">more about this problem</a>.</p>",
        text(&problem.detail),
        text(&problem.kind)
    )
}

/// A decision as a badge.
pub(crate) fn badge(decision: VerdictDecision) -> String {
    let (word, class) = match decision {
        VerdictDecision::Promote => ("promote", "good"),
        VerdictDecision::Rollback => ("roll back", "bad"),
        VerdictDecision::Continue => ("undecided yet", "wait"),
        VerdictDecision::Inconclusive => ("inconclusive", "warn"),
    };
    format!("<span class=\"badge {class}\">{word}</span>")
}

/// A selector in a few words.
pub(crate) fn picked(selector: &std::collections::BTreeMap<String, String>) -> String {
    let parts: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("<code>{}</code>", text(&parts.join(", ")))
}

/// A text as a segment of a path.
pub(crate) fn segment(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Opens a box that scrolls sideways by itself, also with keys.
pub(super) fn scroll(label: &str) -> String {
    format!("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">", text(label))
}

/// Text of several lines, such as a stack trace, up to a number of characters.
pub(super) fn lines(raw: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(raw.len().min(chars_max));
    for line in raw.chars().take(chars_max).collect::<String>().lines() {
        for part in line.chars().collect::<Vec<_>>().chunks(TEXT_MAX) {
            out.push_str(&text(&part.iter().collect::<String>()));
        }
        out.push('\n');
    }
    if raw.chars().nth(chars_max).is_some() {
        out.push('…');
    }
    out
}

/// Text that is nothing but text.
pub(crate) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars().take(TEXT_MAX) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    if raw.chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{lines, segment, text};

    #[test]
    fn what_comes_from_telemetry_is_text() {
        assert_eq!(text("<script>alert('x')</script>\n&\""), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp;&quot;");
        assert_eq!(segment("a/b?c&d\"ä"), "a%2Fb%3Fc%26d%22%C3%A4");
        assert_eq!(text(&"ä".repeat(500)).chars().count(), 401);
        assert_eq!(lines("at <a>\n\tat b\r\nend", 12), "at &lt;a&gt;\n at b\n…");
        assert_eq!(lines(&"x".repeat(900), 1_000), format!("{}\n", "x".repeat(900)));
    }
}

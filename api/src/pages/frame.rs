//! What all pages share: the form, the way around, badges, and text that is nothing but text.

use std::fmt::Write as _;

use haldane_analyzer::rollout::EventKind;
use haldane_analyzer::verdict::VerdictDecision;

/// Longest text taken from telemetry, in characters.
const TEXT_MAX: usize = 400;

/// Forbids everything but our own style, script and requests. Telemetry can put nothing into a page that runs or is fetched.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Keeps pages new, and carries people's decisions to the server.
pub(crate) const SCRIPT: &str = include_str!("live.js");

const STYLE: &str = "
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--mute:#59636e;--line:#d1d9e0;--soft:#f6f8fa;--bad:#cf222e;--good:#1a7f37;--warn:#9a6700;--link:#0550ae}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--mute:#9198a1;--line:#3d444d;--soft:#151b23;--bad:#f85149;--good:#3fb950;--warn:#d29922;--link:#79c0ff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.5rem;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{margin:.4rem 0}.mute{color:var(--mute)}
.badge{display:inline-block;padding:.1rem .7rem;border-radius:1rem;color:#fff;font-weight:600}.bad{background:#cf222e}.good{background:#1a7f37}.warn{background:#9a6700}.wait{background:#57606a}
.lead{font-size:1.1rem;border-left:4px solid var(--line);padding:.4rem 1rem;background:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--mute);font-weight:600}code{font:.88em ui-monospace,monospace;overflow-wrap:anywhere}td:first-child code{white-space:nowrap}.worse{color:var(--bad);font-weight:600}.fine{color:var(--good)}
ol,ul{padding-left:1.3rem}li{margin:.5rem 0}svg{display:block;min-width:16rem}svg text{font:11px system-ui,sans-serif;fill:var(--mute)}nav{display:flex;gap:1rem;align-items:baseline;border-bottom:1px solid var(--line);padding-bottom:.5rem;margin-bottom:1rem}nav a:first-child{font-weight:700}a{color:var(--link)}form{background:var(--soft);padding:.8rem 1rem;border:1px solid var(--line);border-radius:.4rem}label{display:block}input{width:100%;padding:.4rem;font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);border-radius:.3rem}button{font:inherit;padding:.35rem .9rem;border:1px solid var(--line);border-radius:.3rem;background:var(--bg);color:inherit;cursor:pointer}:focus-visible{outline:2px solid var(--link);outline-offset:2px}footer{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:.8rem}";

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
            "<nav><a href=\"/\">Haldane</a> <a href=\"/docs/\">API</a> <span id=\"state\" role=\"status\" class=\"mute\"></span></nav>"
        }
        Follow::Nothing => "",
    };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style>{script}</head><body>{around}<main id=\"live\"{attributes}>{content}</main></body></html>",
        text(title)
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
    use super::{segment, text};

    #[test]
    fn what_comes_from_telemetry_is_text() {
        assert_eq!(text("<script>alert('x')</script>\n&\""), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp;&quot;");
        assert_eq!(segment("a/b?c&d\"ä"), "a%2Fb%3Fc%26d%22%C3%A4");
        assert_eq!(text(&"ä".repeat(500)).chars().count(), 401);
    }
}

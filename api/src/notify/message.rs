//! The text of a note: ours, or what a template makes of it.

use minijinja::{Environment, UndefinedBehavior};

use super::note::Note;

/// Longest text taken from telemetry, in characters.
const TEXT_MAX: usize = 300;
/// Longest text that a template may make, in characters.
pub(super) const MESSAGE_MAX: usize = 2_900;
/// A template that goes on for longer is stopped.
const FUEL: u64 = 50_000;

/// A template that was read. Cheap to use again.
#[derive(Debug, Clone)]
pub(super) struct Template(Environment<'static>);

impl Template {
    /// Reads a template, and tries it.
    pub(super) fn try_new(text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let told = |error: &minijinja::Error| {
            let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
            let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("template: {}{detail}{line}", error.kind())
        };
        environment.add_template_owned("note", text.to_owned()).map_err(|error| told(&error))?;
        let template = Self(environment);
        template.render(&Note::test("example", String::new(), "")).map_err(|error| told(&error))?;
        Ok(template)
    }

    fn render(&self, note: &Note) -> Result<String, minijinja::Error> {
        let text = self.0.get_template("note")?.render(note)?;
        Ok(cut(&text, MESSAGE_MAX))
    }
}

/// The text for people, in plain words.
pub(super) fn text(template: Option<&Template>, note: &Note) -> String {
    match template.map(|template| template.render(note)) {
        Some(Ok(text)) => text,
        Some(Err(error)) => {
            tracing::warn!(%error, "a template failed on a note: the plain text is sent instead");
            plain(note)
        }
        None => plain(note),
    }
}

fn plain(note: &Note) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |line: String| {
        if !line.trim().is_empty() {
            lines.push(line);
        }
    };
    add(cut(&note.reason, TEXT_MAX));
    for culprit in &note.culprits {
        add(format!("{} {}: {}", culprit.kind, cut(&culprit.name, TEXT_MAX), cut(&culprit.reason, TEXT_MAX)));
        if !culprit.message.is_empty() {
            add(format!("  {}", cut(&culprit.message, TEXT_MAX)));
        }
        if !culprit.trace_ids.is_empty() {
            add(format!("  traces: {}", culprit.trace_ids.join(", ")));
        }
    }
    note.changes.iter().for_each(|change| add(cut(change, TEXT_MAX)));
    add(format!("{} against {}", note.canary, note.baseline));
    add(note.next_step.clone());
    cut(&lines.join("\n"), MESSAGE_MAX)
}

/// The first so many characters, on as few surprises as telemetry allows: what controls a terminal goes.
pub(super) fn cut(text: &str, most: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    let mut out: String = clean.clone().take(most).collect();
    if clean.count() > most {
        out.pop();
        out.push('…');
    }
    out
}

//! Operations and instances by what they contribute to the harm.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use haldane_analyzer::verdict::{CulpritKind, CulpritVerdict};

use super::frame::{scroll, text};
use super::plot::latency;
use super::served::{Exhibits, Ranked, Ranking, Served};
use crate::report::count;

/// Shown at once; the rest opens.
const SHOWN: usize = 20;

/// What rows of a table are drawn against.
struct Scale<'a> {
    /// The longest bar.
    most: f64,
    /// Names that the judge gave.
    culprits: BTreeSet<&'a str>,
}

/// Both tables, with the judge's culprits marked; a sentence where nothing is known.
pub(super) fn write(out: &mut String, found: &Result<Exhibits, String>, culprits: &[CulpritVerdict]) -> std::fmt::Result {
    write!(out, "<section id=\"contributions\"><h2>Who contributes</h2>")?;
    match found {
        Err(why) => write!(out, "<p class=\"mute\">{}</p>", text(why))?,
        Ok(found) if found.operations.of == 0 => write!(out, "<p class=\"mute\">The canary has not served any requests yet.</p>")?,
        Ok(found) => {
            write!(
                out,
                "<p class=\"small mute\">By requests that failed, or were slower than the baseline's p95 or p99, beyond what the baseline's rates and chance explain.</p>"
            )?;
            let most = found.operations.rows.iter().chain(&found.instances.rows).map(|row| row.harmed).fold(1.0, f64::max);
            let named = |kind: CulpritKind| {
                culprits.iter().filter(move |culprit| culprit.kind == kind).map(|culprit| culprit.name.as_str()).collect()
            };
            let (operations, instances) = (named(CulpritKind::Operation), named(CulpritKind::Instance));
            write_table(out, &found.operations, ("operation", "operations"), &Scale { most, culprits: operations })?;
            write_table(out, &found.instances, ("instance", "instances of the canary"), &Scale { most, culprits: instances })?;
        }
    }
    write!(out, "</section>")
}

fn write_table(out: &mut String, ranking: &Ranking, (one, many): (&str, &str), scale: &Scale<'_>) -> std::fmt::Result {
    let (first, rest) = ranking.rows.split_at(SHOWN.min(ranking.rows.len()));
    write!(out, "<h3>{}{} {many}</h3>", if ranking.of > SHOWN { "The first 20 of " } else { "" }, ranking.of)?;
    write_rows(out, first, (one, &format!("{many} by what they contribute")), scale)?;
    if !rest.is_empty() {
        write!(out, "<details id=\"more-{one}\"><summary>{} more {many}</summary>", rest.len())?;
        write_rows(out, rest, (one, &format!("more {many}")), scale)?;
        let hidden = ranking.of - ranking.rows.len();
        if hidden > 0 {
            write!(out, "<p class=\"mute\">And {hidden} that contribute no more than these: SQL over the table red has them.</p>")?;
        }
        write!(out, "</details>")?;
    }
    Ok(())
}

fn write_rows(out: &mut String, rows: &[Ranked], (one, label): (&str, &str), scale: &Scale<'_>) -> std::fmt::Result {
    let with_baseline = rows.iter().any(|row| row.baseline.is_some());
    write!(
        out,
        "{}<table><thead><tr><th scope=\"col\">{one}</th><th scope=\"col\">beyond the baseline</th><th class=\"number\" scope=\"col\">requests</th>\
         <th class=\"number\" scope=\"col\">failed</th><th class=\"number\" scope=\"col\">{}</th><th class=\"number\" scope=\"col\">p95</th>{}</tr></thead><tbody>",
        scroll(label),
        if with_baseline { "baseline" } else { "expected" },
        if with_baseline { "<th class=\"number\" scope=\"col\">baseline</th>" } else { "" }
    )?;
    for row in rows {
        write_row(out, row, scale)?;
    }
    write!(out, "</tbody></table></div>")
}

fn write_row(out: &mut String, row: &Ranked, scale: &Scale<'_>) -> std::fmt::Result {
    let name =
        if row.name.is_empty() { "<span class=\"mute\">not named</span>".to_owned() } else { format!("<code>{}</code>", text(&row.name)) };
    let mark = if scale.culprits.contains(&*row.name) { " <span class=\"worse small\">culprit</span>" } else { "" };
    write!(out, "<tr><td class=\"name\">{name}{mark}</td><td class=\"share\">")?;
    if row.harmed > 0.0 {
        // The number stands beside the bar, whose longest is as wide as is left.
        write!(out, "<span class=\"bar\" style=\"width:{:.1}%\"></span>{:.0}", 60.0 * row.harmed / scale.most, row.harmed)?;
    } else {
        write!(out, "<span class=\"mute\">0</span>")?;
    }
    let p95 = |served: &Served| served.quantile(0.95).map_or_else(|| "–".to_owned(), latency);
    write!(
        out,
        "</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number mute\">{}</td><td class=\"number\">{}</td>",
        count(row.canary.requests),
        share(row.canary.failed()),
        share(row.baseline_failed),
        p95(&row.canary)
    )?;
    if let Some(baseline) = &row.baseline {
        write!(out, "<td class=\"number mute\">{}</td>", p95(baseline))?;
    }
    write!(out, "</tr>")
}

/// A share of requests in percent.
pub(super) fn share(share: Option<f64>) -> String {
    match share.map(|share| share * 100.0) {
        None => "–".to_owned(),
        Some(0.0) => "0 %".to_owned(),
        Some(percent) if percent < 0.01 => "&lt; 0.01 %".to_owned(),
        Some(percent) if percent < 9.95 => format!("{percent:.2} %"),
        Some(percent) => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_operations_are_told_and_most_are_folded_away() {
        let row = |number: u32| Ranked {
            name: format!("GET /<{number}>").into(),
            baseline_failed: None,
            baseline: Some(Served::default()),
            canary: Served { requests: 5, ..Served::default() },
            harmed: f64::from(500 - number),
        };
        let ranking = Ranking { rows: (0..500).map(row).collect(), of: 700 };
        let mut out = String::new();
        write_table(&mut out, &ranking, ("operation", "operations"), &Scale { most: 500.0, culprits: ["GET /<3>"].into() }).unwrap();
        let (shown, folded) = out.split_once("<details").unwrap();
        assert_eq!((shown.matches("<code>").count(), folded.matches("<code>").count()), (20, 480));
        assert!(shown.contains("The first 20 of 700 operations") && folded.contains("And 200 that"), "{folded}");
        assert!(!out.contains("/<0") && out.matches(">culprit<").count() == 1);
        assert_eq!([None, Some(0.0), Some(0.000_01), Some(0.0123), Some(0.5)].map(share), ["–", "0 %", "&lt; 0.01 %", "1.23 %", "50.0 %"]);
    }
}

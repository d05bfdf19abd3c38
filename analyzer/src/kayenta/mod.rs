//! Kayenta's judge, NetflixACAJudge-v1.0, computed as Kayenta computes it, with its defects: for its API, and for comparison.
//!
//! What differs: the noise that Kayenta adds to two constant samples is drawn from a fixed seed here, so that the same data gives the same answer.

mod brent;
mod classify;
mod score;
#[cfg(test)]
mod tests;

pub use classify::{Classification, Label, Measure, MetricConfig, NanStrategy, Outliers, classify};
pub use score::{GroupScore, Judged, Score, ScoreConfig, Summary, score};

/// Which differences count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Greater values.
    Increase,
    /// Smaller ones.
    Decrease,
    /// Both.
    #[default]
    Either,
}

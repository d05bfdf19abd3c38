//! How far a rollout is: its stage, and whether a person agrees.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A step on the way of a rollout. `promote` that is not final says: go on to the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageVerdict {
    /// Which one, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// The canary's share of the traffic in it.
    pub traffic: f64,
    /// When it began.
    pub started_at: String,
}

/// A person's approval before a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalVerdict {
    /// Whether the policy asks for it.
    pub needed: bool,
    /// Whether all is proven and the promotion waits for nothing else.
    #[serde(default)]
    pub awaited: bool,
    /// Who gave it; absent while nobody did.
    #[serde(default)]
    pub by: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<String>,
}

impl ApprovalVerdict {
    /// Whether a promotion has to wait for it.
    pub fn is_missing(&self) -> bool {
        self.needed && self.by.is_none()
    }
}

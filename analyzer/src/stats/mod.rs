//! Formulas, each with its source. Names such as F10 are those of the list in `stats/README.md`.
//!
//! Everything here is a pure function of numbers: no clock, no chance, no input or output. Evidence is kept as natural
//! logarithms (`ln_e`), so that it neither overflows nor becomes infinite.

pub(crate) mod likelihood;

pub(crate) mod absolute;
pub(crate) mod eprocess;

pub(crate) mod dispersion;
pub(crate) mod effect;

pub(crate) mod attribution;
pub(crate) mod power;

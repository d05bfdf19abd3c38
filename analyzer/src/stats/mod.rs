//! Formulas, each with its source. Names such as F10 say which formulas of the judge's design belong together:
//! F1, F10 and F11 the evidence for and against a rate ratio, F8 and F9 its noise, F12 what traffic can show, F14 strata, F15 attribution,
//! F17 new errors.
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
pub(crate) mod shift;

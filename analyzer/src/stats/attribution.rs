//! Which of many suspects to name (F15).

/// The suspects that may be named so that at most a share `alpha` of those named are innocent, as indices, strongest first.
///
/// e-BH: Wang and Ramdas (2022), Journal of the Royal Statistical Society B 84(3), section 4. With `K` e-values the `k` largest are
/// rejected for the greatest `k` whose `k`th largest is at least `K / (alpha k)`. Holds under any dependence.
pub(crate) fn e_bh(ln_e: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ln_e.len()).collect();
    order.sort_by(|a, b| ln_e[*b].total_cmp(&ln_e[*a]).then(a.cmp(b)));
    let suspects = ln_e.len() as f64;
    let named = (1..=order.len()).rev().find(|k| ln_e[order[k - 1]] >= (suspects / (alpha * *k as f64)).ln()).unwrap_or(0);
    order.truncate(named);
    order
}

#[cfg(test)]
mod tests;

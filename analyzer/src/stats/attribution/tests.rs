use super::*;

/// Bars for four suspects at 0.05: 80, 40, 26.7 and 20. The second largest reaches its bar, the third does not.
#[test]
fn as_many_are_named_as_reach_their_bar_together() {
    let ln_e = [20.0_f64, 45.0, 100.0, 1.0].map(f64::ln);
    assert_eq!(e_bh(&ln_e, 0.05), [2, 1]);
    assert_eq!(e_bh(&[30.0_f64.ln(); 4], 0.05), [0, 1, 2, 3], "30 is below the bar of one, above that of four");
}

#[test]
fn nobody_is_named_without_evidence() {
    assert!(e_bh(&[], 0.01).is_empty());
    assert!(e_bh(&[0.0, f64::NEG_INFINITY, f64::NAN], 0.01).is_empty());
}

//! Comparing short texts. Keys and values are a dozen bytes long, and the C library's comparison, which is made for long ones, costs a call for each.

/// Whether two slices are the same.
#[inline]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        0 => true,
        1..4 => a[0] == b[0] && a[a.len() / 2] == b[a.len() / 2] && a[a.len() - 1] == b[a.len() - 1],
        4..8 => ends_are_same::<4>(a, b),
        8..16 => ends_are_same::<8>(a, b),
        16..32 => ends_are_same::<16>(a, b),
        32.. => a == b,
    }
}

/// Of slices that have as many bytes as two of such ends, or fewer.
#[inline]
fn ends_are_same<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn a_difference_is_found_at_every_place_of_every_length() {
        for length in 0..70 {
            let text: Vec<u8> = (0..length).collect();
            assert!(same(&text, &text.clone()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert!(!same(&text, &other), "byte {at} of {length}");
            }
            assert!(!same(&text, &[&text[..], b"x"].concat()));
        }
    }
}

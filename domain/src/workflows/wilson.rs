//! A proportion with the interval it may lie in: Wilson's score interval (E. B. Wilson, JASA 22, 1927), which stays within
//! 0 and 1 and is honest for few people. For one look; looking again and again needs more (A3.13).

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Some of so many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportion {
    /// How many did.
    pub count: i64,
    /// Of how many.
    pub of: i64,
    /// The share; none of nobody.
    pub share: Option<f64>,
    /// Where the true share lies, in 95 of 100 such intervals.
    pub interval: Option<(f64, f64)>,
}

/// The proportion and its interval.
#[expect(clippy::cast_precision_loss, reason = "no tenant has 2^52 people")]
pub fn wilson(count: i64, of: i64) -> Proportion {
    let (count, of) = (count.clamp(0, of.max(0)), of.max(0));
    if of == 0 {
        return Proportion { count, of, share: None, interval: None };
    }
    let n = of as f64;
    let share = count as f64 / n;
    let square = Z * Z;
    let middle = (share + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z / (1.0 + square / n) * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    let interval = ((middle - half).max(0.0), (middle + half).min(1.0));
    Proportion { count, of, share: Some(share), interval: Some(interval) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of R's `binom::binom.wilson`.
    #[test]
    fn it_is_wilsons_interval() {
        for (count, of, low, high) in
            [(0, 10, 0.0, 0.277_533), (5, 10, 0.236_593, 0.763_407), (81, 263, 0.255_287, 0.366_222)]
        {
            let (a, b) = wilson(count, of).interval.expect("somebody");
            assert!((a - low).abs() < 5e-4 && (b - high).abs() < 5e-4, "{count} of {of}: {a} {b}");
        }
        assert_eq!(wilson(0, 0).interval, None);
    }

    proptest! {
        #[test]
        fn the_share_lies_within_and_more_people_say_it_more_exactly(count in 0i64..1_000, more in 0i64..1_000) {
            let of = count + more + 1;
            let one = wilson(count, of);
            let (low, high) = one.interval.unwrap();
            let share = one.share.unwrap();
            prop_assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
            let (wide_low, wide_high) = wilson(count * 10, of * 10).interval.unwrap();
            prop_assert!(wide_high - wide_low < high - low);
        }
    }
}

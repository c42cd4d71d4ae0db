//! Properties of single functions, whatever their arguments.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use crate::session::{number, numbers, runtime, session};

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A larger value has no smaller score, equal values have equal ones, and rows may stand in any
    /// order.
    #[test]
    fn quantile_scores_follow_values(values in vec(-5_i32..20, 1..60), buckets in 1_u32..9) {
        let of = |values: &[i32]| {
            let rows: Vec<_> = values.iter().map(|value| format!("({value})")).collect();
            let sql = format!(
                "SELECT q FROM (SELECT v, CAST(quantile_score(v, {buckets}) OVER () AS DOUBLE) AS q
                 FROM (VALUES {}) t(v)) s ORDER BY v, q", rows.join(", ")
            );
            let scores = runtime().block_on(numbers(&session(2), &sql));
            scores.into_iter().map(Option::unwrap).collect::<Vec<_>>()
        };
        let scores = of(&values);
        let mut sorted = values.clone();
        sorted.sort_unstable();
        prop_assert!(scores.is_sorted(), "{sorted:?}: {scores:?}");
        for (pair, values) in scores.windows(2).zip(sorted.windows(2)) {
            prop_assert!(values[0] != values[1] || pair[0] == pair[1], "{sorted:?}: {scores:?}");
        }
        prop_assert!(scores.iter().all(|score| (1.0..=f64::from(buckets)).contains(score)));
        prop_assert_eq!(scores, of(&sorted.iter().rev().copied().collect::<Vec<_>>()));
    }

    /// Nobody comes back to life, and what is survived is a share.
    #[test]
    fn survival_does_not_rise(customers in vec((0_i32..30, any::<bool>()), 1..50)) {
        let rows: Vec<_> = customers.iter().map(|(time, churned)| format!("({time}, {churned})")).collect();
        let table = format!("(VALUES {}) t(d, c)", rows.join(", "));
        let curve = format!(
            "SELECT p['survival'] FROM (SELECT unnest(survival(d, c)) AS p FROM {table}) s ORDER BY p['t']"
        );
        let curve: Vec<_> = runtime().block_on(numbers(&session(2), &curve));
        let curve: Vec<_> = curve.into_iter().map(Option::unwrap).collect();
        prop_assert!(curve.iter().rev().is_sorted(), "{curve:?}");
        prop_assert!(curve.iter().all(|share| (0.0..=1.0).contains(share)), "{curve:?}");
        // The curve has a point where somebody left; where nobody did, all are still there.
        let end = curve.last().copied().unwrap_or(1.0);
        let at = format!("SELECT survival_at(d, c, 30) FROM {table}");
        prop_assert_eq!(runtime().block_on(number(&session(2), &at)), Some(end));
    }
}
